//! Sessions: models that stay loaded and answer batch after batch, as serving needs them.

use std::time::Duration;

use arrow_array::RecordBatch;
use stagewright_manifest::Limits;

use super::view::ModelParts;
use crate::fault::StageFault;

/// Opens sessions of models.
pub trait ModelSessions: Send + Sync {
    /// Loads a model and returns a session of it. Loading falls under the limits of the model's
    /// contexts, and each call of the session under `limits`.
    ///
    /// # Errors
    /// A component cannot be started, or does not load its state.
    fn open(
        &self,
        model: &ModelParts,
        limits: CallLimits,
        isolation: Isolation,
    ) -> Result<Box<dyn ModelSession>, StageFault>;
}

/// Whether requests meet what earlier requests left in a model's components.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// One instance of each component answers request after request. A component that keeps state
    /// can let a request reach the answer to a later one.
    #[default]
    Pooled,
    /// Every request meets the components as they were after loading, and nothing of it is left for
    /// the next one, whatever the components do.
    Fresh,
}

/// A loaded model. One thread uses it at a time.
pub trait ModelSession: Send {
    /// Predicts the rows of several requests, one batch for each. The batches have the columns of
    /// [`ModelParts::features`]. Returns [`ModelParts::width`] values for each row, in the order of
    /// the batches.
    ///
    /// # Errors
    /// A component fails, breaks the contract or exceeds a limit, for one of the requests. If
    /// [`ModelSession::is_alive`] is false afterwards, the session cannot be used again.
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault>;

    /// Returns whether the session can answer: its process, if it has one, is alive, and no fault
    /// has left its components in a state that nobody knows.
    fn is_alive(&self) -> bool;
}

/// The limits of one call of a session. Memory is limited by the model's contexts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallLimits {
    /// CPU time of both components together.
    pub cpu: Duration,
    /// Wall time, from the question to the answer.
    pub wall: Duration,
}

impl Default for CallLimits {
    /// Returns one second of CPU time and two of wall time.
    fn default() -> Self {
        Self { cpu: Duration::from_secs(1), wall: Duration::from_secs(2) }
    }
}

impl CallLimits {
    /// Returns the limits of a stage during a call: these times, and everything else as in
    /// `limits`.
    pub fn of_call(self, limits: Limits) -> Limits {
        Limits { cpu: self.cpu, wall: self.wall, ..limits }
    }
}
