//! An instance in a stage process, as its parent sees it.
//!
//! The parent sends calls, answers the imports of the guest, and treats everything that comes from
//! the process as untrusted.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use stagewright_jail::{Command, Ending, Event, Limit, Rules, Walls, Why};
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use stagewright_manifest::{StepId, World};

pub(super) use super::message::Message;
use super::message::{self, MAX_HEAD, MAX_MESSAGE, Payload};
use super::process_account::ProcessAccount;
use super::protocol::{OWN_MEMORY, SEATS, StageTask, Task, VERSION, from_stage, missing_walls, to_stage, unseated};
use super::stage_process::{self, Process, Purpose};
use crate::engine::EngineOptions;
use crate::export_call::{CallOutcome, Crash, ExportCall};
use crate::import_call::ImportCall;
use crate::sealed::Sealed;
use crate::stage_host::StageHost;
use crate::wasi::stubs::Stubs;

/// Bytes of the instance's memory size, which ends each message of a stage process.
const MEMORY: usize = 8;

/// Returns the length limit of a process's messages of this kind.
pub(super) fn max_length(kind: u32) -> Option<u64> {
    let (base, seat) = unseated(kind);
    let is_known = (from_stage::IMPORT_CALL..=from_stage::ASK_ALONE).contains(&base) && seat < SEATS;
    is_known.then_some(MAX_MESSAGE + MEMORY as u64)
}

/// The program of a stage process, and what it is given.
pub(crate) struct StageLaunch<'a> {
    pub(crate) program: &'a Path,
    pub(crate) code: &'a Sealed,
    pub(crate) world: World,
    pub(crate) stubs: Stubs,
    pub(crate) options: EngineOptions,
    pub(crate) required: Walls,
}

/// An instance in a stage process.
pub(crate) struct RemoteInstance {
    process: Option<Process>,
    pub(crate) host: StageHost,
    purpose: Purpose,
    /// Whether the result of the last call was checked and is valid.
    is_reusable: bool,
}

impl RemoteInstance {
    /// Creates an instance in a parked process of the same purpose, or in a new process.
    pub(crate) fn open(launch: &StageLaunch<'_>, host: StageHost, purpose: Purpose) -> Result<Self, StageFault> {
        let process = match stage_process::take_parked(purpose, host.context()) {
            Some(process) => process,
            None => start_process(launch, &host)?,
        };
        Ok(Self { process: Some(process), host, purpose, is_reusable: false })
    }

    /// Performs a call and answers the imports that the guest calls meanwhile.
    ///
    /// # Errors
    /// Returns the fault that ended the call. The process cannot be used again.
    pub(crate) fn call(&mut self, mut export: ExportCall) -> Result<CallOutcome, StageFault> {
        let name = export.name();
        self.is_reusable = false;
        let Some(mut process) = self.process.take() else {
            return Err(StageFault::host("the process of an instance was called again after its end"));
        };
        let message = message::encode(&mut export).map_err(StageFault::host)?;
        // If the process has ended, the next event says why.
        let _ = process.child.send(to_stage::EXPORT_CALL, &message.parts());
        let hosts = std::slice::from_mut(&mut self.host);
        let result = Talk { hosts, seat: Some(0), export: name }.until_outcome(&mut process);
        let result = result.and_then(|(_, bytes)| decode(&self.host, name, bytes));
        let result = result.and_then(|outcome| believable(&self.host, name, outcome));
        if let Err(fault) = &result {
            process.child.stop(&fault.to_string());
        }
        self.process = Some(process);
        result
    }

    /// Records that the result of the last call was checked and is valid.
    pub(crate) fn mark_reusable(&mut self) {
        self.is_reusable = true;
    }

    /// Drops the instance. The next call starts a fresh one, which shares no state with it.
    pub(crate) fn renew(&mut self, host: StageHost) {
        self.host = host;
        self.is_reusable = false;
        if let Some(process) = &mut self.process {
            // A process that does not receive this message uses up its wall time.
            self.host.account.enter();
            let _ = process.child.send(to_stage::RENEW, &[]);
            self.host.account.leave();
        }
    }
}

