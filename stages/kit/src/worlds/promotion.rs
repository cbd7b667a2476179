//! The sixth stage: may the candidate become champion?

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::Stage;
use crate::bindings::exports::stagewright::stage::decide::{self, Decision, Gate, Guest};
use crate::bindings::stagewright::stage::types;
use crate::{Described, Failure, Settings};

/// A promotion stage.
pub trait Promotion: 'static {
    /// The stage's parameters.
    type Parameters: DeserializeOwned + JsonSchema;

    /// Decides. May be stricter than the manifest's gates, never looser: the host checks.
    ///
    /// # Errors
    /// `parameter` if a rule cannot be applied.
    fn decide(
        evaluation: &decide::Evaluation,
        gates: &[Gate],
        settings: &Settings<Self::Parameters>,
    ) -> Result<Decision, Failure>;
}

impl<T: Promotion + Described> Guest for Stage<T> {
    fn decide(
        evaluation: decide::Evaluation,
        gates: Vec<Gate>,
        settings: types::Settings,
    ) -> Result<Decision, Failure> {
        T::decide(&evaluation, &gates, &Settings::parse(&settings)?)
    }
}
