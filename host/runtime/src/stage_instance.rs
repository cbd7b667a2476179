//! An instance of a stage, in this process or in a stage process.
//!
//! A caller lends tables, blobs and models to a [`StageInstance`], calls an export, and takes the
//! result. Where the instance runs makes no difference to callers.

use std::sync::Arc;

use stagewright_lifecycle::fault::{INSTANCES, LimitKind, StageFault, guest_name, guest_text, settable};
use stagewright_lifecycle::sandbox::{Level, Meter, Sources, StageContext, View};
use stagewright_lifecycle::spans;
use stagewright_store::{Blob, Table};

use crate::account::InstanceAccount;
use crate::bindings::stagewright::stage::types::{Batch, Failure, Settings};
use crate::code::Code;
use crate::engine::{self, EngineOptions};
use crate::export_call::{CallOutcome, Crash, EngineLimit, ExportCall, Reply};
use crate::installation::StageProcess;
use crate::local_instance::LocalInstance;
use crate::parallel::on_stack;
use crate::process::stage_parent::RemoteInstance;
use crate::process::stage_process::Purpose;
use crate::resource_types::Handle;
use crate::stage_host::{StageHost, contract_fault};
use crate::store_data::StoreData;

/// An instance of a stage, and the host that answers its imports.
pub(crate) struct StageInstance {
    place: Place,
    options: EngineOptions,
}

enum Place {
    Local(Box<LocalInstance<StageHost>>),
    Remote(Box<RemoteInstance>),
}

/// The export that transforms rows.
pub(crate) const TRANSFORM: &str = "transformer.transform";

/// The export that predicts rows.
pub(crate) const PREDICT: &str = "predictor.predict";

/// Stack that every thread which calls into the runtime has for guests: Rust's threads have 2 MiB,
/// of which the host may use half.
const CALLER_STACK: usize = 1 << 20;

