//! Judgement: two models' predictions of the same rows, and which of these rows may count.
//!
//! A model looks better than it is on rows that it learnt from. So the candidate's own figures are
//! computed on the test rows that it did not learn from, and the comparison on the rows that
//! neither model learnt from. A run's evaluation and the command `gate` judge by the same code.

use arrow_array::{Float64Array, Int64Array};
use serde::{Deserialize, Serialize};
use stagewright_data::{RowHash, Task, row_key_columns};
use stagewright_evaluation::difference::{Labels, MetricDifference, difference};
use stagewright_evaluation::figure::{Figure, confusion_figure};
use stagewright_evaluation::gates::{self, ChampionComparison, Gates, Judgement, Policy};
use stagewright_evaluation::metrics::{self, MetricSet};
use stagewright_evaluation::report::Confusion;
use stagewright_store::{Role, RowMemory, Schema, Table};

use crate::candidate::hashes_of;
use crate::fault::StageFault;
use crate::limits::Watch;
use crate::model::width;
use crate::stages::transformation::{ReadError, columns, source_rows};
use crate::summary::EvaluationSummary;

/// Bytes that the host keeps of each row of the table that was split, to recognise test rows: two
/// hashes, and what numbering equal rows takes.
const HASHED_ROW_MEMORY: u64 = 48;

/// Bytes that it keeps of each test row besides predictions: its target in several forms, its
/// hashes, its place among those compared, and what sorting takes.
const MEASURED_ROW_MEMORY: u64 = 96;

/// Bytes that it keeps of each number that two models predicted: the number itself, as often as it
/// is copied to be compared, drawn and written.
const SCORE_MEMORY: u64 = 64;

/// The probability from which a row counts as positive.
const THRESHOLD: f64 = 0.5;

/// The rows that models are measured on.
pub struct TestRows {
    /// The rows, their target encoded.
    pub table: Table,
    /// The task to predict for.
    pub task: Task,
    /// The target of every row: a class's index, or a value.
    pub labels: Vec<f64>,
    watch: Watch,
}

impl TestRows {
    /// Reads the target of a test table. `watch` looks after the stage that measures.
    ///
    /// # Errors
    /// The table cannot be read, or the stage may not use so much.
    pub fn new(table: Table, task: Task, watch: &Watch) -> Result<Self, StageFault> {
        watch.hold_rows(table.rows(), MEASURED_ROW_MEMORY + width(&task) as u64 * SCORE_MEMORY)?;
        let labels = labels(&table, watch)?;
        Ok(Self { table, task, labels, watch: watch.clone() })
    }

    /// The classes; `None` of a regression.
    fn classes(&self) -> Option<Vec<String>> {
        match &self.task {
            Task::Binary { negative, positive } => Some(vec![negative.clone(), positive.clone()]),
            Task::MultiClass { classes } => Some(classes.clone()),
            Task::Regression => None,
        }
    }
}

/// The hashes by which test rows are recognised among the rows of another training.
#[derive(Debug, Clone)]
pub struct TestHashes {
    columns: Vec<String>,
    rows: Vec<RowHash>,
}

impl TestHashes {
    /// Hashes the rows of a test table: those of `ingested`, the table that was split, that `index`
    /// names. `key` is the registry's, and `watch` looks after the stage that measures.
    ///
    /// # Errors
    /// A table cannot be read, they do not belong together, or the stage may not use so much.
    pub fn of(
        test: &Table,
        (ingested, index): (&Table, &Table),
        key: &[u8; 32],
        watch: &Watch,
    ) -> Result<Self, StageFault> {
        watch.hold_rows(ingested.rows(), HASHED_ROW_MEMORY)?;
        let all = hashes_of(ingested, key, watch)?;
        let hashes = Self::among(ingested.schema(), &all, &source_rows(index, watch)?)?;
        hashes.check(test)?;
        Ok(hashes)
    }

    /// Picks the rows of an index out of the hashes of all rows of the table that was split.
    pub(crate) fn among(ingested: &Schema, all: &[RowHash], index: &[u64]) -> Result<Self, StageFault> {
        let hash = |&row: &u64| {
            let found = usize::try_from(row).ok().and_then(|row| all.get(row)).copied();
            found.ok_or_else(|| StageFault::host(format!("`test-rows` names row {row} of {}", all.len())))
        };
        let rows = index.iter().map(hash).collect::<Result<_, _>>()?;
        Ok(Self { columns: row_key_columns(ingested), rows })
    }

