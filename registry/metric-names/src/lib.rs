//! The names of metrics, and their synonyms: `auc` and `auc_roc` are `roc_auc`.
//!
//! ```
//! use stagewright_metric_names::{canonical_name, names};
//!
//! assert_eq!(canonical_name("AUC"), "roc_auc");
//! assert_eq!(names("acc"), Some(["accuracy", "acc", "accuracy_score"].as_slice()));
//! assert_eq!(canonical_name("conversion"), "conversion");
//! ```
//!
//! One list serves everything that takes the name of a metric of the host: gates of a manifest and
//! of a command, comparisons. It is a crate of its own because the manifest and the evaluation both
//! need it, and neither may depend on the other. Unknown names are left as they are: components log
//! what they like. A search takes names as they were logged, as MLflow's does.

/// The metrics that have several names, the host's name first. No name occurs twice.
const METRICS: [&[&str]; 11] = [
    &["roc_auc", "auc", "auc_roc", "rocauc", "aucroc", "roc_auc_score"],
    &["accuracy", "acc", "accuracy_score"],
    &["precision", "precision_score"],
    &["recall", "recall_score", "sensitivity", "tpr"],
    &["f1", "f1_score", "f_score"],
    &["log_loss", "logloss", "cross_entropy"],
    &["average_precision", "average_precision_score", "ap", "auprc", "pr_auc", "auc_pr"],
    &["brier", "brier_score", "brier_score_loss"],
    &["rmse", "root_mean_squared_error"],
    &["mae", "mean_absolute_error"],
    &["r2", "r2_score"],
];

/// Returns the host's name for a metric; the name itself if it is unknown. Ignores case, and takes
/// hyphens for underscores, when it compares known names: `AUC` and `roc-auc` are `roc_auc`.
#[must_use]
pub fn canonical_name(metric: &str) -> &str {
    names(metric).map_or(metric, |names| names[0])
}

/// Returns every name of this metric, the host's first; `None` if it has no other.
#[must_use]
pub fn names(metric: &str) -> Option<&'static [&'static str]> {
    let plain = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    let same = |name: &&&str| name.bytes().eq(metric.bytes().map(plain));
    METRICS.iter().copied().find(|names| names.iter().any(|name| same(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_other_name_leads_to_the_one_that_the_host_writes() {
        for names in METRICS {
            for name in names {
                assert_eq!(canonical_name(name), names[0]);
                assert_eq!(super::names(name), Some(names));
            }
        }
        for name in ["auc", "AUC", "auc_roc", "roc_auc", "ROC-AUC", "roc-auc"] {
            assert_eq!(canonical_name(name), "roc_auc");
        }
        assert_eq!(canonical_name("acc"), "accuracy");
    }

    #[test]
    fn no_name_stands_for_two_metrics() {
        let all: Vec<&str> = METRICS.iter().flat_map(|names| names.iter().copied()).collect();
        for (place, name) in all.iter().enumerate() {
            assert!(!all[..place].contains(name), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_left_as_it_is() {
        for name in ["roc_auc_ovr", "conversion", "Conversion-Rate", "auc2", ""] {
            assert_eq!(canonical_name(name), name);
            assert_eq!(names(name), None);
        }
    }
}