impl Drop for RemoteInstance {
    /// Parks the process for the next instance of its purpose if the last result was valid, and
    /// ends it otherwise.
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        if self.is_reusable && self.purpose != Purpose::Once {
            process.park(self.purpose, self.host.context());
        } else {
            process.end(self.host.context());
        }
    }
}

/// A parent's part in a call: it answers the imports of the instances in a process.
pub(super) struct Talk<'a> {
    /// The hosts of the instances, by seat.
    pub(super) hosts: &'a mut [StageHost],
    /// The seat of the instance that was called; `None` if all of them work on a batch.
    pub(super) seat: Option<usize>,
    /// The export that was called, for messages.
    pub(super) export: &'a str,
}

impl Talk<'_> {
    /// Answers imports until an outcome arrives. Returns its kind and its bytes.
    ///
    /// # Errors
    /// The process has ended or broken the protocol, or an import has ended the call.
    pub(super) fn until_outcome(&mut self, process: &mut Process) -> Result<(u32, Vec<u8>), StageFault> {
        loop {
            let mut bytes = Vec::new();
            let kind = match process.child.receive(&mut bytes).map_err(StageFault::host)? {
                Event::Message(kind) => kind,
                Event::Ended(ending) => {
                    process.record_end(&ending);
                    return Err(self.blame(|host, export| fault(host, export, &ending)));
                }
            };
            let (base, seat) = unseated(kind);
            let memory = bytes.split_last_chunk::<MEMORY>().map(|(_, memory)| u64::from_le_bytes(*memory));
            let Some(memory) = memory else { return Err(self.forged("a message without an end")) };
            bytes.truncate(bytes.len() - MEMORY);
            if seat >= self.hosts.len() {
                return Err(self.forged("a message of an instance that it does not have"));
            }
            let (host, export) = (&mut self.hosts[seat], self.export);
            host.account.report_memory(memory)?;
            if matches!(base, from_stage::CALL_OUTCOME | from_stage::ROWS_OUTCOME | from_stage::ASK_ALONE) {
                return Ok((kind, bytes));
            }
            let call: ImportCall = decode(host, export, bytes)?;
            if call.is_one_way() != (base == from_stage::ONE_WAY_CALL) {
                return Err(forged(host, export, "a question of the wrong kind"));
            }
            // A linker in this process would not have linked the interface.
            if !host.context().world.contract().imports.contains(&call.interface()) {
                return Err(forged(host, export, "a question that nobody of its world asks"));
            }
            let result = call.perform(host)?;
            if base == from_stage::IMPORT_CALL {
                let _ = process.child.send(to_stage::IMPORT_RESULT, &result.parts());
            }
        }
    }

    /// Returns the fault of a message that our program does not send.
    pub(super) fn forged(&self, reason: &str) -> StageFault {
        self.blame(|host, export| forged(host, export, reason))
    }

    /// Returns a fault of the process in the name of the component that was called. Of a batch,
    /// nobody knows which component had the process, so all of them are named.
    fn blame(&self, fault: impl FnOnce(&StageHost, &str) -> StageFault) -> StageFault {
        let mut fault = fault(&self.hosts[self.seat.unwrap_or(0)], self.export);
        if self.seat.is_some() {
            return fault;
        }
        match &mut fault {
            StageFault::Trap { stage, component, .. } | StageFault::Killed { stage, component, .. } => {
                let names: Vec<&str> = self.hosts.iter().map(|host| &*host.context().component.name).collect();
                (*stage, *component) = (StepId::of_model(), names.join(" or "));
            }
            StageFault::Limit { stage, .. } | StageFault::Cancelled { stage } => *stage = StepId::of_model(),
            _ => {}
        }
        fault
    }
}

/// Decodes a value that a process sent.
///
/// # Errors
/// The bytes are not such a value.
pub(super) fn decode<T: DeserializeOwned + Payload>(
    host: &StageHost,
    export: &str,
    bytes: Vec<u8>,
) -> Result<T, StageFault> {
    message::decode(bytes, MAX_HEAD).map_err(|reason| forged(host, export, reason))
}

