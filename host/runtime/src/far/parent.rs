//! The process of one stage, from its parent's side.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use stagewright_jail::{Child, Command, Ending, Event, Limit, Rules, Spent, Walls, Why};
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Cancel, Meter};
use stagewright_manifest::{Limits, World};

use super::wire::{self, Heavy};
use super::{Task, VERSION, down, up};
use crate::ask::Ask;
use crate::call::{Crash, Export, Returned};
use crate::desk::Desk;
use crate::engine::EngineOptions;
use crate::sealed::Sealed;
use crate::wasi::Stubs;

/// Private memory of a child beyond its instance's: the engine's, its stacks, and batches that
/// wait.
const OWN_MEMORY: u64 = 96 << 20;

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
    child: Child,
    pub(crate) desk: Desk,
    ended: bool,
}

impl Far {
    /// Starts a child, which loads the code and waits for a call.
    pub(crate) fn start(start: &Start<'_>, desk: Desk) -> Result<Self, StageFault> {
        let context = desk.context().clone();
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
        let task = postcard::to_allocvec(&task).map_err(StageFault::host)?;
        // What it may send is bounded by kind, and in sum by its account: the parent's work for
        // each message is in it.
        let rules = Rules { longest, messages: u64::MAX, bytes: u64::MAX };
        let account =
            Arc::new(Watched { meter: context.meter.clone(), limits: context.limits, cancel: context.cancel.clone() });
        let mut command = Command::new(start.program, VERSION, account, rules);
        let inputs = [start.code.as_fd()];
        command.inputs = &inputs;
        command.task = &task;
        command.memory = context.limits.memory.saturating_add(OWN_MEMORY);
        command.required = start.required;
        // Arenas that the allocator would touch at once count as used.
        command.environment = &[("MIMALLOC_ARENA_EAGER_COMMIT", "0")];
        let child = context.on_behalf(|| {
            stagewright_jail::spawn(&command).map_err(|reason| {
                StageFault::host(format!(
                    "cannot start `{}`, the process of a stage: {reason}",
                    start.program.display()
                ))
            })
        })?;
        Ok(Self { child, desk, ended: false })
    }

    /// Performs a call, answering what the guest asks meanwhile.
    ///
    /// # Errors
    /// The fault that ended it. The child is of no more use.
    pub(crate) fn call(&mut self, mut export: Export) -> Result<Returned, StageFault> {
        let name = export.name();
        let message = wire::pack(&mut export).map_err(StageFault::host)?;
        // If it is gone, what comes says why.
        let _ = self.child.send(down::CALL, &message.parts());
        let result = self.converse(name);
        if let Err(fault) = &result {
            self.child.stop(&fault.to_string());
        }
        result
    }

    fn converse(&mut self, export: &str) -> Result<Returned, StageFault> {
        loop {
            let mut bytes = Vec::new();
            let kind = match self.child.receive(&mut bytes).map_err(StageFault::host)? {
                Event::Message(kind) => kind,
                Event::Ended(ending) => {
                    self.has_ended(&ending);
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
                        let _ = self.child.send(down::ANSWER, &answer.parts());
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
            Why::Missing(walls) => StageFault::host(format!(
                "this system cannot build these walls around a stage's process: {walls}\nhint: set `walls = \"sandbox-only\"` in the operator's file to go without them"
            )),
            Why::Stopped(reason) => StageFault::host(format!("a stage's process was stopped: {reason}")),
            why if ending.said.is_empty() => self.crashed(export, &format!("its process ended: {why}")),
            why => self.crashed(export, &format!("its process ended: {why}; it said: {}", ending.said)),
        }
    }

    /// Records the walls that stood around it, which are known for sure at its end.
    fn has_ended(&mut self, ending: &Ending) {
        self.ended = true;
        let walls = ending.walls.unwrap_or_default();
        self.desk.context().meter.stood(std::iter::once("wasm").chain(walls.names()));
    }

    /// Lets the instance go. The next call is a fresh one's, with nothing left of this one.
    pub(crate) fn renew(&mut self, desk: Desk) {
        self.desk = desk;
        // A child that does not listen uses its time on the wall.
        self.desk.account.enter();
        let _ = self.child.send(down::RENEW, &[]);
        self.desk.account.leave();
    }
}

impl Drop for Far {
    /// Ends it, and waits until it is gone, so that all of its time is in its account. It is not
    /// asked to end: it might not, and its time on the wall may stand still between calls.
    fn drop(&mut self) {
        self.child.stop("it has done its work");
        let mut bytes = Vec::new();
        while !self.ended {
            match self.child.receive(&mut bytes) {
                // More than it was asked for.
                Ok(Event::Message(_)) => {}
                Ok(Event::Ended(ending)) => self.has_ended(&ending),
                Err(_) => self.ended = true,
            }
        }
    }
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
