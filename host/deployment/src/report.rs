//! The report of an A/B test: effect, confidence interval, p-value and verdict.
//!
//! There is no verdict before the test has lasted as long and seen as much as it was planned to:
//! whoever stops at the first difference that looks significant finds one in tests without any. The
//! figures so far are shown all the time.

use std::fmt;

use serde::Serialize;
use stagewright_store::{ArmCounts, Deployment};

use crate::breach::Outcomes;
use crate::observed::Observed;
use crate::plan::{Ab, Better, CONTROL, Metric};
use crate::statistics::{self, Comparison, Mean, Proportion};
use crate::units::percent;

const DAY_MS: f64 = 86_400_000.0;

/// The report of an A/B test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AbReport {
    /// The name of the test.
    pub experiment_name: String,
    /// The days since the start; until its end, if it has ended.
    pub elapsed_days: f64,
    /// The days that a verdict needs.
    pub duration_days: f64,
    /// The samples of the control: outcomes, or requests where the primary metric is of requests.
    pub control_samples: u64,
    /// The samples of the treatment.
    pub treatment_samples: u64,
    /// The samples of each arm that a verdict needs.
    pub min_sample_size: u64,
    /// The level of the confidence intervals.
    pub confidence: f64,
    /// The metric that decides.
    pub primary: MetricReport,
    /// The others.
    pub secondary: Vec<MetricReport>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A metric of both arms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricReport {
    /// The metric.
    pub metric: Metric,
    /// Its value for the control: a rate from 0 to 1, a mean, or milliseconds.
    pub control: Option<f64>,
    /// Its value for the treatment.
    pub treatment: Option<f64>,
    /// The treatment's value less the control's.
    pub effect: Option<f64>,
    /// The effect as a part of the control's value.
    pub relative_effect: Option<f64>,
    /// The confidence interval of the effect; none for latencies, which are known by buckets alone.
    pub confidence_interval: Option<(f64, f64)>,
    /// How likely such an effect, either way, is without a difference between the versions.
    pub p_value: Option<f64>,
}

/// The result of an A/B test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// It has not lasted long enough, or not seen enough.
    NotYet {
        /// The parts that are missing.
        missing: Vec<String>,
    },
    /// The treatment is better, by a p-value below 1 less the confidence.
    TreatmentBetter,
    /// The control is better.
    ControlBetter,
    /// No difference was found.
    NoDifference,
}

/// Makes the report of a test, active or ended.
pub fn report(deployment: &Deployment, test: &Ab, observed: &Observed<'_>) -> AbReport {
    let arms = Arms::of(deployment, test, observed);
    let primary = arms.metric(test.metrics.primary, test.confidence);
    let elapsed_ms = deployment.ended_ms.unwrap_or(observed.now_ms).saturating_sub(deployment.started_ms).max(0);
    let [control_samples, treatment_samples] = arms.samples(test.metrics.primary);
    let mut missing = Vec::new();
    if elapsed_ms < test.duration_ms() {
        missing.push(format!("{} of {} days have passed", days(elapsed_ms), test.duration_days));
    }
    for (arm, samples) in [("control", control_samples), ("treatment", treatment_samples)] {
        if samples < test.min_sample_size {
            missing.push(format!("the {arm} has {samples} of {} samples", test.min_sample_size));
        }
    }
    if missing.is_empty() && primary.p_value.is_none() {
        missing.push(format!("`{}` has no values that vary", test.metrics.primary.name()));
    }
    AbReport {
        experiment_name: test.experiment_name.clone(),
        elapsed_days: days(elapsed_ms),
        duration_days: test.duration_days,
        control_samples,
        treatment_samples,
        min_sample_size: test.min_sample_size,
        confidence: test.confidence,
        verdict: verdict(test, &primary, missing),
        primary,
        secondary: test.metrics.secondary.iter().map(|metric| arms.metric(*metric, test.confidence)).collect(),
    }
}

