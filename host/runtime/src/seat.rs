//! An instance that is called, wherever it runs.
//!
//! A [`Seat`] is an instance and the desk that answers it. Whoever calls lends things at the desk,
//! calls, and takes back what was made; that the instance is in this process or in another one
//! makes no difference to them.

use std::sync::Arc;

use stagewright_lifecycle::fault::{INSTANCES, LimitKind, StageFault, guest_name, guest_text, settable};
use stagewright_lifecycle::sandbox::{Level, Meter, Sources, StageContext, View};
use stagewright_lifecycle::spans;
use stagewright_store::{Blob, Table};

use crate::account::Account;
use crate::bindings::stagewright::stage::types::{Failure, Settings};
use crate::call::{Bound, Crash, Export, Reply, Returned, Running};
use crate::component::Catalog;
use crate::desk::{Desk, Handle};
use crate::engine::{self, EngineOptions};
use crate::far::parent::Far;
use crate::far::process::Purpose;
use crate::guest::Guest;
use crate::parallel::on_stack;

/// An instance of a stage, and its desk.
pub(crate) struct Seat {
    kind: Kind,
    options: EngineOptions,
}

enum Kind {
    Near(Box<Running<Desk>>),
    Far(Box<Far>),
}

/// Stack that any thread has that calls into the runtime: Rust's threads have 2 MiB, half of it for
/// the host.
const CALLERS_STACK: usize = 1 << 20;

impl Seat {
    /// A new instance for a purpose, which starts with its first call.
    ///
    /// # Errors
    /// Its component was not resolved, or its process cannot be started.
    pub(crate) fn open(
        catalog: &Catalog,
        context: Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
        purpose: Purpose,
    ) -> Result<Self, StageFault> {
        let code = catalog
            .ready(&context.component)
            .ok_or_else(|| StageFault::host(format!("component `{}` was not resolved", context.component.name)))?;
        Self::of(catalog, &code, context, sources, purpose)
    }

    /// A new instance of this code.
    pub(crate) fn of(
        catalog: &Catalog,
        code: &crate::component::Code,
        context: Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
        purpose: Purpose,
    ) -> Result<Self, StageFault> {
        let _start = spans::start(&context.component.name).entered();
        let options = catalog.options();
        let desk = Desk::new(context, options, sources);
        match &catalog.process {
            Some(process) => {
                let start = code.start(process, options);
                Ok(Self { kind: Kind::Far(Box::new(Far::open(&start, desk, purpose)?)), options })
            }
            None => {
                let context = desk.context();
                let (seed, as_of) = (context.seed, context.as_of);
                let guest = Guest::new(desk, options.bounds, seed, as_of);
                Ok(Self { kind: Kind::Near(Box::new(Running::new(guest, code.pre.clone(), options))), options })
            }
        }
    }

    /// A fresh instance in the same place, which finds nothing of this one.
    ///
    /// # Errors
    /// The stage's time is over.
    pub(crate) fn renewed(self) -> Result<Self, StageFault> {
        let context = self.context().clone();
        let desk = Desk::new(context.clone(), self.options, None);
        context.on_behalf(|| {
            let kind = match self.kind {
                Kind::Near(running) => Kind::Near(Box::new(running.renewed(desk))),
                Kind::Far(mut far) => {
                    far.renew(desk);
                    Kind::Far(far)
                }
            };
            Ok(Self { kind, options: self.options })
        })
    }

    /// The desk.
    pub(crate) fn desk(&mut self) -> &mut Desk {
        match &mut self.kind {
            Kind::Near(running) => &mut running.store.data_mut().desk,
            Kind::Far(far) => &mut far.desk,
        }
    }

    /// The account of the instance.
    pub(crate) fn account(&self) -> &Account {
        match &self.kind {
            Kind::Near(running) => &running.store.data().desk.account,
            Kind::Far(far) => &far.desk.account,
        }
    }

    /// The context that the stage was handed.
    pub(crate) fn context(&self) -> &Arc<StageContext> {
        match &self.kind {
            Kind::Near(running) => running.store.data().desk.context(),
            Kind::Far(far) => far.desk.context(),
        }
    }

    /// Calls an export. Its time is charged, and what goes wrong comes in the lifecycle's words.
    ///
    /// # Errors
    /// A limit, a failure of the stage's own, a crash, or a fault of the host. The instance is of
    /// no more use.
    pub(crate) fn call(&mut self, export: Export) -> Result<Reply, StageFault> {
        let name = export.name();
        match &mut self.kind {
            Kind::Near(running) => {
                // On one thread from begin to end: the clock is the thread's. Running out of a
                // thread's own stack would end the process.
                let stack = running.store.data().desk.account.bounds.stack;
                let run = || {
                    running.store.data_mut().desk.account.enter();
                    let returned = running.call(export);
                    let desk = &mut running.store.data_mut().desk;
                    let result = returned.and_then(|returned| settle(desk, name, returned));
                    desk.account.leave();
                    desk.context().meter.stood(["wasm"]);
                    result
                };
                if stack > CALLERS_STACK { on_stack(2 * stack, run) } else { run() }
            }
            Kind::Far(far) => {
                far.desk.account.enter();
                let returned = far.call(export);
                let result = returned.and_then(|returned| settle(&mut far.desk, name, returned));
                far.desk.account.leave();
                result
            }
        }
    }