impl StageInstance {
    /// Creates an instance of this code, which starts with its first call. It runs in a process of
    /// `process`, or in this process if that is `None`.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn new(
        code: &Code,
        process: Option<&StageProcess>,
        options: EngineOptions,
        context: Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
        purpose: Purpose,
    ) -> Result<Self, StageFault> {
        let _start = spans::start(&context.component.name).entered();
        let host = StageHost::new(context, options, sources);
        match process {
            Some(process) => {
                let launch = code.launch(process, options);
                Ok(Self { place: Place::Remote(Box::new(RemoteInstance::open(&launch, host, purpose)?)), options })
            }
            None => {
                let context = host.context();
                let (seed, as_of) = (context.seed, context.as_of);
                let data = StoreData::new(host, options.bounds, seed, as_of);
                Ok(Self { place: Place::Local(Box::new(LocalInstance::new(data, code.pre.clone(), options))), options })
            }
        }
    }

    /// Replaces the instance by a fresh one in the same place, which shares no state with it.
    ///
    /// # Errors
    /// A limit of the stage is exceeded.
    pub(crate) fn renewed(self) -> Result<Self, StageFault> {
        let context = self.context().clone();
        let host = StageHost::new(context.clone(), self.options, None);
        context.on_behalf(|| {
            let place = match self.place {
                Place::Local(instance) => Place::Local(Box::new(instance.renewed(host))),
                Place::Remote(mut instance) => {
                    instance.renew(host);
                    Place::Remote(instance)
                }
            };
            Ok(Self { place, options: self.options })
        })
    }

    /// Returns the host that answers the instance.
    pub(crate) fn host(&mut self) -> &mut StageHost {
        match &mut self.place {
            Place::Local(instance) => &mut instance.store.data_mut().host,
            Place::Remote(instance) => &mut instance.host,
        }
    }

    /// Returns the account of the instance.
    pub(crate) fn account(&self) -> &InstanceAccount {
        match &self.place {
            Place::Local(instance) => &instance.store.data().host.account,
            Place::Remote(instance) => &instance.host.account,
        }
    }

    /// Returns the context of the stage.
    pub(crate) fn context(&self) -> &Arc<StageContext> {
        match &self.place {
            Place::Local(instance) => instance.store.data().host.context(),
            Place::Remote(instance) => instance.host.context(),
        }
    }

    /// Calls an export and charges its time.
    ///
    /// # Errors
    /// Returns a limit, a failure of the stage, a crash, or a fault of the host. The instance
    /// cannot be used again.
    pub(crate) fn call(&mut self, export: ExportCall) -> Result<Reply, StageFault> {
        let name = export.name();
        match &mut self.place {
            Place::Local(instance) => {
                // The whole call runs on one thread, whose CPU clock is read. A thread that
                // overflows its own stack would end the process, so a large guest stack gets a
                // thread of its size.
                let stack = instance.store.data().host.account.bounds.stack;
                let run = || {
                    instance.store.data_mut().host.account.enter();
                    let outcome = instance.call(export);
                    let host = &mut instance.store.data_mut().host;
                    let result = outcome.and_then(|outcome| into_reply(host, name, outcome));
                    host.account.leave();
                    host.context().meter.stood(["wasm"]);
                    result
                };
                if stack > CALLER_STACK { on_stack(2 * stack, run) } else { run() }
            }
            Place::Remote(instance) => {
                instance.host.account.enter();
                let outcome = instance.call(export);
                let result = outcome.and_then(|outcome| into_reply(&mut instance.host, name, outcome));
                instance.host.account.leave();
                result
            }
        }
    }

    /// Calls `transform` or `predict`, which `export` names, of the transformer or predictor that
    /// was loaded. The caller enters and leaves the account, and checks the time: so one reading of
    /// the CPU clock serves the work before a call, the call and the check of its result. Takes the
    /// bytes of `rows` if they have to cross to another process.
    ///
    /// # Errors
    /// As for [`StageInstance::call`].
    pub(crate) fn call_rows(&mut self, export: &'static str, rows: &mut Batch) -> Result<Batch, StageFault> {
        let reply = match &mut self.place {
            Place::Local(instance) => {
                let stack = instance.store.data().host.account.bounds.stack;
                let outcome = if stack > CALLER_STACK {
                    on_stack(2 * stack, || {
                        instance.store.data_mut().host.account.begin_elsewhere();
                        let outcome = instance.call_rows(rows);
                        instance.store.data_mut().host.account.end_elsewhere();
                        outcome
                    })
                } else {
                    instance.call_rows(rows)
                };
                reply_of(&mut instance.store.data_mut().host, export, outcome?)?
            }
            Place::Remote(instance) => {
                let rows = Batch { rows: rows.rows, bytes: std::mem::take(&mut rows.bytes) };
                let call = match export {
                    TRANSFORM => ExportCall::Transform { rows },
                    _ => ExportCall::Predict { rows },
                };
                let outcome = instance.call(call)?;
                reply_of(&mut instance.host, export, outcome)?
            }
        };
        match reply {
            Reply::Rows(rows) => Ok(rows),
            _ => Err(self.unexpected_reply(export)),
        }
    }

    /// Records that the result of the last call was checked and is valid. Only then may the process
    /// serve its purpose again when this instance is dropped.
    pub(crate) fn mark_reusable(&mut self) {
        if let Place::Remote(instance) = &mut self.place {
            instance.mark_reusable();
        }
    }

    /// Returns the settings that the stage's exports take.
    pub(crate) fn settings(&self) -> Settings {
        let context = self.context();
        Settings { parameters: context.parameters.clone(), seed: context.seed, as_of: context.as_of }
    }

    /// Lends a table; the guest may read what the view shows.
    pub(crate) fn lend_table(&mut self, view: View) -> Result<Handle, StageFault> {
        self.host().lend_table(view)
    }

    /// Lends a blob.
    pub(crate) fn lend_blob(&mut self, blob: &Blob) -> Result<Handle, StageFault> {
        self.host().lend_blob(blob.clone())
    }

    /// Takes a table that the guest returned.
    ///
    /// # Errors
    /// The table is a selection, which shares its rows with another table.
    pub(crate) fn take_table(&mut self, table: Handle, export: &str) -> Result<Table, StageFault> {
        let View { table, columns, .. } = self.host().take_table(table)?;
        if columns.into_iter().eq(0..table.schema().len()) {
            return Ok(table);
        }
        Err(self.contract_fault(export, "a selection came back: write its rows to a table of its own"))
    }

    /// Takes a blob that the guest returned.
    pub(crate) fn take_blob(&mut self, blob: Handle) -> Result<Blob, StageFault> {
        self.host().take_blob(blob)
    }

    /// Returns a fault of the component against the contract.
    pub(crate) fn contract_fault(&self, export: &str, message: impl std::fmt::Display) -> StageFault {
        contract_fault(self.context(), export, message)
    }

    /// Returns the fault of a reply that belongs to another export. Only a stage process that lies
    /// sends one.
    pub(crate) fn unexpected_reply(&self, export: &str) -> StageFault {
        self.contract_fault(export, "another export's value came back")
    }
}

