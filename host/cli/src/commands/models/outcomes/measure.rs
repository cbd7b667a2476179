//! Metrics of what was predicted, by what turned out to be true.

use std::collections::HashMap;

use serde::Serialize;
use stagewright_data::Task;
use stagewright_evaluation::difference::{DEFAULT_CONFIDENCE, Labels};
use stagewright_evaluation::interval::{MetricInterval, metric_interval};
use stagewright_store::{Registry, StoreError};

use super::join::{Group, Scores};
use crate::commands::models::version::contents;

/// The confidence of the intervals.
pub(super) const CONFIDENCE: f64 = DEFAULT_CONFIDENCE;

/// A version as an arm, measured.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) version: u32,
    pub(crate) arm: Option<String>,
    /// The outcomes that were posted.
    pub(crate) outcomes: u64,
    /// Those that have a prediction, which the metrics are of.
    pub(crate) joined: u64,
    /// Those whose prediction was not logged.
    pub(crate) without_prediction: u64,
    /// Those of requests with several rows.
    pub(crate) of_several_rows: u64,
    /// Those without what the task needs: a label, or a value for a regression.
    pub(crate) without_truth: u64,
    pub(crate) metrics: Vec<MetricInterval>,
}

/// The predictions of a group, and what was true.
enum Pairs {
    Binary(Vec<u8>, Vec<f64>),
    Classes(Vec<u32>, Vec<f64>, usize),
    Numbers(Vec<f64>, Vec<f64>),
}

/// Measures a version as an arm. One that was deleted has no metrics, since its classes are gone.
pub(super) fn measure(registry: &Registry, model: &str, group: Group) -> anyhow::Result<Measured> {
    let task = match registry.version(model, group.version) {
        Ok(version) => Some(contents(&version)?.task),
        Err(StoreError::NoVersion { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let found = group.pairs.len() as u64;
    let pairs = task.map(|task| pairs(&task, group.pairs));
    let (joined, metrics) = match &pairs {
        None => (0, Vec::new()),
        Some(pairs) => (pairs.rows(), pairs.metrics()?),
    };
    Ok(Measured {
        version: group.version,
        arm: group.arm,
        outcomes: group.outcomes,
        joined,
        without_prediction: group.without_prediction,
        of_several_rows: group.of_several_rows,
        without_truth: found - joined,
        metrics,
    })
}

/// Pairs what was true with what was predicted, as far as the task has both.
fn pairs(task: &Task, pairs: Vec<(Option<Box<str>>, Option<f64>, Scores)>) -> Pairs {
    match task {
        Task::Regression => {
            let both = pairs.into_iter().filter_map(|(_, value, scores)| match scores {
                Scores::One(predicted) => Some((value?, predicted)),
                Scores::Classes(_) => None,
            });
            let (actual, predicted) = both.unzip();
            Pairs::Numbers(actual, predicted)
        }
        Task::Binary { negative, positive } => {
            let class = |label: &str| match label {
                label if label == positive => Some(1),
                label if label == negative => Some(0),
                _ => None,
            };
            let both = pairs.into_iter().filter_map(|(label, _, scores)| match scores {
                Scores::One(probability) => Some((class(&label?)?, probability)),
                Scores::Classes(_) => None,
            });
            let (labels, scores) = both.unzip();
            Pairs::Binary(labels, scores)
        }
        Task::MultiClass { classes } => {
            let (mut labels, mut all) = (Vec::new(), Vec::new());
            for (label, _, scores) in pairs {
                let Scores::Classes(json) = scores else { continue };
                let class = label.and_then(|label| classes.iter().position(|class| **class == *label));
                let Ok(by_class) = serde_json::from_str::<HashMap<String, f64>>(&json) else { continue };
                let own: Option<Vec<f64>> = classes.iter().map(|class| by_class.get(class).copied()).collect();
                if let (Some(class), Some(own)) = (class, own) {
                    labels.push(class as u32);
                    all.extend(own);
                }
            }
            Pairs::Classes(labels, all, classes.len())
        }
    }
}

impl Pairs {
    fn rows(&self) -> u64 {
        let rows = match self {
            Self::Binary(labels, _) => labels.len(),
            Self::Classes(labels, ..) => labels.len(),
            Self::Numbers(actual, _) => actual.len(),
        };
        rows as u64
    }

    fn metrics(&self) -> anyhow::Result<Vec<MetricInterval>> {
        let (labels, scores, names): (_, &[f64], &[&str]) = match self {
            Self::Binary(labels, scores) => (Labels::Binary(labels), scores, &["accuracy", "roc_auc", "brier"]),
            Self::Classes(labels, scores, classes) => {
                (Labels::MultiClass { labels, classes: *classes }, scores, &["accuracy", "log_loss", "f1_macro"])
            }
            Self::Numbers(actual, predicted) => (Labels::Regression(actual), predicted, &["rmse", "mae", "r2"]),
        };
        if self.rows() == 0 {
            return Ok(Vec::new());
        }
        let mut metrics = Vec::new();
        for name in names {
            metrics.extend(metric_interval(labels, scores, name, CONFIDENCE, &|| false)?);
        }
        Ok(metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(label: Option<&str>, value: Option<f64>, scores: Scores) -> (Option<Box<str>>, Option<f64>, Scores) {
        (label.map(Into::into), value, scores)
    }

    #[test]
    fn pairs_have_what_the_task_needs() {
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        let found = pairs(
            &binary,
            vec![
                pair(Some("Yes"), None, Scores::One(0.75)),
                pair(Some("No"), Some(3.0), Scores::One(0.5)),
                pair(Some("Maybe"), None, Scores::One(0.5)),
                pair(None, Some(1.0), Scores::One(0.5)),
            ],
        );
        assert!(matches!(&found, Pairs::Binary(labels, scores) if *labels == [1, 0] && *scores == [0.75, 0.5]));
        let metrics = found.metrics().expect("metrics");
        let values: Vec<_> = metrics.iter().map(|metric| (metric.metric.as_str(), metric.value)).collect();
        // A score of a half counts as positive.
        assert_eq!(values, [("accuracy", 0.5), ("roc_auc", 1.0), ("brier", 0.156_25)]);

        let classes = Task::MultiClass { classes: ["a", "b", "c"].map(str::to_owned).to_vec() };
        let found = pairs(
            &classes,
            vec![
                pair(Some("c"), None, Scores::Classes(r#"{"a":0.1,"b":0.2,"c":0.7}"#.into())),
                pair(Some("a"), None, Scores::Classes(r#"{"a":0.1,"b":0.9}"#.into())),
                pair(Some("a"), None, Scores::Classes("nonsense".into())),
            ],
        );
        assert!(matches!(&found, Pairs::Classes(labels, scores, 3) if *labels == [2] && *scores == [0.1, 0.2, 0.7]));
        assert_eq!(found.metrics().expect("metrics")[0].value, 1.0);

        let found = pairs(&Task::Regression, vec![pair(None, Some(2.0), Scores::One(5.0))]);
        assert!(matches!(&found, Pairs::Numbers(actual, predicted) if *actual == [2.0] && *predicted == [5.0]));
        assert_eq!((found.rows(), found.metrics().expect("metrics")[0].value), (1, 3.0));
        assert_eq!(pairs(&Task::Regression, Vec::new()).metrics().expect("none"), []);
    }
}