    /// Records that its last answer was checked, and is as it has to be. A process of which this
    /// was said at the end may serve its purpose again.
    pub(crate) fn is_well(&mut self) {
        if let Kind::Far(far) = &mut self.kind {
            far.is_well();
        }
    }

    /// The settings that a stage is told besides its inputs.
    pub(crate) fn settings(&self) -> Settings {
        let context = self.context();
        Settings { parameters: context.parameters.clone(), seed: context.seed, as_of: context.as_of }
    }

    /// Lends a table, as far as the view goes.
    pub(crate) fn lend_table(&mut self, view: View) -> Result<Handle, StageFault> {
        self.desk().lend_table(view)
    }

    /// Lends a blob.
    pub(crate) fn lend_blob(&mut self, blob: &Blob) -> Result<Handle, StageFault> {
        self.desk().lend_blob(blob.clone())
    }

    /// Takes back a table that was returned. A selection shares its rows with another table, so it
    /// is none of the guest's own.
    pub(crate) fn take_table(&mut self, table: Handle, export: &str) -> Result<Table, StageFault> {
        let View { table, columns, .. } = self.desk().take_table(table)?;
        if columns.into_iter().eq(0..table.schema().len()) {
            return Ok(table);
        }
        Err(self.broke(export, "a selection came back: write its rows to a table of its own"))
    }

    /// Takes back a blob that was returned.
    pub(crate) fn take_blob(&mut self, blob: Handle) -> Result<Blob, StageFault> {
        self.desk().take_blob(blob)
    }

    /// A fault against the contract.
    pub(crate) fn broke(&self, export: &str, message: impl std::fmt::Display) -> StageFault {
        contract(self.context(), export, message)
    }

    /// A value of another export came back, which no instance in this process does.
    pub(crate) fn other(&self, export: &str) -> StageFault {
        self.broke(export, "another export's value came back")
    }
}

/// A fault of the component against the contract.
pub(crate) fn contract(context: &StageContext, export: &str, message: impl std::fmt::Display) -> StageFault {
    StageFault::Contract {
        stage: context.world.into(),
        component: context.component.name.clone(),
        export: export.into(),
        message: guest_text(&message.to_string()),
    }
}

/// The value that a call returned, or its end in the lifecycle's words. What was written is passed
/// on within the guest's account.
pub(crate) fn settle(desk: &mut Desk, export: &'static str, returned: Returned) -> Result<Reply, StageFault> {
    pass_on_output(desk, &returned);
    let export = if returned.at_start { "instantiation" } else { export };
    match returned.result {
        // A guest that comes back just past its budget is past it all the same.
        Ok(Ok(reply)) => desk.account.check_time().map(|()| reply),
        Ok(Err(failure)) => Err(said(desk, failure)),
        Err(crash) => Err(crashed(desk, export, crash)),
    }
}

/// Makes log lines of the text that a guest wrote to standard output and error.
fn pass_on_output(desk: &Desk, returned: &Returned) {
    for line in returned.written.lines().filter(|line| !line.trim().is_empty()) {
        let shown = guest_text(line);
        if desk.account.charge_line(line, &shown) {
            desk.context().tracker.log(Level::Info, &shown);
        }
    }
    Meter::add(&desk.context().meter.log_dropped, returned.dropped);
}

/// A failure that the guest returned.
fn said(desk: &Desk, failure: Failure) -> StageFault {
    let stage = desk.account.stage();
    let StageContext { world, component, .. } = &**desk.context();
    match failure {
        Failure::Data(fault) => StageFault::Data {
            stage,
            message: guest_text(&fault.message),
            column: fault.column.as_deref().map(guest_name),
            // Of other tables nobody knows which rows of the source their rows are.
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

/// The fault that a crash is. Its figures are checked against ours: the instance may be in a
/// process that lies.
fn crashed(desk: &Desk, export: &str, crash: Crash) -> StageFault {
    let account = &desk.account;
    let bounds = &account.bounds;
    match crash {
        Crash::Memory(used) => {
            let allowed = account.context.limits.memory;
            account.limit(LimitKind::Memory, used.max(allowed.saturating_add(1)), allowed)
        }
        Crash::Bound(bound, used) => {
            let (name, allowed) = match bound {
                Bound::Handles => ("handles", bounds.handles),
                Bound::CallBytes => ("bytes of one call", bounds.call_bytes),
                Bound::Stack => ("bytes of stack", bounds.stack),
                Bound::TableElements => ("table elements", bounds.table_elements),
            };
            let past = allowed as u64 + 1;
            account.limit(LimitKind::Operator(name.into()), used.map_or(past, |used| used.max(past)), allowed as u64)
        }
        Crash::Types(message) => {
            let world = account.context.world;
            contract(&account.context, &format!("the exports of a {world} component"), message)
        }
        Crash::Interrupted => StageFault::Cancelled { stage: account.stage() },
        Crash::NoRoom => {
            let most = engine::pool_memories(desk.account.live.budget());
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
