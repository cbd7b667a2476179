//! Joins outcomes with logged predictions by the request that both name.

use std::collections::{BTreeMap, HashMap};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, Float64Array, RecordBatch, StringArray};
use stagewright_serving::{LogReadError, PredictionLogFiles};
use stagewright_store::{Page, Registry, StoreError};

/// The outcomes that are read from the registry at once.
const AT_ONCE: usize = 50_000;

/// The bytes of a request's identifier before its version and arm.
const ID: usize = 26;

/// The part of a request's identifier that tells it from all others. It is short, because there may
/// be millions.
type RequestKey = [u8; ID];

/// A prediction of a request's row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scores {
    /// The probability of the positive class, or a number.
    One(f64),
    /// The probabilities of all classes, as JSON.
    Classes(Box<str>),
}

/// An outcome, and the prediction that it belongs to.
#[derive(Debug)]
struct Truth {
    /// The place of its version and arm.
    group: usize,
    label: Option<Box<str>>,
    value: Option<f64>,
    scores: Option<Scores>,
    /// Whether its request had several rows, so that nobody knows which one it is about.
    has_several_rows: bool,
}

/// The outcomes of a model.
#[derive(Debug, Default)]
pub(super) struct Truths {
    groups: Vec<(u32, Option<String>)>,
    by_request: HashMap<RequestKey, Truth>,
}

/// The outcomes of a version as an arm, with their predictions.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) version: u32,
    pub(super) arm: Option<String>,
    pub(super) outcomes: u64,
    /// Those whose prediction was not logged.
    pub(super) without_prediction: u64,
    /// Those of requests with several rows.
    pub(super) of_several_rows: u64,
    /// The true labels and values, and the predictions.
    pub(super) pairs: Vec<(Option<Box<str>>, Option<f64>, Scores)>,
}

impl Truths {
    /// Reads the outcomes of a model from a time on, of one version or of all.
    pub(super) fn read(registry: &Registry, model: &str, since_ms: i64, only: Option<u32>) -> Result<Self, StoreError> {
        let mut truths = Self::default();
        let mut offset = 0;
        loop {
            let page = registry.outcomes(model, since_ms, Page { limit: AT_ONCE, offset })?;
            let is_last = page.len() < AT_ONCE;
            offset += page.len();
            for outcome in page.into_iter().filter(|outcome| only.is_none_or(|only| only == outcome.version)) {
                let Some(key) = key(&outcome.request_id) else { continue };
                let name = (outcome.version, outcome.arm);
                let group = truths.groups.iter().position(|known| *known == name);
                let group = group.unwrap_or_else(|| {
                    truths.groups.push(name);
                    truths.groups.len() - 1
                });
                let label = outcome.label.map(String::into_boxed_str);
                let truth = Truth { group, label, value: outcome.value, scores: None, has_several_rows: false };
                truths.by_request.insert(key, truth);
            }
            if is_last {
                return Ok(truths);
            }
        }
    }

    /// Finds the predictions of the outcomes in a log.
    pub(super) fn find_predictions(&mut self, log: &PredictionLogFiles) -> Result<(), LogReadError> {
        if self.by_request.is_empty() {
            return Ok(());
        }
        for hour in log.hours()? {
            for file in log.open(hour)? {
                for batch in file.batches(true)? {
                    self.take(&batch?);
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch) {
        let Some(columns) = Columns::of(batch) else { return };
        for place in 0..batch.num_rows() {
            let Some(key) = key(columns.request_id.value(place)) else { continue };
            let Some(truth) = self.by_request.get_mut(&key) else { continue };
            let row = columns.row.is_valid(place).then(|| columns.row.value(place));
            let is_of_version = i64::from(self.groups[truth.group].0) == columns.version.value(place);
            match row {
                Some(0) if is_of_version => truth.scores = columns.scores(place),
                Some(_) if is_of_version => truth.has_several_rows = true,
                _ => {}
            }
        }
    }

    /// Returns the outcomes by version and arm, in their order.
    pub(super) fn into_groups(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self
            .groups
            .into_iter()
            .map(|(version, arm)| Group {
                version,
                arm,
                outcomes: 0,
                without_prediction: 0,
                of_several_rows: 0,
                pairs: Vec::new(),
            })
            .collect();
        // In the order of requests, so that a bootstrap draws the same rows each time.
        for (_, truth) in self.by_request.into_iter().collect::<BTreeMap<_, _>>() {
            let group = &mut groups[truth.group];
            group.outcomes += 1;
            match truth.scores {
                _ if truth.has_several_rows => group.of_several_rows += 1,
                None => group.without_prediction += 1,
                Some(scores) => group.pairs.push((truth.label, truth.value, scores)),
            }
        }
        groups.sort_by(|a, b| (a.version, &a.arm).cmp(&(b.version, &b.arm)));
        groups
    }
}

fn key(request_id: &str) -> Option<RequestKey> {
    request_id.as_bytes().get(..ID)?.try_into().ok()
}

/// The columns of a log that are needed. The reader has checked that they are there.
struct Columns<'a> {
    request_id: &'a StringArray,
    version: &'a arrow_array::Int64Array,
    row: &'a arrow_array::Int64Array,
    probability: &'a Float64Array,
    probabilities: &'a StringArray,
    value: &'a Float64Array,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch) -> Option<Self> {
        let column = |name| batch.column_by_name(name);
        Some(Self {
            request_id: column("request_id")?.as_string_opt::<i32>()?,
            version: column("version")?.as_primitive_opt::<Int64Type>()?,
            row: column("row")?.as_primitive_opt::<Int64Type>()?,
            probability: column("probability")?.as_primitive_opt::<Float64Type>()?,
            probabilities: column("probabilities")?.as_string_opt::<i32>()?,
            value: column("value")?.as_primitive_opt::<Float64Type>()?,
        })
    }

    fn scores(&self, place: usize) -> Option<Scores> {
        let number = |column: &Float64Array| column.is_valid(place).then(|| Scores::One(column.value(place)));
        let classes =
            || self.probabilities.is_valid(place).then(|| Scores::Classes(self.probabilities.value(place).into()));
        number(self.probability).or_else(|| number(self.value)).or_else(classes)
    }
}