    /// Refuses a test table of other rows.
    pub(crate) fn check(&self, test: &Table) -> Result<(), StageFault> {
        if self.rows.len() as u64 == test.rows() {
            Ok(())
        } else {
            Err(StageFault::host("the index of the test rows does not fit the test rows"))
        }
    }
}

/// The test rows that a model learnt from, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The rows; `None`: not known.
    pub learnt: Option<Learnt>,
    /// How many others it learnt from under another key: their content is the same.
    pub equal_content: Option<u64>,
}

impl Overlap {
    /// The rows that a model learnt from. They are not known if it or the run is of before row
    /// memories, or if it comes from another registry or tells its rows apart by other columns.
    pub fn of(test: Option<&TestHashes>, memory: Option<&RowMemory>) -> Self {
        let (Some(test), Some(memory)) = (test, memory) else { return Self::default() };
        if memory.columns != test.columns {
            return Self::default();
        }
        let knows = |hashes: &[u64], hash: u64| hashes.binary_search(&hash).is_ok();
        let equal = |row: &&RowHash| !knows(&memory.keys, row.key) && knows(&memory.contents, row.content);
        Self {
            learnt: Some(Learnt::of(test.rows.iter().map(|row| knows(&memory.keys, row.key)))),
            equal_content: Some(test.rows.iter().filter(equal).count() as u64),
        }
    }

    fn has(&self, row: usize) -> bool {
        self.learnt.as_ref().is_some_and(|learnt| learnt.has(row))
    }

    fn rows(&self) -> Option<u64> {
        self.learnt.as_ref().map(|learnt| learnt.0.iter().map(|byte| u64::from(byte.count_ones())).sum())
    }
}

/// A set of rows: a bit for each, the first one the lowest of the first byte. Bytes of zeros at the
/// end are left out. In JSON it is a text of hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Learnt(Vec<u8>);

impl Learnt {
    fn of(rows: impl Iterator<Item = bool>) -> Self {
        let mut bytes: Vec<u8> = Vec::new();
        for (row, _) in rows.enumerate().filter(|(_, learnt)| *learnt) {
            bytes.resize(row / 8 + 1, 0);
            bytes[row / 8] |= 1 << (row % 8);
        }
        Self(bytes)
    }

    fn has(&self, row: usize) -> bool {
        self.0.get(row / 8).is_some_and(|byte| byte >> (row % 8) & 1 == 1)
    }
}