fn verdict(test: &Ab, primary: &MetricReport, missing: Vec<String>) -> Verdict {
    match (primary.effect, primary.p_value) {
        (Some(effect), Some(p_value)) if missing.is_empty() => {
            let is_better = match test.better() {
                Better::Higher => effect > 0.0,
                Better::Lower => effect < 0.0,
            };
            match is_better {
                _ if p_value >= 1.0 - test.confidence => Verdict::NoDifference,
                true => Verdict::TreatmentBetter,
                false => Verdict::ControlBetter,
            }
        }
        _ => Verdict::NotYet { missing },
    }
}

/// The figures of both arms, the control first.
struct Arms {
    counts: [ArmCounts; 2],
    outcomes: [Outcomes; 2],
}

impl Arms {
    fn of(deployment: &Deployment, test: &Ab, observed: &Observed<'_>) -> Self {
        let counts = |arm: &str| {
            let mut sum = ArmCounts { arm: arm.to_owned(), step: deployment.step, ..ArmCounts::default() };
            observed.counts.iter().filter(|counts| counts.arm == arm).for_each(|counts| sum.add(counts));
            sum
        };
        let versions = [test.variants.control.model_version, test.variants.treatment.model_version];
        let names = [CONTROL, "treatment"];
        let outcomes = |arm: usize| Outcomes::of(observed.outcomes, names[arm], versions[arm]);
        Self { counts: names.map(counts), outcomes: [outcomes(0), outcomes(1)] }
    }

    /// Returns the number of samples of a metric.
    fn samples(&self, metric: Metric) -> [u64; 2] {
        match metric {
            Metric::ConversionRate => [0, 1].map(|arm| self.outcomes[arm].count),
            Metric::MeanValue => [0, 1].map(|arm| self.outcomes[arm].valued),
            _ => [0, 1].map(|arm| self.counts[arm].requests),
        }
    }

    fn metric(&self, metric: Metric, confidence: f64) -> MetricReport {
        let (values, comparison) = match metric {
            Metric::ConversionRate => {
                let arms = [0, 1].map(|arm| {
                    let Outcomes { positives, count, .. } = self.outcomes[arm];
                    Proportion { positives, count }
                });
                (arms.map(Proportion::rate), statistics::proportions(arms[0], arms[1], confidence))
            }
            Metric::ErrorRate => {
                let arms = [0, 1]
                    .map(|arm| Proportion { positives: self.counts[arm].errors, count: self.counts[arm].requests });
                (arms.map(Proportion::rate), statistics::proportions(arms[0], arms[1], confidence))
            }
            Metric::MeanValue => {
                let arms = [0, 1].map(|arm| {
                    let Outcomes { valued, sum, sum_of_squares, .. } = self.outcomes[arm];
                    Mean::of_sums(valued, sum, sum_of_squares)
                });
                let means = [0, 1].map(|arm| {
                    let Outcomes { valued, sum, .. } = self.outcomes[arm];
                    (valued > 0).then(|| sum / valued as f64)
                });
                let comparison = arms[0].zip(arms[1]).and_then(|(a, b)| statistics::means(a, b, confidence));
                (means, comparison)
            }
            Metric::LatencyP50 | Metric::LatencyP95 | Metric::LatencyP99 => {
                let quantile = metric.quantile().unwrap_or(0.99);
                let latency = |arm: usize| {
                    let bound = self.counts[arm].latency_quantile_us(quantile).filter(|bound| *bound != u64::MAX);
                    bound.map(|microseconds| microseconds as f64 / 1e3)
                };
                ([latency(0), latency(1)], None)
            }
        };
        MetricReport::new(metric, values, comparison)
    }
}

impl MetricReport {
    fn new(metric: Metric, [control, treatment]: [Option<f64>; 2], comparison: Option<Comparison>) -> Self {
        let effect = control.zip(treatment).map(|(control, treatment)| treatment - control);
        let relative = control.zip(effect).filter(|(control, _)| *control != 0.0);
        Self {
            metric,
            control,
            treatment,
            effect,
            relative_effect: relative.map(|(control, effect)| effect / control.abs()),
            confidence_interval: comparison.map(|it| (it.low, it.high)),
            p_value: comparison.map(|it| it.p_value),
        }
    }
}

