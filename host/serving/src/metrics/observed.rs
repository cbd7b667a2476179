//! The counts of the prediction log and of outcomes.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// The most combinations of labels that outcomes are counted under. Clients choose among versions
/// and classes, of which there may be many.
const MOST_SERIES: usize = 2000;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

/// The labels of outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) model: String,
    pub(crate) version: String,
    pub(crate) arm: String,
    /// The class; empty if a value was posted alone.
    pub(crate) label: String,
}

/// The counts of the prediction log and of outcomes.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    logged: Family<ModelLabels, Counter>,
    dropped: Family<ModelLabels, Counter>,
    outcomes: Family<OutcomeLabels, Counter>,
    known: Mutex<HashSet<OutcomeLabels>>,
}

impl Observed {
    /// Registers everything.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("prediction_log_rows", "Rows of the prediction log that were written", self.logged.clone());
        let help = "Rows of the prediction log that were dropped, because the disk did not keep up or failed";
        registry.register("prediction_log_dropped_rows", help, self.dropped.clone());
        registry.register("outcomes", "Outcomes that were recorded", self.outcomes.clone());
    }

    /// Returns the counters of a model's log: of rows that were written, and that were dropped.
    pub(crate) fn of_log(&self, model: &str) -> (Counter, Counter) {
        let labels = ModelLabels { model: model.to_owned() };
        (self.logged.get_or_create_owned(&labels), self.dropped.get_or_create_owned(&labels))
    }

    /// Counts an outcome. Beyond the most combinations of labels, all others count under `other`.
    pub(crate) fn count_outcome(&self, labels: OutcomeLabels) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_counted = known.contains(&labels) || known.len() < MOST_SERIES && known.insert(labels.clone());
        drop(known);
        let other = || "other".to_owned();
        let labels = match is_counted {
            true => labels,
            false => OutcomeLabels { version: other(), arm: other(), label: other(), ..labels },
        };
        self.outcomes.get_or_create(&labels).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_a_bounded_number_of_series() {
        let observed = Observed::default();
        let labels = |version: usize| OutcomeLabels {
            model: "churn".into(),
            version: version.to_string(),
            arm: String::new(),
            label: "Yes".into(),
        };
        (0..MOST_SERIES + 50).for_each(|version| observed.count_outcome(labels(version)));
        observed.count_outcome(labels(0));
        let mut registry = Registry::default();
        observed.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
        let series = text.lines().filter(|line| line.starts_with("outcomes_total{"));
        assert_eq!(series.clone().count(), MOST_SERIES + 1);
        let other = "outcomes_total{model=\"churn\",version=\"other\",arm=\"other\",label=\"other\"} 50";
        assert!(series.clone().any(|line| line == other), "{text}");
        assert!(text.contains("version=\"0\",arm=\"\",label=\"Yes\"} 2"));
    }
}