/// Converts the outcome of a call into a reply or a fault, and logs the guest's output.
pub(crate) fn into_reply(
    host: &mut StageHost,
    export: &'static str,
    outcome: CallOutcome,
) -> Result<Reply, StageFault> {
    let reply = reply_of(host, export, outcome)?;
    // A guest that returns just past its limit has still exceeded it.
    host.account.check_time().map(|()| reply)
}

/// As [`into_reply`], without a check of the time.
pub(crate) fn reply_of(host: &mut StageHost, export: &'static str, outcome: CallOutcome) -> Result<Reply, StageFault> {
    log_output(host, &outcome);
    let export = if outcome.at_start { "instantiation" } else { export };
    match outcome.result {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(failure)) => Err(failure_fault(host, failure)),
        Err(crash) => Err(crash_fault(host, export, crash)),
    }
}

/// Logs the text that a guest wrote to standard output and standard error.
fn log_output(host: &StageHost, outcome: &CallOutcome) {
    for line in outcome.written.lines().filter(|line| !line.trim().is_empty()) {
        let shown = guest_text(line);
        if host.account.charge_line(line, &shown) {
            host.context().tracker.log(Level::Info, &shown);
        }
    }
    if outcome.dropped > 0 {
        Meter::add(&host.context().meter.log_dropped, outcome.dropped);
    }
}

/// Converts a failure that the guest returned into a fault.
fn failure_fault(host: &StageHost, failure: Failure) -> StageFault {
    let stage = host.account.stage();
    let StageContext { world, component, .. } = &**host.context();
    match failure {
        Failure::Data(fault) => StageFault::Data {
            stage,
            message: guest_text(&fault.message),
            column: fault.column.as_deref().map(guest_name),
            // In other worlds, the rows of a table do not correspond to rows of the source.
            row: fault.row.filter(|_| world.contract().rows_are_the_sources),
            value: fault.value.as_deref().map(guest_name),
        },
        Failure::Parameter(fault) => StageFault::Parameter {
            stage,
            key: settable(*world, &fault.parameter, &component.description.parameters),
            parameter: guest_name(&fault.parameter),
            message: guest_text(&fault.message),
        },
        Failure::Internal(message) => {
            StageFault::Internal { stage, component: component.name.clone(), message: guest_text(&message) }
        }
    }
}

/// Converts a crash into a fault. The figures are checked against the limits, since a stage process
/// may lie about them.
fn crash_fault(host: &StageHost, export: &str, crash: Crash) -> StageFault {
    let account = &host.account;
    let bounds = &account.bounds;
    match crash {
        Crash::Memory(used) => {
            let allowed = account.context.limits.memory;
            account.limit(LimitKind::Memory, used.max(allowed.saturating_add(1)), allowed)
        }
        Crash::OperatorLimit(limit, used) => {
            let (name, allowed) = match limit {
                EngineLimit::Handles => ("handles", bounds.handles),
                EngineLimit::CallBytes => ("bytes of one call", bounds.call_bytes),
                EngineLimit::Stack => ("bytes of stack", bounds.stack),
                EngineLimit::TableElements => ("table elements", bounds.table_elements),
            };
            let past = allowed as u64 + 1;
            account.limit(LimitKind::Operator(name.into()), used.map_or(past, |used| used.max(past)), allowed as u64)
        }
        Crash::Types(message) => {
            let world = account.context.world;
            contract_fault(&account.context, &format!("the exports of a {world} component"), message)
        }
        Crash::Interrupted => StageFault::Cancelled { stage: account.stage() },
        Crash::NoRoom => {
            let most = engine::pool_memories(host.account.live.budget());
            account.limit(LimitKind::Operator(INSTANCES.into()), u64::from(most) + 1, most.into())
        }
        Crash::Trap(message) => StageFault::Trap {
            stage: account.stage(),
            component: account.context.component.name.clone(),
            export: export.into(),
            message: guest_text(&message),
        },
    }
}
