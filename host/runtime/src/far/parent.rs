//! The process of one stage, from its parent's side.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use stagewright_jail::{Command, Ending, Event, Limit, Rules, Spent, Walls, Why};
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Cancel, Meter};
use stagewright_manifest::{Limits, World};

use super::process::{self, Process, Purpose};
use super::wire::{self, Heavy};
use super::{Task, VERSION, Work, down, up};
use crate::ask::Ask;
use crate::call::{Crash, Export, Returned};
use crate::desk::Desk;
use crate::engine::EngineOptions;
use crate::sealed::Sealed;
use crate::wasi::Stubs;

/// Private memory of a child beyond its instance's: the engine's, its stacks, and batches that
/// wait.
pub(super) const OWN_MEMORY: u64 = 96 << 20;

/// Bytes at the end of a child's message: the memory that its instance has.
const MEMORY: usize = 8;

/// The longest messages of a child, by kind.
fn longest(kind: u32) -> Option<u64> {
    (up::ASK..=up::RETURNED).contains(&kind).then_some(wire::LONGEST + MEMORY as u64)
}

/// The program to start, and all that it gets.
pub(crate) struct Start<'a> {
    pub(crate) program: &'a Path,
    pub(crate) code: &'a Sealed,
    pub(crate) world: World,
    pub(crate) stubs: Stubs,
    pub(crate) options: EngineOptions,
    pub(crate) required: Walls,
}

/// An instance in a child.
pub(crate) struct Far {
    process: Option<Process>,
    pub(crate) desk: Desk,
    purpose: Purpose,
    /// Whether everything that it did so far was found to be well.
    is_well: bool,
}

impl Far {
    /// An instance in a process that has served this purpose before and waits, or in a new one,
    /// which loads the code and waits for a call.
    pub(crate) fn open(start: &Start<'_>, desk: Desk, purpose: Purpose) -> Result<Self, StageFault> {
        let process = match process::parked(purpose, desk.context()) {
            Some(process) => process,
            None => start_process(start, &desk)?,
        };
        Ok(Self { process: Some(process), desk, purpose, is_well: false })
    }

    /// Performs a call, answering what the guest asks meanwhile.
    ///
    /// # Errors
    /// The fault that ended it. The child is of no more use.
    pub(crate) fn call(&mut self, mut export: Export) -> Result<Returned, StageFault> {
        let name = export.name();
        self.is_well = false;
        let Some(mut process) = self.process.take() else {
            return Err(StageFault::host("the process of an instance was called again after its end"));
        };
        let message = wire::pack(&mut export).map_err(StageFault::host)?;
        // If it is gone, what comes says why.
        let _ = process.child.send(down::CALL, &message.parts());
        let result = self.converse(name, &mut process);
        if let Err(fault) = &result {
            process.child.stop(&fault.to_string());
        }
        self.process = Some(process);
        result
    }

    fn converse(&mut self, export: &str, process: &mut Process) -> Result<Returned, StageFault> {
        loop {
            let mut bytes = Vec::new();
            let kind = match process.child.receive(&mut bytes).map_err(StageFault::host)? {
                Event::Message(kind) => kind,
                Event::Ended(ending) => {
                    process.has_ended(&ending);
                    return Err(self.fault(export, &ending));
                }
            };
            let memory = bytes.split_last_chunk::<MEMORY>().map(|(_, memory)| u64::from_le_bytes(*memory));
            let Some(memory) = memory else { return Err(self.forged(export, "a message without an end")) };
            bytes.truncate(bytes.len() - MEMORY);
            self.desk.account.has_memory(memory)?;
            match kind {
                up::RETURNED => return self.read::<Returned>(export, bytes).map(honest),
                _ => {
                    let ask: Ask = self.read(export, bytes)?;
                    if ask.is_told() != (kind == up::TELL) {
                        return Err(self.forged(export, "a question of the wrong kind"));
                    }
                    let world = self.desk.context().world;
                    // In this process, an engine would not have linked it.
                    if !world.contract().imports.contains(&ask.interface()) {
                        return Err(self.forged(export, "a question that nobody of its world asks"));
                    }
                    let answer = ask.answer(&mut self.desk)?;
                    if kind == up::ASK {
                        let _ = process.child.send(down::ANSWER, &answer.parts());
                    }
                }
            }
        }
    }

    fn read<T: DeserializeOwned + Heavy>(&self, export: &str, bytes: Vec<u8>) -> Result<T, StageFault> {
        wire::unpack(bytes, wire::LIGHT).map_err(|reason| self.forged(export, reason))
    }

    /// A message that no child of ours sends.
    fn forged(&self, export: &str, reason: &str) -> StageFault {
        self.crashed(export, &format!("its process sent what no stage's process sends: {reason}"))
    }

