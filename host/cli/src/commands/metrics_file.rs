//! `--metrics-out`: writes a run's metrics to a file that can be kept in git.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde_json::{Value, json};
use stagewright_lifecycle::foreach::Family;
use stagewright_store::{LoggedMetric, Registry, StoreError, write_whole};

/// Returns the metrics of a run by name, without times and identifiers, so that two files differ
/// only in changed metrics. A value that is undefined is null, as JSON has no NaN.
pub(super) fn of_run(metrics: &[LoggedMetric]) -> serde_json::Value {
    let named: BTreeMap<&str, Option<f64>> = metrics
        .iter()
        .map(|metric| (metric.name.as_str(), Some(metric.value).filter(|value| value.is_finite())))
        .collect();
    serde_json::json!(named)
}

/// Returns the metrics of each child that finished, by the child's name.
pub(super) fn of_children(family: &Family, registry: &Registry) -> Result<Value, StoreError> {
    let mut named = BTreeMap::new();
    for child in family.children.iter().filter(|child| child.error().is_none()) {
        let Some(summary) = child.summary() else { continue };
        named.insert(child.name.clone(), of_run(&registry.run(&summary.run_id)?.metrics));
    }
    Ok(json!(named))
}

pub(super) fn write(metrics: &serde_json::Value, file: &Path) -> anyhow::Result<()> {
    let text = format!("{}\n", serde_json::to_string_pretty(metrics)?);
    write_whole(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
}