impl From<Learnt> for String {
    fn from(Learnt(bytes): Learnt) -> Self {
        use std::fmt::Write as _;
        bytes.iter().fold(Self::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a text does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl TryFrom<String> for Learnt {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        match bytes {
            Some(bytes) if text.len().is_multiple_of(2) && bytes.last() != Some(&0) => Ok(Self(bytes)),
            _ => Err("a set of rows is an even number of hexadecimal digits, the last two not 0"),
        }
    }
}

/// A model's predictions of all test rows, and the rows that it learnt from.
#[derive(Clone, Copy)]
pub struct Predicted<'a> {
    /// One number a row, or one per class.
    pub scores: &'a [f64],
    /// The rows that it learnt from.
    pub overlap: &'a Overlap,
}

/// The figures of one model's predictions.
pub(crate) struct Measured {
    pub(crate) metrics: MetricSet,
    pub(crate) confusion: Option<(Confusion, Option<Figure>)>,
}

/// The rules by which a candidate is judged.
pub struct Rules {
    /// The gates.
    pub gates: Gates,
    /// Whether a champion that learnt from test rows is an error.
    pub refuse_overlap: bool,
    /// The fewest compared rows of each class, where rows are left out.
    pub rows_per_class: u64,
}

/// A candidate beside the champion.
pub struct Judged {
    pub(crate) candidate: Measured,
    /// Measured on the compared rows.
    pub(crate) champion: Option<Measured>,
    /// The rows that figures are of, ascending: those that are compared, else those that the
    /// candidate did not learn from.
    pub(crate) shown: Vec<usize>,
    /// Both on the compared rows; `None` if there is no champion.
    pub comparison: Option<ChampionComparison>,
    /// How many rows count.
    pub rows: EvaluationSummary,
    /// How the two were compared.
    pub(crate) policy: Policy,
    /// The gates' judgement.
    pub judgement: Judgement,
}

impl Judged {
    /// The candidate's metrics on the rows that it did not learn from.
    pub fn metrics(&self) -> &MetricSet {
        &self.candidate.metrics
    }
}

/// Measures a candidate and compares it with a champion.
///
/// # Errors
/// The candidate learnt from all test rows; the champion learnt from some, and that is refused; or
/// predictions that cannot be measured.
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

/// Both models on the compared rows. Where the rows are too few to decide by, they may be too few
/// to measure anything on.
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

/// The difference in the primary metric, with its interval.
fn differ(
    test: &TestRows,
    (candidate, champion): (&[f64], &[f64]),
    rows: &[usize],
    gates: &Gates,
) -> Result<Option<MetricDifference>, StageFault> {
    let labels = picked(&test.labels, 1, rows);
    let classes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
    let codes: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    test.watch.look()?;
    let known = match &test.task {
        Task::Binary { .. } => Labels::Binary(&classes),
        Task::MultiClass { classes } => Labels::MultiClass { labels: &codes, classes: classes.len() },
        Task::Regression => Labels::Regression(&labels),
    };
    let scores = |scores| picked(scores, width(&test.task), rows);
    let (candidate, champion) = (scores(candidate), scores(champion));
    let stop = || test.watch.look().is_err();
    let found = difference(known, &candidate, &champion, &gates.primary, gates.interval_confidence(), &stop);
    test.watch.look()?;
    found.map_err(StageFault::host)
}

/// Why the compared rows do not decide, if rows were left out and too few are left.
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

/// Returns the part of an evaluation that a verdict keeps and `--json` shows: the rows that
/// counted, and the difference with its interval.
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

/// The values of some rows, `width` numbers each.
pub(crate) fn picked(values: &[f64], width: usize, rows: &[usize]) -> Vec<f64> {
    rows.iter().flat_map(|row| values[row * width..(row + 1) * width].iter().copied()).collect()
}

/// A model's metrics on some of the test rows.
fn measure(test: &TestRows, name: &str, scores: &[f64], rows: &[usize]) -> Result<Measured, StageFault> {
    let failed = |error: stagewright_evaluation::Error| StageFault::host(format!("cannot measure the {name}: {error}"));
    let labels = picked(&test.labels, 1, rows);
    let scores = picked(scores, width(&test.task), rows);
    test.watch.look()?;
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

/// The target of every test row.
fn labels(test: &Table, watch: &Watch) -> Result<Vec<f64>, StageFault> {
    let target = test.schema().indices_with(Role::Target);
    let mut labels = Vec::with_capacity(test.rows() as usize);
    for rows in columns(test, target, watch) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        let column = rows.column(0).as_any();
        if let Some(codes) = column.downcast_ref::<Int64Array>() {
            labels.extend(codes.values().iter().map(|&code| code as f64));
        } else if let Some(values) = column.downcast_ref::<Float64Array>() {
            labels.extend(values.values());
        } else {
            return Err(StageFault::host("an encoded target is neither int64 nor float64"));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_rows_has_one_text_which_gives_it_back() {
        for (rows, text) in [(vec![], ""), (vec![0], "01"), (vec![7], "80"), (vec![1, 8, 23], "020180")] {
            // Rows behind the last one of the set change nothing.
            for more in [0, 1, 40] {
                let last = rows.last().map_or(0, |last| last + 1) + more;
                let learnt = Learnt::of((0..last).map(|row| rows.contains(&row)));
                assert_eq!(String::from(learnt.clone()), text);
                assert_eq!(Learnt::try_from(text.to_owned()), Ok(learnt.clone()));
                assert!((0..100).all(|row| learnt.has(row) == rows.contains(&row)), "{text}");
                let overlap = Overlap { learnt: Some(learnt), equal_content: None };
                assert_eq!(overlap.rows(), Some(rows.len() as u64));
            }
        }
        for text in ["0", "zz", "0100", "é"] {
            assert!(Learnt::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
