//! A minimal promotion that follows the host's gates. For `bench overhead`.

use stagewright_kit::decide::{Decision, Evaluation};
use stagewright_kit::{Failure, NoParameters, Promotion, Settings};

/// The stage.
pub struct Empty;

impl Promotion for Empty {
    type Parameters = NoParameters;

    fn decide(evaluation: &Evaluation, _: &Settings<NoParameters>) -> Result<Decision, Failure> {
        Ok(Decision { verdict: evaluation.verdict, reasons: Vec::new() })
    }
}

stagewright_kit::promotion!(Empty);