    fn crashed(&self, export: &str, message: &str) -> StageFault {
        let context = self.desk.context();
        StageFault::Trap {
            stage: context.world.into(),
            component: context.component.name.clone(),
            export: export.into(),
            message: stagewright_lifecycle::fault::guest_text(message),
        }
    }

    /// The fault that the end of a child is.
    fn fault(&self, export: &str, ending: &Ending) -> StageFault {
        let account = &self.desk.account;
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
            Why::Missing(walls) => StageFault::host(without(*walls)),
            Why::Stopped(reason) => StageFault::host(format!("a stage's process was stopped: {reason}")),
            why => match (ending.from_outside(), ending.said.as_str()) {
                (Some(signal), _) => StageFault::Killed {
                    stage: account.stage(),
                    component: account.context.component.name.clone(),
                    export: export.into(),
                    signal,
                },
                (None, "") => self.crashed(export, &format!("its process ended: {why}")),
                (None, said) => self.crashed(export, &format!("its process ended: {why}; it said: {said}")),
            },
        }
    }

    /// Records that its answer was checked, and is as it has to be.
    pub(crate) fn is_well(&mut self) {
        self.is_well = true;
    }

    /// Lets the instance go. The next call is a fresh one's, with nothing left of this one.
    pub(crate) fn renew(&mut self, desk: Desk) {
        self.desk = desk;
        self.is_well = false;
        if let Some(process) = &mut self.process {
            // A child that does not listen uses its time on the wall.
            self.desk.account.enter();
            let _ = process.child.send(down::RENEW, &[]);
            self.desk.account.leave();
        }
    }
}

impl Drop for Far {
    /// Its process waits for the next instance of its purpose if all was well with it, and ends
    /// otherwise.
    fn drop(&mut self) {
        let Some(process) = self.process.take() else { return };
        if self.is_well && self.purpose != Purpose::Once {
            process.park(self.purpose, self.desk.context());
        } else {
            process.end(self.desk.context());
        }
    }
}

/// Starts a process, which loads the code and waits for a call.
fn start_process(start: &Start<'_>, desk: &Desk) -> Result<Process, StageFault> {
    let context = desk.context();
    let task = Task {
        world: start.world,
        filesystem: start.stubs.filesystem,
        sockets: start.stubs.sockets,
        canonicalize_nans: start.options.canonicalize_nans,
        bounds: start.options.bounds,
        seed: context.seed,
        as_of: context.as_of,
        memory: context.limits.memory,
    };
    let task = postcard::to_allocvec(&Work::Stage(task)).map_err(StageFault::host)?;
    // What it may send is bounded by kind, and in sum by its account: the parent's work for each
    // message is in it.
    let rules = Rules { longest, messages: u64::MAX, bytes: u64::MAX };
    let account =
        Arc::new(Watched { meter: context.meter.clone(), limits: context.limits, cancel: context.cancel.clone() });
    let mut command = Command::new(start.program, VERSION, account, rules);
    let inputs = [start.code.as_fd()];
    command.inputs = &inputs;
    command.task = &task;
    command.memory = context.limits.memory.saturating_add(OWN_MEMORY);
    command.required = start.required;
    let child = context.on_behalf(|| {
        stagewright_jail::spawn(&command).map_err(|reason| {
            StageFault::host(format!("cannot start `{}`, the process of a stage: {reason}", start.program.display()))
        })
    })?;
    Ok(Process::new(child, context.meter.clone()))
}

/// The words for walls that are required and cannot be built.
pub(super) fn without(walls: Walls) -> String {
    format!(
        "this system cannot build these walls around a stage's process: {walls}\nhint: set `walls = \"sandbox-only\"` in the operator's file to go without them"
    )
}

/// Some ends can be told from outside alone.
fn honest(mut returned: Returned) -> Returned {
    if let Err(crash @ (Crash::Interrupted | Crash::NoRoom)) = &returned.result {
        returned.result = Err(Crash::Trap(format!("its process says that {crash}")));
    }
    returned
}

/// The account of a stage, as the jail looks at it. It holds nothing else of the stage: the jail
/// lets go of it when it likes.
struct Watched {
    meter: Arc<Meter>,
    limits: Limits,
    cancel: Cancel,
}

impl stagewright_jail::Account for Watched {
    fn charge(&self, cpu: Duration) {
        Meter::add(&self.meter.cpu_ns, cpu.as_nanos() as u64);
    }

    fn cpu(&self) -> Spent {
        Spent { used: Duration::from_nanos(Meter::get(&self.meter.cpu_ns)), allowed: self.limits.cpu }
    }

    fn wall(&self) -> Spent {
        Spent { used: Duration::from_nanos(self.meter.wall_ns()), allowed: self.limits.wall }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}
