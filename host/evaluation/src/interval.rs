//! Metrics of one model with their confidence intervals.
//!
//! Accuracy is a proportion of rows: Wilson's interval (JASA 22, 1927), which holds for few rows
//! and near 0 and 1, where the textbook's does not. The area under the ROC curve has DeLong's
//! formula (1988). Every other metric is bootstrapped (Efron and Tibshirani 1993).

use serde::Serialize;

use crate::Error;
use crate::difference::{Labels, Method, bootstrap, delong, named, normal};
use crate::metrics::canonical_name;

/// A metric with its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricInterval {
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// The lower end of the interval; `None` if the rows are too few, or too much alike, to tell.
    pub low: Option<f64>,
    /// The upper end of the interval.
    pub high: Option<f64>,
    /// The two-sided confidence of the interval: 0.95 leaves 2.5 % beyond each end.
    pub confidence: f64,
    /// How the interval was computed.
    pub method: Method,
}

/// Returns a metric of a model with its interval at a two-sided `confidence` between 0 and 1.
/// `None` if the metric is unknown or undefined on these rows. `stop` is called before each draw of
/// a bootstrap; once it returns true, there is no interval.
///
/// ```
/// use stagewright_evaluation::difference::Labels;
/// use stagewright_evaluation::interval::metric_interval;
///
/// let (labels, scores) = ([0, 0, 1, 1, 1], [0.1, 0.6, 0.4, 0.8, 0.9]);
/// let accuracy = metric_interval(Labels::Binary(&labels), &scores, "accuracy", 0.95, &|| false)?;
/// let accuracy = accuracy.expect("a metric of binary tasks");
/// assert_eq!(accuracy.value, 0.6);
/// assert!(accuracy.low < Some(0.25) && accuracy.high > Some(0.85), "five rows say little");
/// # Ok::<(), stagewright_evaluation::Error>(())
/// ```
///
/// # Errors
/// Those of the metric: no rows, different numbers of labels and scores, an unknown class, a score
/// that is not a probability.
pub fn metric_interval(
    labels: Labels<'_>,
    scores: &[f64],
    metric: &str,
    confidence: f64,
    stop: &dyn Fn() -> bool,
) -> Result<Option<MetricInterval>, Error> {
    let metric = canonical_name(metric);
    let Some(value) = named(labels, scores)?.get(metric) else { return Ok(None) };
    let z = normal::quantile(0.5 + confidence / 2.0);
    let (ends, method) = match labels {
        _ if metric == "accuracy" => (Some(wilson(value, labels.rows(), z)), Method::Wilson),
        // The difference from a model that ranks nothing: its area is 0.5 on all rows.
        Labels::Binary(classes) if metric == "roc_auc" => {
            let error = delong::standard_error(classes, scores, &vec![0.5; classes.len()]);
            // Without any spread, the formula says nothing.
            let error = error.filter(|error| *error > 0.0);
            let within = |error: f64| ((value - z * error).max(0.0), (value + z * error).min(1.0));
            (error.map(within), Method::Delong)
        }
        _ => (bootstrap::interval_of_one(labels, scores, metric, confidence, stop), Method::Bootstrap),
    };
    let (low, high) = ends.unzip();
    Ok(Some(MetricInterval { metric: metric.to_owned(), value, low, high, confidence, method }))
}

