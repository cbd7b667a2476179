//! The judgement of a candidate: both models measured on rows that may count, and the gates.
//!
//! A model looks better than it is on rows that it was trained on. The candidate's own metrics are
//! therefore computed on the test rows that it was not trained on, and the comparison on the rows
//! that neither model was trained on. The evaluation of a run and the command `gate` use the same
//! code.

use stagewright_data::Task;
use stagewright_evaluation::difference::{Labels, MetricDifference, difference};
use stagewright_evaluation::figure::{Figure, confusion_figure};
use stagewright_evaluation::gates::{self, ChampionComparison, Gates, Judgement, Policy};
use stagewright_evaluation::metrics::{self, MetricSet};
use stagewright_evaluation::report::Confusion;

use crate::fault::StageFault;
use crate::model::width;
use crate::summary::EvaluationSummary;

pub use crate::overlap::{Learnt, Overlap};
pub use crate::test_rows::{TestHashes, TestRows};

/// The probability from which a row counts as positive.
const THRESHOLD: f64 = 0.5;

/// The predictions of a model for all test rows, and the test rows that it was trained on.
#[derive(Clone, Copy)]
pub struct Predicted<'a> {
    /// One value for each row, or one for each class.
    pub scores: &'a [f64],
    /// The test rows that it was trained on.
    pub overlap: &'a Overlap,
}

/// The metrics of one model's predictions.
pub(crate) struct Measured {
    pub(crate) metrics: MetricSet,
    pub(crate) confusion: Option<(Confusion, Option<Figure>)>,
}

/// The rules by which a candidate is judged.
pub struct Rules {
    /// The gates.
    pub gates: Gates,
    /// Whether it is an error that the champion was trained on test rows.
    pub refuse_overlap: bool,
    /// The fewest compared rows of each class, where rows are left out.
    pub rows_per_class: u64,
}

/// A candidate that was measured and judged.
pub struct Judged {
    pub(crate) candidate: Measured,
    /// The champion, measured on the compared rows.
    pub(crate) champion: Option<Measured>,
    /// The rows that figures show, ascending: the compared rows, or without a comparison the rows
    /// that the candidate was not trained on.
    pub(crate) shown: Vec<usize>,
    /// The comparison of both on the compared rows; `None` without a champion.
    pub comparison: Option<ChampionComparison>,
    /// The number of rows of each kind.
    pub rows: EvaluationSummary,
    /// The policy of the comparison.
    pub(crate) policy: Policy,
    /// The judgement of the gates.
    pub judgement: Judgement,
}

impl Judged {
    /// Returns the candidate's metrics on the rows that it was not trained on.
    pub fn metrics(&self) -> &MetricSet {
        &self.candidate.metrics
    }
}

/// Measures a candidate, compares it with a champion, and judges the gates.
///
/// # Errors
/// The candidate was trained on all test rows, the champion was trained on some and `rules` refuses
/// that, or predictions cannot be measured.
pub fn judge(
    test: &TestRows,
    candidate: Predicted<'_>,
    champion: Option<Predicted<'_>>,
    rules: &Rules,
) -> Result<Judged, StageFault> {
    let rows: Vec<usize> = (0..test.labels.len()).filter(|&row| !candidate.overlap.has(row)).collect();
    if rows.is_empty() {
        return Err(data_fault("the candidate learnt from every test row: nothing is left to measure it on"));
    }
    let mut summary = EvaluationSummary {
        test_rows: test.labels.len() as u64,
        candidate_overlap_rows: candidate.overlap.rows(),
        champion_overlap_rows: None,
        compared_rows: None,
        equal_content_rows: None,
    };
    let measured = measure(test, "candidate", candidate.scores, &rows)?;
    let Some(champion) = champion else {
        let judgement = gates::judge(&rules.gates, &measured.metrics, None);
        return Ok(Judged {
            candidate: measured,
            champion: None,
            shown: rows,
            comparison: None,
            rows: summary,
            policy: rules.gates.policy,
            judgement,
        });
    };
    summary.champion_overlap_rows = champion.overlap.rows();
    summary.equal_content_rows = champion.overlap.equal_content;
    if let Some(overlap @ 1..) = summary.champion_overlap_rows.filter(|_| rules.refuse_overlap) {
        return Err(data_fault(&format!(
            "the champion learnt from {overlap} of {} test rows; with `champion-overlap = \"exclude\"` under [gates] these rows are left out of the comparison",
            summary.test_rows
        )));
    }
    let compared: Vec<usize> = rows.iter().copied().filter(|&row| !champion.overlap.has(row)).collect();
    summary.compared_rows = Some(compared.len() as u64);
    let undecided = too_few(test, &compared, rules.rows_per_class);
    let (both, comparison) = compare(test, (candidate.scores, champion.scores), &compared, undecided, &rules.gates)?;
    let judgement = gates::judge(&rules.gates, &measured.metrics, Some(&comparison));
    Ok(Judged {
        candidate: measured,
        shown: if both.is_some() { compared } else { rows },
        champion: both,
        comparison: Some(comparison),
        rows: summary,
        policy: rules.gates.policy,
        judgement,
    })
}

