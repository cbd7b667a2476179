//! The configuration of an A/B test.

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::plan::guard::{Better, Guard, check_label};
use crate::plan::key::Key;

/// The longest test, in days.
const MAX_DAYS: f64 = 3650.0;
/// The most characters of a test's name.
const MAX_NAME: usize = 128;

/// An A/B test: two versions answer fixed shares of the requests until their outcomes can be
/// compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ab {
    /// The name of the test.
    pub experiment_name: String,
    /// The two versions with their shares.
    pub variants: Variants,
    /// The metrics that are compared.
    pub metrics: Metrics,
    /// The days that the test takes at least. Parts of a day are allowed.
    pub duration_days: f64,
    /// The samples of each arm that a verdict needs: outcomes, or requests where the primary metric
    /// is of requests.
    pub min_sample_size: u64,
    /// The part of a request that decides which arm answers.
    #[serde(default)]
    pub key: Key,
    /// The label of a positive outcome; `None`: the positive class of the model. An outcome without
    /// a label is positive if its value is above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_label: Option<String>,
    /// The level of the confidence interval. A difference counts if its p-value is below 1 less
    /// this.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// Whether more of the primary metric is better; `None`: as is usual for the metric.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<Better>,
    /// Bounds that the treatment must keep all the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// The two arms of an A/B test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variants {
    /// The champion.
    pub control: Variant,
    /// The version that is tried.
    pub treatment: Variant,
}

/// A version with its share of the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// The version.
    pub model_version: u32,
    /// Its share of the requests in percent.
    pub traffic_percentage: f64,
}

/// The metrics of an A/B test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// The metric that decides.
    pub primary: Metric,
    /// Metrics that are reported beside it.
    #[serde(default)]
    pub secondary: Vec<Metric>,
}

/// A figure by which arms are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The share of positive outcomes.
    #[serde(alias = "positive_rate")]
    ConversionRate,
    /// The mean of the outcomes' values.
    MeanValue,
    /// The share of requests that failed.
    ErrorRate,
    /// The median latency, in milliseconds.
    LatencyP50,
    /// The 95th percentile of the latencies, in milliseconds.
    LatencyP95,
    /// The 99th percentile of the latencies, in milliseconds.
    LatencyP99,
}

impl Metric {
    /// Returns the name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConversionRate => "conversion_rate",
            Self::MeanValue => "mean_value",
            Self::ErrorRate => "error_rate",
            Self::LatencyP50 => "latency_p50",
            Self::LatencyP95 => "latency_p95",
            Self::LatencyP99 => "latency_p99",
        }
    }

    /// Returns the quantile of a latency, from 0 to 1; `None` for other metrics.
    pub fn quantile(self) -> Option<f64> {
        match self {
            Self::LatencyP50 => Some(0.5),
            Self::LatencyP95 => Some(0.95),
            Self::LatencyP99 => Some(0.99),
            _ => None,
        }
    }

    /// Returns which direction is usually better.
    pub fn better(self) -> Better {
        match self {
            Self::ConversionRate | Self::MeanValue => Better::Higher,
            _ => Better::Lower,
        }
    }
}

impl Ab {
    /// Returns which direction of the primary metric is better.
    pub fn better(&self) -> Better {
        self.better.unwrap_or(self.metrics.primary.better())
    }

    /// Returns the least duration of the test in milliseconds.
    pub fn duration_ms(&self) -> i64 {
        (self.duration_days * 86_400_000.0).ceil() as i64
    }

    pub(super) fn checked(mut self) -> Result<Self, PlanError> {
        let name = &self.experiment_name;
        if name.trim().is_empty() || name.chars().count() > MAX_NAME || name.chars().any(stagewright_text::is_hidden) {
            let problem = format!("a name has 1 to {MAX_NAME} visible characters");
            return Err(PlanError::new("experiment_name", problem, "write a name such as churn_model_v2"));
        }
        let Variants { control, treatment } = &self.variants;
        if control.model_version == treatment.model_version {
            return Err(PlanError::new(
                "variants.treatment.model_version",
                format!("both arms are version {}", control.model_version),
                "name another version: a test compares two",
            ));
        }
        let shares = [control.traffic_percentage, treatment.traffic_percentage];
        let is_share = |share: &f64| *share > 0.0 && *share < 100.0;
        if !shares.iter().all(is_share) || (shares[0] + shares[1] - 100.0).abs() > 1e-6 {
            return Err(PlanError::new(
                "variants.control.traffic_percentage",
                format!("the arms have {} % and {} %", shares[0], shares[1]),
                "give each more than 0, and both together 100",
            ));
        }
        if self.metrics.primary.quantile().is_some() {
            return Err(PlanError::new(
                "metrics.primary",
                format!("`{}` is known by buckets alone, and cannot decide a test", self.metrics.primary.name()),
                "take conversion_rate, mean_value or error_rate, and list latencies as secondary",
            ));
        }
        if !(self.duration_days > 0.0 && self.duration_days <= MAX_DAYS) {
            let problem = format!("{} is no number of days", self.duration_days);
            return Err(PlanError::new(
                "duration_days",
                problem,
                format!("write a number above 0, at most {MAX_DAYS}"),
            ));
        }
        if self.min_sample_size == 0 {
            return Err(PlanError::new("min_sample_size", "a verdict would need no sample", "write 1 or more"));
        }
        if !(0.5..1.0).contains(&self.confidence) {
            let problem = format!("{} is no level of confidence", self.confidence);
            return Err(PlanError::new("confidence", problem, "write a number from 0.5 to below 1, such as 0.95"));
        }
        check_label("positive_label", self.positive_label.as_deref())?;
        self.guard.as_ref().map_or(Ok(()), Guard::check)?;
        // Outcomes are tallied once, for the report and for the guard.
        let of_guard = self.guard.as_ref().and_then(|guard| guard.outcome.as_ref()?.positive_label.as_ref());
        if of_guard.is_some() && of_guard != self.positive_label.as_ref() {
            let problem = "the test has another label of positive outcomes, or none";
            let hint = "leave it out, and write `positive_label` beside `metrics`: it counts for the guard too";
            return Err(PlanError::new("guard.outcome.positive_label", problem, hint));
        }
        self.key = self.key.checked()?;
        Ok(self)
    }
}

fn default_confidence() -> f64 {
    0.95
}
