//! The evaluation stage `evaluate-classifier`: measures of binary classifiers in addition to the
//! host's metrics.
//!
//! It reports calibration, lift and gain, the distribution of scores, and a comparison of candidate
//! and champion, as metrics and figures. All rows count equally, even if the table has weights. The
//! host computes the metrics that gates read.
//!
//! - `brier`, `expected_calibration_error`: the distance between probabilities and classes; 0 is
//!   perfect.
//! - `lift_at_10`: the share of positives in the best tenth of the rows, relative to all rows.
//! - `gain_at_20`: the share of all positives that is in the best fifth of the rows.
//! - `auc_low`, `auc_high`: DeLong's interval of the candidate's area under the ROC curve.
//! - `champion_...`: the first four for the champion.
//! - `auc_difference`, `auc_difference_low`, `auc_difference_high`, `auc_difference_p`: candidate
//!   minus champion on the same rows, DeLong's interval, two-sided p-value.
//! - `agreement`: the share of rows that both models put on the same side of the threshold.

pub mod calibration;
pub mod ranking;
pub mod scores;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::tracking::{Figure, Series, add_figure};
use stagewright_kit::{Evaluation, Failure, Metric, Model, Settings, Table, Task, TaskKind};

use crate::ranking::Comparison;
use crate::scores::Scores;

/// The number of steps of the gain curve, which include 10 % and 20 %.
const GAIN_POINTS: usize = 50;

/// The most features in the figure of importances.
const SHOWN_FEATURES: usize = 20;

/// The stage's parameters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The number of ranges of equal width for calibration and histogram.
    #[schemars(range(min = 2, max = 100))]
    pub bins: usize,
    /// The level of confidence of intervals.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// The score from which on a row is called positive, for the agreement of the models.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { bins: 10, confidence: 0.95, threshold: 0.5 }
    }
}

/// The stage.
pub struct EvaluateClassifier;

impl Evaluation for EvaluateClassifier {
    type Parameters = Parameters;
    const TASKS: &'static [TaskKind] = &[TaskKind::Binary];

    fn evaluate(
        test: &dyn Table,
        candidate: &dyn Model,
        champion: Option<&dyn Model>,
        task: &Task,
        settings: &Settings<Parameters>,
    ) -> Result<Vec<Metric>, Failure> {
        if !matches!(task, Task::Binary(_)) {
            return Err(Failure::parameter("task", "evaluate-classifier judges binary models only"));
        }
        let scores = scores::collect(test, candidate, champion)?;
        for figure in figures(&scores, &settings.parameters) {
            add_figure(&figure)?;
        }
        if let Some(figure) = importance(candidate) {
            add_figure(&figure)?;
        }
        Ok(metrics(&scores, &settings.parameters))
    }
}

stagewright_kit::evaluation!(EvaluateClassifier);

/// Returns all metrics, in the order of the list above.
fn metrics(scores: &Scores, parameters: &Parameters) -> Vec<Metric> {
    let classes = &scores.classes;
    let mut metrics = own_metrics("", &scores.candidate, classes, parameters);
    let mut add = |name: &str, value: f64| metrics.push(Metric { name: name.to_owned(), value });
    let champion = scores.champion.as_deref();
    let comparison = Comparison::new(&scores.candidate, champion.unwrap_or(&scores.candidate), classes);
    let [low, high] = comparison.first_area(parameters.confidence);
    add("auc_low", low);
    add("auc_high", high);
    let Some(champion) = champion else { return metrics };
    let [difference, low, high] = comparison.difference(parameters.confidence);
    add("auc_difference", difference);
    add("auc_difference_low", low);
    add("auc_difference_high", high);
    add("auc_difference_p", comparison.p_value());
    let side = |score: &f64| *score >= parameters.threshold;
    let agreeing = scores.candidate.iter().zip(champion).filter(|(a, b)| side(a) == side(b)).count();
    add("agreement", agreeing as f64 / classes.len() as f64);
    metrics.extend(own_metrics("champion_", champion, classes, parameters));
    metrics
}

/// Returns the metrics of one model.
fn own_metrics(prefix: &str, scores: &[f64], classes: &[bool], parameters: &Parameters) -> Vec<Metric> {
    let gain = ranking::gain(scores, classes, GAIN_POINTS);
    let bins = calibration::bins(scores, classes, parameters.bins);
    let values = [
        ("brier", calibration::brier(scores, classes)),
        ("expected_calibration_error", calibration::expected_calibration_error(&bins)),
        ("lift_at_10", gain[GAIN_POINTS / 10] / 0.1),
        ("gain_at_20", gain[GAIN_POINTS / 5]),
    ];
    values.map(|(name, value)| Metric { name: format!("{prefix}{name}"), value }).to_vec()
}

