//! The life of a stage process, and the purpose that it serves.

use std::sync::Arc;

use stagewright_jail::{Child, Ending, Event};
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use stagewright_store::Digest;

use super::protocol::to_stage;

/// The purpose of a process. A process serves one purpose of one stage run, so that code which
/// escapes from the sandbox finds no data of another purpose: `fit`, for example, sees the target,
/// and `transform` must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A call that is made once in a stage run.
    Once,
    /// The parts of one training, which read the same tables.
    Training,
    /// The transformer with this state.
    Transforming(Digest),
    /// The predictor with this model.
    Predicting(Digest),
}

/// A process in which instances of a stage run, one after the other.
pub(super) struct Process {
    pub(super) child: Child,
    meter: Arc<Meter>,
    has_ended: bool,
}

impl Process {
    pub(super) fn new(child: Child, meter: Arc<Meter>) -> Self {
        Self { child, meter, has_ended: false }
    }

    /// Records the end of the process and the walls that stood around it.
    pub(super) fn record_end(&mut self, ending: &Ending) {
        self.has_ended = true;
        let walls = ending.walls.unwrap_or_default();
        self.meter.stood(std::iter::once("wasm").chain(walls.names()));
    }

    /// Kills the process without waiting for its end; the context waits when it is dropped. The
    /// process is not asked to end, since it might ignore that, and its wall time may be stopped
    /// between calls.
    pub(super) fn end(self, context: &StageContext) {
        if !self.has_ended {
            self.child.stop(DONE);
            context.shelf.put(self);
        }
    }

    /// Keeps the process for another instance of the same purpose.
    pub(super) fn park(mut self, purpose: Purpose, context: &StageContext) {
        // Drop the instance now rather than when the process is used again. A process that does not
        // receive this message uses up its wall time.
        context.meter.wall.enter();
        let sent = self.child.send(to_stage::RENEW, &[]);
        context.meter.wall.leave();
        match sent {
            Ok(()) => context.shelf.put(Parked { process: self, purpose }),
            Err(_) => self.end(context),
        }
    }
}

/// The reason for ending a process that did nothing wrong.
const DONE: &str = "it has done its work";

impl Drop for Process {
    /// Kills the process and waits for its end, so that all of its time is charged.
    fn drop(&mut self) {
        self.child.stop(DONE);
        let mut bytes = Vec::new();
        while !self.has_ended {
            match self.child.receive(&mut bytes) {
                // Unexpected messages.
                Ok(Event::Message(_)) => {}
                Ok(Event::Ended(ending)) => self.record_end(&ending),
                Err(_) => self.has_ended = true,
            }
        }
    }
}

/// A process that waits for the next instance of its purpose.
struct Parked {
    process: Process,
    purpose: Purpose,
}

/// Returns a parked process of this stage run and purpose that has sent nothing since.
pub(super) fn take_parked(purpose: Purpose, context: &StageContext) -> Option<Process> {
    let is_wanted = |parked: &Parked| parked.purpose == purpose && purpose != Purpose::Once;
    let Parked { process, .. } = context.shelf.take(is_wanted)?;
    if process.child.is_quiet() {
        return Some(process);
    }
    // It sent an unexpected message, or has ended.
    process.end(context);
    None
}
