//! A stage's process from its start to its end, and what one is for.

use std::sync::Arc;

use stagewright_jail::{Child, Ending, Event};
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use stagewright_store::Digest;

use super::down;

/// The purpose of a process. It serves one purpose of one stage run: who broke out of the sandbox
/// in it finds nothing of another purpose, such as the target, which `fit` sees and `transform`
/// does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A call that a stage makes once.
    Once,
    /// Parts of a training, which read the same tables.
    Training,
    /// The transformer with this state.
    Transforming(Digest),
    /// The predictor with this model.
    Predicting(Digest),
}

/// A process that a stage's instances run in, one after the other.
pub(super) struct Process {
    pub(super) child: Child,
    meter: Arc<Meter>,
    is_gone: bool,
}

impl Process {
    pub(super) fn new(child: Child, meter: Arc<Meter>) -> Self {
        Self { child, meter, is_gone: false }
    }

    /// Takes its end to the account: the walls that stood around it are known for sure now.
    pub(super) fn has_ended(&mut self, ending: &Ending) {
        self.is_gone = true;
        let walls = ending.walls.unwrap_or_default();
        self.meter.stood(std::iter::once("wasm").chain(walls.names()));
    }

    /// Ends it, without waiting until it is gone: the context does, when it lets go of it. It is
    /// not asked to end: it might not, and its time on the wall may stand still between calls.
    pub(super) fn end(self, context: &StageContext) {
        if !self.is_gone {
            self.child.stop(DONE);
            context.shelf.put(self);
        }
    }

    /// Keeps it for another instance of the same purpose.
    pub(super) fn park(mut self, purpose: Purpose, context: &StageContext) {
        // What the instance has goes at once, and not when somebody comes. A process that does not
        // listen uses its time on the wall meanwhile.
        context.meter.wall.enter();
        let sent = self.child.send(down::RENEW, &[]);
        context.meter.wall.leave();
        match sent {
            Ok(()) => context.shelf.put(Parked { process: self, purpose }),
            Err(_) => self.end(context),
        }
    }
}

/// Why a process is ended that did nothing wrong.
const DONE: &str = "it has done its work";

impl Drop for Process {
    /// Ends it, and waits until it is gone, so that all of its time is in its account.
    fn drop(&mut self) {
        self.child.stop(DONE);
        let mut bytes = Vec::new();
        while !self.is_gone {
            match self.child.receive(&mut bytes) {
                // More than it was asked for.
                Ok(Event::Message(_)) => {}
                Ok(Event::Ended(ending)) => self.has_ended(&ending),
                Err(_) => self.is_gone = true,
            }
        }
    }
}

/// A process that waits for the next instance of its purpose.
struct Parked {
    process: Process,
    purpose: Purpose,
}

/// A process of this stage run that did nothing but serve this purpose, and has nothing to say.
pub(super) fn parked(purpose: Purpose, context: &StageContext) -> Option<Process> {
    let is_wanted = |parked: &Parked| parked.purpose == purpose && purpose != Purpose::Once;
    let Parked { process, .. } = context.shelf.take(is_wanted)?;
    if process.child.is_quiet() {
        return Some(process);
    }
    // It said something that nobody asked for, or is gone.
    process.end(context);
    None
}