/// Returns Wilson's interval of a proportion of `rows`; `z` is the quantile of its confidence.
fn wilson(proportion: f64, rows: usize, z: f64) -> (f64, f64) {
    let rows = rows as f64;
    let squared = z * z / rows;
    let middle = (proportion + squared / 2.0) / (1.0 + squared);
    let half = z / (1.0 + squared) * (proportion * (1.0 - proportion) / rows + squared / (4.0 * rows)).max(0.0).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABELS: [u8; 12] = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1];
    const SCORES: [f64; 12] = [0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.3, 0.5, 0.6, 0.8, 0.9, 0.95];

    fn of(labels: Labels<'_>, scores: &[f64], metric: &str) -> MetricInterval {
        metric_interval(labels, scores, metric, 0.95, &|| false).expect("valid rows").expect("a metric")
    }

    #[test]
    fn the_interval_of_a_proportion_is_wilsons() {
        // Computed apart, in Python; the first is a textbook's example.
        for (count, rows, low, high) in
            [(8, 10, 0.490_162_5, 0.943_317_8), (0, 10, 0.0, 0.277_532_8), (950, 1000, 0.934_686_2, 0.961_869_7)]
        {
            let found = wilson(f64::from(count) / rows as f64, rows, normal::quantile(0.975));
            assert!((found.0 - low).abs() < 1e-6 && (found.1 - high).abs() < 1e-6, "{count} of {rows}: {found:?}");
        }
        let accuracy = of(Labels::Binary(&LABELS), &SCORES, "accuracy");
        assert_eq!((accuracy.value, accuracy.method), (0.75, Method::Wilson));
    }

    #[test]
    fn the_interval_of_an_area_is_delongs() {
        let auc = of(Labels::Binary(&LABELS), &SCORES, "auc");
        // By the definition: the variance of the share of the other class that each row beats.
        let beats = |own: f64, other: f64| f64::from(u8::from(own > other)) + 0.5 * f64::from(u8::from(own == other));
        let (negatives, positives) = SCORES.split_at(6);
        let of_positives: Vec<f64> =
            positives.iter().map(|own| negatives.iter().map(|other| beats(*own, *other)).sum::<f64>() / 6.0).collect();
        let of_negatives: Vec<f64> =
            negatives.iter().map(|own| positives.iter().map(|other| beats(*other, *own)).sum::<f64>() / 6.0).collect();
        let variance = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / 6.0;
            values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / 5.0
        };
        let error = ((variance(&of_positives) + variance(&of_negatives)) / 6.0).sqrt();
        let expected = of_positives.iter().sum::<f64>() / 6.0;
        assert!((auc.value - expected).abs() < 1e-12);
        let low = auc.low.expect("an interval");
        assert!((low - (expected - 1.959_963_984_540_054 * error)).abs() < 1e-9, "{auc:?}");
        assert!(auc.high.is_some_and(|high| high <= 1.0));
        // All pairs are ranked alike, which the formula takes for certainty.
        let perfect = of(Labels::Binary(&LABELS), &LABELS.map(f64::from), "roc_auc");
        assert_eq!((perfect.value, perfect.low, perfect.high), (1.0, None, None));
    }

    #[test]
    fn every_other_metric_is_bootstrapped() {
        let brier = of(Labels::Binary(&LABELS), &SCORES, "brier");
        assert_eq!(brier.method, Method::Bootstrap);
        let (low, high) = (brier.low.expect("an interval"), brier.high.expect("an interval"));
        assert!(low < brier.value && brier.value < high && low > 0.0, "{brier:?}");
        let numbers = of(Labels::Regression(&[1.0, 2.0, 3.0, 4.0]), &[1.5, 2.0, 2.0, 4.5], "rmse");
        assert!(numbers.low < Some(numbers.value) && numbers.high > Some(numbers.value), "{numbers:?}");
        let classes = [0_u32, 1, 2, 2];
        let scores = [0.8, 0.1, 0.1, 0.2, 0.7, 0.1, 0.3, 0.3, 0.4, 0.6, 0.2, 0.2];
        let known = Labels::MultiClass { labels: &classes, classes: 3 };
        assert_eq!(of(known, &scores, "accuracy").value, 0.75);
        let unknown = metric_interval(known, &scores, "brier", 0.95, &|| false).expect("valid rows");
        assert_eq!(unknown, None);
        assert!(metric_interval(Labels::Binary(&[]), &[], "brier", 0.95, &|| false).is_err());
    }
}
