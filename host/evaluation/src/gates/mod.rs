//! Gates: whether a candidate's metrics are good enough, and the reason in words.
//!
//! A gate that cannot be computed is not passed. Metrics of which less is better
//! ([`lower_is_better`]) are compared the other way round by the rules that look at the champion;
//! `minimum` and `maximum` mean what they say.
//!
//! Absolute gates read the candidate's figures on all test rows that it did not learn from. Gates
//! that compare read both models' figures on the rows that neither learnt from ([`ChampionComparison`]), so
//! the two kinds may show different figures of one metric. Where too few rows are left to compare,
//! nothing is known about the champion: the verdict is then [`Verdict::Undecided`], which promotes
//! nothing.
//!
//! Where a rule computes its limit (the champion's figure plus a margin), a few units in the last
//! place are taken for equality: 0.84 + 0.01 is not 0.85 in binary, and a gate must decide decimal
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

/// Judges a candidate. `candidate` has its metrics on all test rows that it did not learn from;
/// `comparison` is `None` if there is no champion. Where a champion cannot be compared with, judge
/// by [`Gates::without_comparison`].
#[must_use]
pub fn judge(gates: &Gates, candidate: &MetricSet, comparison: Option<&ChampionComparison>) -> Judgement {
    let gates: Vec<GateResult> = gates.all().iter().map(|gate| rules::judge(gate, candidate, comparison)).collect();
    Judgement { verdict: Verdict::of(&gates), gates }
}

#[cfg(test)]
mod tests;
