//! The least promotion: what the host found about the gates. For `bench overhead`.

use stagewright_kit::decide::{Decision, Evaluation, Gate, Verdict};
use stagewright_kit::{Failure, NoParameters, Promotion, Settings};

/// The stage.
pub struct Empty;

impl Promotion for Empty {
    type Parameters = NoParameters;

    fn decide(_: &Evaluation, gates: &[Gate], _: &Settings<NoParameters>) -> Result<Decision, Failure> {
        let passed = gates.iter().all(|gate| gate.passed);
        let verdict = if passed { Verdict::Approved } else { Verdict::Rejected };
        Ok(Decision { verdict, reasons: Vec::new() })
    }
}

stagewright_kit::promotion!(Empty);
