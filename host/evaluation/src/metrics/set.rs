//! Metrics by name, in a fixed order.

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Named numbers in the order in which they were added. In JSON they are one object, with `null`
/// for an undefined one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricSet {
    entries: Vec<(String, Option<f64>)>,
}

impl MetricSet {
    /// Returns an empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a metric. NaN and infinities count as undefined. An existing name keeps its place.
    pub fn set(&mut self, name: impl Into<String>, value: f64) {
        self.put(name.into(), value.is_finite().then_some(value));
    }

    fn put(&mut self, name: String, value: Option<f64>) {
        match self.entries.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name, value)),
        }
    }

    /// Returns the value of a metric; `None` if it is undefined or missing.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.entries.iter().find(|(known, _)| known == name).and_then(|(_, value)| *value)
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of metrics, defined or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns all metrics, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl<N: Into<String>> FromIterator<(N, f64)> for MetricSet {
    fn from_iter<I: IntoIterator<Item = (N, f64)>>(metrics: I) -> Self {
        let mut set = Self::new();
        for (name, value) in metrics {
            set.set(name, value);
        }
        set
    }
}

impl Serialize for MetricSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (name, value) in &self.entries {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for MetricSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = MetricSet;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object of numbers or nulls")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<MetricSet, A::Error> {
                let mut set = MetricSet::new();
                while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
                    set.put(name, value);
                }
                Ok(set)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// Returns whether less of this metric is better. This is known for the losses that this crate
/// computes; for any other metric more is assumed to be better.
#[must_use]
pub fn lower_is_better(metric: &str) -> bool {
    matches!(metric, "log_loss" | "brier" | "rmse" | "mae")
}

/// Whether more or less of a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// Returns whether more or less of a metric is better. This is known for the metrics of this crate
/// and for names that end with `loss` or `error`. `None` where [`lower_is_better`] only assumes.
#[must_use]
pub fn direction(metric: &str) -> Option<Direction> {
    match metric {
        "roc_auc"
        | "roc_auc_ovr"
        | "accuracy"
        | "precision"
        | "recall"
        | "f1"
        | "f1_macro"
        | "precision_at_recall_80"
        | "average_precision"
        | "r2" => Some(Direction::Higher),
        loss if lower_is_better(loss) || loss.ends_with("loss") || loss.ends_with("error") => Some(Direction::Lower),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_keeps_its_order_and_writes_an_undefined_metric_as_null() {
        let set: MetricSet = [("roc_auc", f64::NAN), ("accuracy", 0.5), ("f1", 0.25)].into_iter().collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, r#"{"roc_auc":null,"accuracy":0.5,"f1":0.25}"#);
        assert_eq!(serde_json::from_str::<MetricSet>(&json).unwrap(), set);
        assert_eq!(set.get("roc_auc"), None);
        assert_eq!(set.get("f1"), Some(0.25));
    }

    #[test]
    fn the_direction_of_an_unknown_metric_is_none() {
        assert_eq!(direction("roc_auc"), Some(Direction::Higher));
        assert_eq!(direction("brier"), Some(Direction::Lower));
        assert_eq!(direction("expected_calibration_error"), Some(Direction::Lower));
        assert_eq!(direction("conversion"), None);
    }

    #[test]
    fn setting_a_metric_again_replaces_it_in_place() {
        let mut set: MetricSet = [("a", 1.0), ("b", 2.0)].into_iter().collect();
        set.set("a", 3.0);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", Some(3.0)), ("b", Some(2.0))]);
        assert_eq!(set.len(), 2);
    }
}
