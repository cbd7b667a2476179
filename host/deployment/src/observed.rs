//! The facts by which a deployment is judged.

use stagewright_store::{ArmCounts, OutcomeTally};

/// The facts by which a deployment is judged.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The model's champion.
    pub champion: Option<u32>,
    /// The counters of all steps and arms, as the registry has them.
    pub counts: &'a [ArmCounts],
    /// The outcomes since the start, tallied with the plan's [positive
    /// label](crate::Plan::positive_label).
    pub outcomes: &'a [OutcomeTally],
    /// Now, in milliseconds since the epoch.
    pub now_ms: i64,
}