/// Returns the fault of a message that our program does not send.
pub(super) fn forged(host: &StageHost, export: &str, reason: &str) -> StageFault {
    crashed(host, export, &format!("its process sent what no stage's process sends: {reason}"))
}

fn crashed(host: &StageHost, export: &str, message: &str) -> StageFault {
    let context = host.context();
    StageFault::Trap {
        stage: context.world.into(),
        component: context.component.name.clone(),
        export: export.into(),
        message: stagewright_lifecycle::fault::guest_text(message),
    }
}

/// Converts the end of a process into a fault.
fn fault(host: &StageHost, export: &str, ending: &Ending) -> StageFault {
    let account = &host.account;
    let limits = &account.context.limits;
    match &ending.why {
        Why::Limit { limit: Limit::Cpu, used, .. } => {
            let used = Meter::get(&account.context.meter.cpu_ns).max(*used);
            account.limit(LimitKind::Cpu, used, limits.cpu.as_nanos() as u64)
        }
        Why::Limit { limit: Limit::Wall, .. } => {
            account.limit(LimitKind::Wall, account.context.meter.wall_ns(), limits.wall.as_nanos() as u64)
        }
        Why::Limit { limit: Limit::Memory, .. } => {
            account.limit(LimitKind::Memory, limits.memory.saturating_add(1), limits.memory)
        }
        Why::Cancelled => StageFault::Cancelled { stage: account.stage() },
        Why::Missing(walls) => StageFault::host(missing_walls(*walls)),
        Why::Stopped(reason) => StageFault::host(format!("a stage's process was stopped: {reason}")),
        why => match (ending.from_outside(), ending.stderr.as_str()) {
            (Some(signal), _) => StageFault::Killed {
                stage: account.stage(),
                component: account.context.component.name.clone(),
                export: export.into(),
                signal,
            },
            (None, "") => crashed(host, export, &format!("its process ended: {why}")),
            (None, said) => crashed(host, export, &format!("its process ended: {why}; it said: {said}")),
        },
    }
}

/// Returns the task of an instance.
pub(super) fn task(launch: &StageLaunch<'_>, context: &StageContext) -> StageTask {
    StageTask {
        world: launch.world,
        filesystem: launch.stubs.filesystem,
        sockets: launch.stubs.sockets,
        canonicalize_nans: launch.options.canonicalize_nans,
        bounds: launch.options.bounds,
        seed: context.seed,
        as_of: context.as_of,
        memory: context.limits.memory,
    }
}

/// Starts a process, which loads the code and waits for a call.
fn start_process(launch: &StageLaunch<'_>, host: &StageHost) -> Result<Process, StageFault> {
    let context = host.context();
    let task = postcard::to_allocvec(&Task::Stage(task(launch, context))).map_err(StageFault::host)?;
    // Each message is bounded by its kind. Their sum is bounded by the account, which is charged
    // for the parent's work on each message.
    let rules = Rules { longest: max_length, messages: u64::MAX, bytes: u64::MAX };
    let account = ProcessAccount::new(context);
    let mut command = Command::new(launch.program, VERSION, Arc::new(account), rules);
    let inputs = [launch.code.as_fd()];
    command.inputs = &inputs;
    command.task = &task;
    command.memory = context.limits.memory.saturating_add(OWN_MEMORY);
    command.required = launch.required;
    let child = context.on_behalf(|| {
        stagewright_jail::spawn(&command).map_err(|reason| {
            StageFault::host(format!("cannot start `{}`, the process of a stage: {reason}", launch.program.display()))
        })
    })?;
    Ok(Process::new(child, context.meter.clone()))
}

/// Checks that a process claims nothing that only its parent can know.
///
/// # Errors
/// It does, which our program never does.
pub(super) fn believable(host: &StageHost, export: &str, outcome: CallOutcome) -> Result<CallOutcome, StageFault> {
    match &outcome.result {
        Err(crash @ (Crash::Interrupted | Crash::NoRoom)) => {
            Err(crashed(host, export, &format!("its process says that {crash}")))
        }
        _ => Ok(outcome),
    }
}
