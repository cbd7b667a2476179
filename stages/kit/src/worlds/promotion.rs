//! The world `promotion`: decides whether the candidate becomes champion.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::decide::{self, Decision, Guest};
use crate::bindings::stagewright::stage::types;
use crate::{ANY_TASK, Described, Failure, Settings, TaskKind};

/// A promotion stage.
pub trait Promotion: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// The tasks that the stage supports.
    const TASKS: &'static [TaskKind] = ANY_TASK;

    /// Decides. The decision may be stricter than the host's verdict, but not looser, which the
    /// host checks.
    ///
    /// # Errors
    /// `parameter` if a rule cannot be applied.
    fn decide(evaluation: &decide::Evaluation, settings: &Settings<Self::Parameters>) -> Result<Decision, Failure>;
}

impl<T: Promotion + Described> Guest for Stage<T> {
    fn decide(evaluation: decide::Evaluation, settings: types::Settings) -> Result<Decision, Failure> {
        T::decide(&evaluation, &Settings::parse(&settings)?)
    }
}
