//! Bounds that a version in trial must keep.

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::units::{Rate, Span};

/// The label of a positive outcome where neither the plan nor the model names one. An outcome
/// without a label is positive if its value is above 0.
pub const DEFAULT_POSITIVE: &str = "1";
/// The longest bound of a latency, in milliseconds: an hour.
const MAX_P99_MS: u128 = 3_600_000;
/// The most bytes of a label, as the registry has it.
const MAX_LABEL: usize = 256;

/// Bounds that the candidate must keep. If it breaks one, the deployment is aborted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guard {
    /// The requests of the candidate in a step before its rates are judged. A schedule advances it
    /// after as many that did not fail.
    pub min_requests: u64,
    /// The largest share of the candidate's requests that may fail, in the present step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<Rate>,
    /// The longest 99th percentile of the candidate's latencies, in the present step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_p99: Option<Span>,
    /// A bound on the candidate's outcomes since the deployment was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<OutcomeBound>,
}

impl Default for Guard {
    fn default() -> Self {
        Self { min_requests: 100, max_error_rate: None, max_p99: None, outcome: None }
    }
}

impl Guard {
    pub(super) fn check(&self) -> Result<(), PlanError> {
        if self.min_requests == 0 {
            return Err(PlanError::new(
                "guard.min_requests",
                "no request would be judged",
                "write 1 or more: the requests that show whether the version works",
            ));
        }
        if let Some(Span(longest)) = self.max_p99
            && !(1..=MAX_P99_MS).contains(&longest.as_millis())
        {
            let hint = "write a duration such as 50 ms, or leave the bound out";
            return Err(PlanError::new("guard.max_p99", "a bound of latencies is from 1 ms to 1 h", hint));
        }
        self.outcome.as_ref().map_or(Ok(()), OutcomeBound::check)
    }
}

/// The figure of an arm's outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeFigure {
    /// The share of positive outcomes.
    #[default]
    #[serde(alias = "conversion_rate")]
    PositiveRate,
    /// The mean of the values.
    MeanValue,
}

impl OutcomeFigure {
    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::PositiveRate => "positive_rate",
            Self::MeanValue => "mean_value",
        }
    }
}

/// Whether more of a figure is better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// More is better.
    #[default]
    Higher,
    /// Less is better.
    Lower,
}

/// A bound on what became of the requests that the candidate answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutcomeBound {
    /// The figure.
    pub figure: OutcomeFigure,
    /// The label of a positive outcome; `None`: the positive class of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positive_label: Option<String>,
    /// The outcomes of the candidate, and of the control where it is compared with it, before the
    /// bound is judged. A schedule waits for them.
    pub min_outcomes: u64,
    /// The smallest figure of the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The largest figure of the candidate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// By how much the candidate's figure may be worse than the control's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worse_by_at_most: Option<f64>,
    /// Which direction is worse, for `worse_by_at_most`.
    pub better: Better,
}

impl Default for OutcomeBound {
    fn default() -> Self {
        Self {
            figure: OutcomeFigure::default(),
            positive_label: None,
            min_outcomes: 100,
            at_least: None,
            at_most: None,
            worse_by_at_most: None,
            better: Better::default(),
        }
    }
}

impl OutcomeBound {
    fn check(&self) -> Result<(), PlanError> {
        let Self { at_least, at_most, worse_by_at_most, .. } = self;
        let bounds = [("at_least", at_least), ("at_most", at_most), ("worse_by_at_most", worse_by_at_most)];
        if bounds.iter().all(|(_, bound)| bound.is_none()) {
            return Err(PlanError::new(
                "guard.outcome",
                "it has no bound",
                "write `at_least`, `at_most` or `worse_by_at_most`",
            ));
        }
        for (name, bound) in bounds {
            if bound.is_some_and(|bound| !bound.is_finite())
                || (name == "worse_by_at_most" && bound.is_some_and(|it| it < 0.0))
            {
                let field = format!("guard.outcome.{name}");
                return Err(PlanError::new(&field, "it is no bound", "write a number; a difference is not negative"));
            }
        }
        if let (Some(least), Some(most)) = (at_least, at_most)
            && least > most
        {
            let problem = format!("{least} is above `at_most`, which is {most}");
            return Err(PlanError::new("guard.outcome.at_least", problem, "write the smaller number here"));
        }
        if self.min_outcomes == 0 {
            let problem = "no outcome would be judged";
            return Err(PlanError::new("guard.outcome.min_outcomes", problem, "write 1 or more"));
        }
        check_label("guard.outcome.positive_label", self.positive_label.as_deref())
    }
}

/// Checks the label of positive outcomes.
pub(super) fn check_label(field: &str, label: Option<&str>) -> Result<(), PlanError> {
    if label.is_some_and(|label| label.is_empty() || label.len() > MAX_LABEL) {
        let problem = format!("a label has 1 to {MAX_LABEL} bytes");
        return Err(PlanError::new(field, problem, "write the label of a positive outcome, such as Yes"));
    }
    Ok(())
}