impl AbReport {
    /// Returns the verdict in a sentence.
    pub fn verdict_text(&self) -> String {
        let metric = &self.primary;
        let found = || {
            let p_value = metric.p_value.map_or_else(String::new, |p_value| format!(", p = {}", p_text(p_value)));
            let effect = metric.effect.map_or_else(|| "nothing".to_owned(), |effect| metric.difference_text(effect));
            format!("`{}` differs by {effect}{p_value}", metric.metric.name())
        };
        match &self.verdict {
            Verdict::NotYet { missing } => {
                format!("`{}` has no verdict yet: {}", self.experiment_name, missing.join("; "))
            }
            Verdict::TreatmentBetter => format!("treatment is better: {}", found()),
            Verdict::ControlBetter => format!("control is better: {}", found()),
            Verdict::NoDifference => format!("no difference was found: {}", found()),
        }
    }
}

impl MetricReport {
    /// Returns a value of the metric for people.
    fn value_text(&self, value: f64) -> String {
        match self.metric {
            Metric::ConversionRate | Metric::ErrorRate => percent(value),
            Metric::MeanValue => significant(value),
            Metric::LatencyP50 | Metric::LatencyP95 | Metric::LatencyP99 => format!("{} ms", significant(value)),
        }
    }

    /// Returns a difference of the metric for people; that of two rates in percentage points.
    fn difference_text(&self, difference: f64) -> String {
        let sign = if difference > 0.0 { "+" } else { "" };
        match self.metric {
            Metric::ConversionRate | Metric::ErrorRate => format!("{sign}{} points", points(difference)),
            _ => format!("{sign}{}", self.value_text(difference)),
        }
    }
}

impl fmt::Display for MetricReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| self.value_text(value));
        let (control, treatment) = (value(self.control), value(self.treatment));
        write!(f, "{}: control {control}, treatment {treatment}", self.metric.name())?;
        if let Some(effect) = self.effect {
            write!(f, ", effect {}", self.difference_text(effect))?;
        }
        if let Some(relative) = self.relative_effect {
            let sign = if relative > 0.0 { "+" } else { "" };
            write!(f, " ({sign}{})", percent(relative))?;
        }
        if let Some((low, high)) = self.confidence_interval {
            write!(f, ", interval {} to {}", self.difference_text(low), self.difference_text(high))?;
        }
        self.p_value.map_or(Ok(()), |p_value| write!(f, ", p = {}", p_text(p_value)))
    }
}

impl fmt::Display for AbReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { elapsed_days, duration_days, control_samples, treatment_samples, min_sample_size, .. } = self;
        writeln!(f, "{}: {elapsed_days} of {duration_days} days", self.experiment_name)?;
        writeln!(f, "samples: control {control_samples}, treatment {treatment_samples}, of {min_sample_size} each")?;
        writeln!(f, "confidence: {}", percent(self.confidence))?;
        writeln!(f, "{}", self.primary)?;
        self.secondary.iter().try_for_each(|metric| writeln!(f, "{metric}"))
    }
}

/// Returns days with two decimals, rounded down, so that a test is never said to be over too soon.
fn days(milliseconds: i64) -> f64 {
    (milliseconds as f64 / DAY_MS * 100.0).floor() / 100.0
}

fn points(difference: f64) -> f64 {
    (difference * 1e4).round() / 1e2
}

fn p_text(p_value: f64) -> String {
    if p_value < 1e-4 { "less than 0.0001".to_owned() } else { format!("{p_value:.4}") }
}

/// Returns a number with four significant digits.
fn significant(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    let digits = 3 - number.abs().log10().floor() as i32;
    let decimals = usize::try_from(digits.clamp(0, 12)).unwrap_or_default();
    let text = format!("{number:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