/// Measures both models on the compared rows. If the rows are too few to decide, they may also be
/// too few to measure.
fn compare(
    test: &TestRows,
    (candidate, champion): (&[f64], &[f64]),
    rows: &[usize],
    undecided: Option<String>,
    gates: &Gates,
) -> Result<(Option<Measured>, ChampionComparison), StageFault> {
    let measured = |name, scores| measure(test, name, scores, rows);
    let both = measured("candidate", candidate).and_then(|own| Ok((own, measured("champion", champion)?)));
    let (candidate_metrics, champion_measured) = match both {
        Ok((own, theirs)) => (own.metrics, Some(theirs)),
        Err(_) if undecided.is_some() => (MetricSet::default(), None),
        Err(fault) => return Err(fault),
    };
    let difference = match champion_measured {
        None => None,
        Some(_) => differ(test, (candidate, champion), rows, gates)?,
    };
    let comparison = ChampionComparison {
        candidate: candidate_metrics,
        champion: champion_measured.as_ref().map(|measured| measured.metrics.clone()).unwrap_or_default(),
        difference,
        rows: rows.len() as u64,
        undecided,
    };
    Ok((champion_measured, comparison))
}

/// Returns the difference in the primary metric, with its interval.
fn differ(
    test: &TestRows,
    (candidate, champion): (&[f64], &[f64]),
    rows: &[usize],
    gates: &Gates,
) -> Result<Option<MetricDifference>, StageFault> {
    let labels = values_of(&test.labels, 1, rows);
    let classes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
    let codes: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    test.watch.check()?;
    let known = match &test.task {
        Task::Binary { .. } => Labels::Binary(&classes),
        Task::MultiClass { classes } => Labels::MultiClass { labels: &codes, classes: classes.len() },
        Task::Regression => Labels::Regression(&labels),
    };
    let scores = |scores| values_of(scores, width(&test.task), rows);
    let (candidate, champion) = (scores(candidate), scores(champion));
    let stop = || test.watch.check().is_err();
    let found = difference(known, &candidate, &champion, &gates.primary, gates.interval_confidence(), &stop);
    test.watch.check()?;
    found.map_err(StageFault::host)
}

/// Returns the reason why the compared rows do not decide, if rows were left out and too few
/// remain.
fn too_few(test: &TestRows, compared: &[usize], least: u64) -> Option<String> {
    if compared.len() == test.labels.len() {
        return None;
    }
    let Some(classes) = test.classes() else {
        let rows = compared.len() as u64;
        return (rows < least.max(1)).then(|| format!("only {rows} rows are left, and {} are needed", least.max(1)));
    };
    classes.iter().enumerate().find_map(|(class, name)| {
        let rows = compared.iter().filter(|&&row| test.labels[row] == class as f64).count() as u64;
        (rows < least.max(1))
            .then(|| format!("only {rows} rows of class `{name}` are left, and {} are needed", least.max(1)))
    })
}

/// Returns the part of an evaluation that a verdict keeps and `--json` shows: the number of rows of
/// each kind, and the difference with its interval.
pub fn record(rows: Option<&EvaluationSummary>, difference: Option<&MetricDifference>) -> serde_json::Value {
    match rows {
        None => serde_json::Value::Null,
        Some(rows) => serde_json::json!({
            "test_rows": rows.test_rows,
            "candidate_overlap_rows": rows.candidate_overlap_rows,
            "champion_overlap_rows": rows.champion_overlap_rows,
            "compared_rows": rows.compared_rows,
            "equal_content_rows": rows.equal_content_rows,
            "difference": difference,
        }),
    }
}

fn data_fault(message: &str) -> StageFault {
    StageFault::Data {
        stage: stagewright_manifest::World::Evaluation.into(),
        message: message.to_owned(),
        column: None,
        row: None,
        value: None,
    }
}

/// Returns the values of some rows, `width` values for each.
pub(crate) fn values_of(values: &[f64], width: usize, rows: &[usize]) -> Vec<f64> {
    rows.iter().flat_map(|row| values[row * width..(row + 1) * width].iter().copied()).collect()
}

/// Computes a model's metrics on some of the test rows.
fn measure(test: &TestRows, name: &str, scores: &[f64], rows: &[usize]) -> Result<Measured, StageFault> {
    let failed = |error: stagewright_evaluation::Error| StageFault::host(format!("cannot measure the {name}: {error}"));
    let labels = values_of(&test.labels, 1, rows);
    let scores = values_of(scores, width(&test.task), rows);
    test.watch.check()?;
    Ok(match &test.task {
        Task::Binary { negative, positive } => {
            let classes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
            let measured = metrics::binary(&classes, &scores, THRESHOLD).map_err(failed)?;
            let names = [negative.as_str(), positive.as_str()];
            let figure = confusion_figure(name, names, &measured.confusion);
            let confusion = Some((Confusion::binary(names, &measured.confusion), Some(figure)));
            Measured { metrics: measured.named(), confusion }
        }
        Task::MultiClass { classes } => {
            let labels: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
            let metrics = metrics::multi_class(&labels, &scores, classes.len()).map_err(failed)?.named();
            Measured { metrics, confusion: None }
        }
        Task::Regression => {
            Measured { metrics: metrics::regression(&labels, &scores).map_err(failed)?.named(), confusion: None }
        }
    })
}