/// Adds the figures of calibration, histogram and gain.
fn figures(scores: &Scores, parameters: &Parameters) -> Vec<Figure> {
    let models = [("candidate", Some(&scores.candidate)), ("champion", scores.champion.as_ref())];
    let models: Vec<_> = models.into_iter().filter_map(|(name, scores)| Some((name, scores?))).collect();
    let diagonal = |name: &str| Series::new(name, vec![0.0, 1.0], vec![0.0, 1.0]);
    let mut calibration = vec![diagonal("perfect")];
    let mut gain = vec![diagonal("by chance")];
    for &(name, values) in &models {
        let (x, y) = calibration::curve(&calibration::bins(values, &scores.classes, parameters.bins));
        calibration.push(Series::new(name, x, y));
        let found = ranking::gain(values, &scores.classes, GAIN_POINTS);
        if found.iter().all(|share| share.is_finite()) {
            let x = (0..=GAIN_POINTS).map(|point| point as f64 / GAIN_POINTS as f64).collect();
            gain.push(Series::new(name, x, found));
        }
    }
    vec![
        Figure::lines("calibration", "Calibration", ["predicted probability", "observed rate"], calibration),
        Figure::lines("gain", "Cumulative gain", ["share of rows, best first", "share of positives"], gain),
        histogram(scores, parameters.bins),
    ]
}

/// Returns the figure of the distribution of the candidate's scores, by class.
fn histogram(scores: &Scores, count: usize) -> Figure {
    let bins = calibration::bins(&scores.candidate, &scores.classes, count);
    let middle = |index: usize| (index as f64 + 0.5) / count as f64;
    let shares = |name: &str, rows: &dyn Fn(&calibration::Bin) -> f64| {
        let total: f64 = bins.iter().map(rows).sum();
        let share = |bin| if total > 0.0 { rows(bin) / total } else { 0.0 };
        Series::new(name, (0..count).map(middle).collect(), bins.iter().map(share).collect())
    };
    let series = vec![shares("negative", &|bin| bin.rows - bin.positives), shares("positive", &|bin| bin.positives)];
    Figure::lines("scores", "Scores of the candidate by class", ["score", "share of the class"], series)
}

/// Returns the figure of the candidate's most important features, or `None` if the model has no
/// importances.
fn importance(candidate: &dyn Model) -> Option<Figure> {
    let mut features = candidate.importance();
    features.sort_by(|a, b| b.importance.total_cmp(&a.importance));
    features.truncate(SHOWN_FEATURES);
    if features.is_empty() {
        return None;
    }
    let (labels, values) = features.into_iter().map(|feature| (feature.feature, feature.importance)).unzip();
    Some(Figure::bars("importance", "Most important features", "share", labels, values))
}

#[cfg(test)]
mod tests {
    use stagewright_kit::{Batch, BinaryClasses, DataType, FeatureImportance, Field, MemoryTable, Output, Role};

    use super::*;

    /// Predicts the only feature, or returns an invalid result.
    struct Echo(fn(f64) -> f64);

    impl Model for Echo {
        fn outputs(&self) -> Vec<Output> {
            vec![Output::Probability(1)]
        }
        fn predict(&self, rows: &Batch) -> Result<Vec<f64>, Failure> {
            assert_eq!(rows.columns.len(), 1, "the target is kept from the model");
            let numbers = rows.columns[0].clone().into_numbers(rows.len()).unwrap_or_default();
            Ok(numbers.into_iter().map(self.0).collect())
        }
        fn importance(&self) -> Vec<FeatureImportance> {
            Vec::new()
        }
    }

    fn table(batches: &[(&[f64], &[i64])]) -> MemoryTable {
        let fields = [
            (Field::required("id", DataType::Int64), Role::Identifier),
            (Field::required("y", DataType::Int64), Role::Target),
            (Field::required("x", DataType::Float64), Role::Feature),
        ];
        let batch = |(x, y): &(&[f64], &[i64])| {
            Batch::new(x.len() as u32, vec![vec![7i64; x.len()].into(), y.to_vec().into(), x.to_vec().into()])
        };
        MemoryTable::new(fields, batches.iter().map(batch).collect())
    }

    fn evaluate(candidate: &dyn Model, champion: Option<&dyn Model>) -> Result<Vec<Metric>, Failure> {
        let table = table(&[(&[0.1, 0.4, 0.35], &[0, 0, 1]), (&[0.8, 0.2, 0.7], &[1, 0, 1])]);
        let task = Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() });
        let settings = Settings { parameters: Parameters::default(), seed: 0, as_of: 0 };
        EvaluateClassifier::evaluate(&table, candidate, champion, &task, &settings)
    }

    fn value(metrics: &[Metric], name: &str) -> f64 {
        metrics.iter().find(|metric| metric.name == name).map_or(f64::NEG_INFINITY, |metric| metric.value)
    }

    #[test]
    fn without_a_champion_nothing_is_compared() {
        let metrics = evaluate(&Echo(|x| x), None).unwrap();
        assert!(value(&metrics, "brier") > 0.0);
        assert!(metrics.iter().all(|metric| !metric.name.contains("champion") && !metric.name.contains("difference")));
    }

    #[test]
    fn a_reversed_champion_loses_the_comparison() {
        let metrics = evaluate(&Echo(|x| x), Some(&Echo(|x| 1.0 - x))).unwrap();
        // 8 of 9 pairs are in order.
        assert!((value(&metrics, "auc_difference") - (8.0 / 9.0 - 1.0 / 9.0)).abs() < 1e-12);
        assert!(value(&metrics, "auc_difference_low") > 0.0);
        assert_eq!(value(&metrics, "agreement"), 0.0);
    }

    #[test]
    fn a_score_outside_zero_and_one_is_refused() {
        let Err(Failure::Internal(message)) = evaluate(&Echo(|x| x * 2.0), None) else { panic!("accepted") };
        assert!(message.contains("1.6"), "{message}");
    }
}
