//! Gates: whether a candidate's metrics are good enough, with the reason.
//!
//! A gate whose metric is missing fails. Rules that compare with the champion reverse the
//! comparison for metrics of which less is better ([`lower_is_better`]). `minimum` and `maximum`
//! mean what they say.
//!
//! Absolute gates read the candidate's metrics on all test rows that it did not learn from. Gates
//! that compare read both models' metrics on the rows that neither learnt from
//! ([`ChampionComparison`]). So the two may show different values of one metric. If too few rows
//! are left to compare, the verdict is [`Verdict::Undecided`], which promotes nothing.
//!
//! Limits that are computed (the champion's value plus a margin) are compared with a tolerance of a
//! few units in the last place. In binary, 0.84 + 0.01 is not 0.85, and a gate must decide decimal
//! equality as its reader does.
//!
//! [`lower_is_better`]: crate::metrics::lower_is_better

mod baseline;
mod gate;
mod result;
mod rules;
mod summary;

pub use baseline::{BaselineComparison, DEGRADATION_TOLERANCE, MetricComparison, compare};
pub use gate::{Gate, GateRule, Gates, Policy};
pub use result::{ChampionComparison, GateResult, Judgement, Verdict};
pub use summary::{GateDetail, GateSummary, failure_text};

use crate::metrics::MetricSet;

/// Judges a candidate. `candidate` has its metrics on all test rows that it did not learn from.
/// `comparison` is `None` if there is no champion. If the champion cannot be compared with, use
/// [`Gates::without_comparison`].
#[must_use]
pub fn judge(gates: &Gates, candidate: &MetricSet, comparison: Option<&ChampionComparison>) -> Judgement {
    let gates: Vec<GateResult> = gates.all().iter().map(|gate| rules::judge(gate, candidate, comparison)).collect();
    Judgement { verdict: Verdict::of(&gates), gates }
}

#[cfg(test)]
mod tests;
