//! The metrics of an evaluation with their intervals, for pages.
//!
//! An evaluation records metrics, and the interval of the difference to the champion. The interval
//! of each metric follows from the recorded predictions and the test rows, which never change. So
//! it is computed when a page asks first, and remembered.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, ArrayRef};
use stagewright_data::Task;
use stagewright_evaluation::difference::{DEFAULT_CONFIDENCE, Labels};
use stagewright_evaluation::interval::{MetricInterval, metric_interval};
use stagewright_lifecycle::artifact_names;
use stagewright_pages::{Interval, Measured};
use stagewright_store::{ArtifactKind, Digest, Home, ModelVersion, Role, Table};

use crate::commands::compare::evaluation_of;
use crate::commands::models::version::contents;

/// The most test rows, times classes, that are measured: a second of sorting, and 80 MB.
const MOST_VALUES: u64 = 4_000_000;
/// The evaluations that are remembered.
const REMEMBERED: usize = 1_000;

/// The evaluations that were measured, by the digests of their report and of their predictions.
#[derive(Default)]
pub(super) struct Evaluated(Mutex<HashMap<(Digest, Digest), Measured>>);

impl Evaluated {
    /// Returns the metrics of a version's evaluation with their intervals; without intervals where
    /// its artifacts are gone, or where the recorded value does not come out again, because the
    /// model had learnt from test rows that were left out. What is not computed `until` then is
    /// left out too, and asked for again by the next page.
    ///
    /// # Errors
    /// The contents of the version or a table cannot be read.
    pub(super) fn of(&self, home: &Home, version: &ModelVersion, until: Instant) -> anyhow::Result<Measured> {
        let found = |name: artifact_names::ArtifactName, kind| {
            let role = name.role();
            let reference = version.references.iter().find(|it| it.role == role && it.kind == kind);
            reference.map(|reference| reference.digest)
        };
        let report = found(artifact_names::EVALUATION, ArtifactKind::Document);
        let predictions = found(artifact_names::PREDICTIONS, ArtifactKind::Table);
        let Some(key) = report.zip(predictions) else { return Ok(Measured::default()) };
        if let Some(known) = self.remembered().get(&key) {
            return Ok(known.clone());
        }
        let (measured, is_whole) = measure(home, version, &key.1, until)?;
        if !is_whole {
            return Ok(measured);
        }
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key, measured.clone());
        Ok(measured)
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<(Digest, Digest), Measured>> {
        // A panic elsewhere leaves whole entries.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the metrics with their intervals, and whether none is missing for want of time.
fn measure(
    home: &Home,
    version: &ModelVersion,
    predictions: &Digest,
    until: Instant,
) -> anyhow::Result<(Measured, bool)> {
    let Some(report) = evaluation_of(home, version) else { return Ok((Measured::default(), true)) };
    let mut measured =
        Measured { primary: Some(report.primary_metric.clone()), rows: Some(report.test.rows), ..Measured::default() };
    let model = contents(version)?;
    let (Ok(test), Ok(predictions)) =
        (home.artifacts.open_table(&report.test.digest.parse::<Digest>()?), home.artifacts.open_table(predictions))
    else {
        return Ok((measured, true));
    };
    let classes = match &model.task {
        Task::MultiClass { classes } => classes.len(),
        Task::Binary { .. } | Task::Regression => 1,
    };
    if test.rows() != predictions.rows() || test.rows().saturating_mul(classes as u64) > MOST_VALUES {
        return Ok((measured, true));
    }
    let is_late = || Instant::now() >= until;
    if is_late() {
        return Ok((measured, false));
    }
    let Some(rows) = Rows::read(&model.task, classes, &test, &predictions)? else { return Ok((measured, true)) };
    let names = [report.primary_metric.as_str()].into_iter().chain(rows.metrics().iter().copied());
    for name in names {
        let found = metric_interval(rows.labels(), &rows.scores, name, DEFAULT_CONFIDENCE, &is_late);
        // A bootstrap that was stopped has no ends, as one of too few rows has none.
        if is_late() {
            return Ok((measured, false));
        }
        let Ok(Some(found)) = found else { continue };
        let recorded = report.candidate.metrics.get(&found.metric);
        let is_known = measured.intervals.iter().any(|it| it.metric == found.metric);
        if recorded.is_some_and(|recorded| (recorded - found.value).abs() <= 1e-9) && !is_known {
            measured.intervals.push(interval(&found));
        }
    }
    Ok((measured, true))
}

/// Returns a metric as pages show it.
pub(super) fn interval(metric: &MetricInterval) -> Interval {
    Interval {
        metric: metric.metric.clone(),
        value: metric.value,
        low: metric.low,
        high: metric.high,
        confidence: metric.confidence,
        method: metric.method.name().to_owned(),
    }
}

/// The target and the predictions of test rows.
struct Rows {
    binary: Vec<u8>,
    classes: Vec<u32>,
    numbers: Vec<f64>,
    scores: Vec<f64>,
    width: usize,
    is_regression: bool,
}

impl Rows {
    /// Reads test rows; `None` if they are not of the task.
    fn read(task: &Task, width: usize, test: &Table, predictions: &Table) -> anyhow::Result<Option<Self>> {
        let target = test.schema().fields().iter().position(|field| field.role == Role::Target);
        let Some(target) = target else { return Ok(None) };
        let mut numbers = Vec::new();
        for batch in test.batches(Some(&[target])) {
            let Some(values) = floats(batch?.column(0)) else { return Ok(None) };
            numbers.extend(values);
        }
        // The candidate's columns are the first.
        let columns: Vec<usize> = (0..width).collect();
        if predictions.schema().fields().len() < width {
            return Ok(None);
        }
        let mut scores = Vec::new();
        for batch in predictions.batches(Some(&columns)) {
            let batch = batch?;
            let columns: Option<Vec<Vec<f64>>> = batch.columns().iter().map(floats).collect();
            let Some(columns) = columns else { return Ok(None) };
            scores.extend((0..batch.num_rows()).flat_map(|row| columns.iter().map(move |column| column[row])));
        }
        let is_regression = matches!(task, Task::Regression);
        let mut rows =
            Self { binary: Vec::new(), classes: Vec::new(), numbers: Vec::new(), scores, width, is_regression };
        match task {
            Task::Regression => rows.numbers = numbers,
            Task::Binary { .. } => rows.binary = numbers.iter().map(|class| u8::from(*class > 0.5)).collect(),
            Task::MultiClass { .. } => rows.classes = numbers.iter().map(|class| *class as u32).collect(),
        }
        Ok(Some(rows))
    }

    fn labels(&self) -> Labels<'_> {
        match (self.is_regression, self.width) {
            (true, _) => Labels::Regression(&self.numbers),
            (false, 1) => Labels::Binary(&self.binary),
            (false, classes) => Labels::MultiClass { labels: &self.classes, classes },
        }
    }

    /// Returns the metrics that are shown beside the primary one.
    fn metrics(&self) -> &'static [&'static str] {
        match self.labels() {
            Labels::Binary(_) => &["roc_auc", "accuracy"],
            Labels::MultiClass { .. } => &["accuracy"],
            Labels::Regression(_) => &["rmse", "mae"],
        }
    }
}

/// Returns the values of a column of numbers without nulls.
fn floats(column: &ArrayRef) -> Option<Vec<f64>> {
    if column.null_count() > 0 {
        return None;
    }
    if let Some(values) = column.as_primitive_opt::<Float64Type>() {
        return Some(values.values().to_vec());
    }
    let values = column.as_primitive_opt::<Int64Type>()?;
    Some(values.values().iter().map(|value| *value as f64).collect())
}
