//! Proposes a signature for a source, as `stagewright init` writes it into a manifest.
//!
//! Reads every value (or the first rows, if asked), keeps the types that all values fit, and
//! proposes roles. It uses the parsers of the decoder, so that the data can be read with the
//! proposal. It reports the columns that it leaves out and its doubts: a person should read the
//! proposal before anything is learnt.

mod counts;
mod found_dialect;
mod missing_markers;
mod target_report;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use stagewright_store::{DataType, Field, Role};
use stagewright_text::Untrusted;

use crate::cell::parse_float64;
use crate::error::{DataError, DataFault, listed, shown};
use crate::interrupt::Interrupt;
use crate::signature::Signature;
use crate::source::{CsvOptions, Place, Source, SourceUri, head, on_reader_thread, visit};

pub use counts::UnusableColumn;
use counts::{ColumnCounts, TableCounts};
pub use found_dialect::FoundDialect;
pub use target_report::TargetReport;

/// Text with more distinct values than this is proposed as utf8: it is too much for one-hot
/// columns.
const MAX_CATEGORIES: u64 = 100;
/// With fewer rows than this, distinct values do not suggest an identifier.
const MIN_IDENTIFIED_ROWS: u64 = 20;
/// In a text column of which at most one value in this many is no number, numbers were probably
/// meant.
const MOSTLY_NUMBERS: u64 = 10;

/// How to infer a signature.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InferenceOptions {
    /// Texts that stand for a missing value.
    pub null_values: Vec<String>,
    /// The number of rows to read. Later rows may hold nulls or other types than proposed.
    pub sample_rows: Option<u64>,
    /// The column that will be the target.
    pub target: Option<String>,
    /// Whether to find the dialect of CSV whose address tells none, and to read it so.
    #[serde(default)]
    pub find_dialect: bool,
}

impl Default for InferenceOptions {
    /// Returns options to read all rows, with the empty text and a single space as null.
    fn default() -> Self {
        Self { null_values: vec![String::new(), " ".to_owned()], sample_rows: None, target: None, find_dialect: false }
    }
}

/// A proposal, with the observations that it is based on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inference {
    /// The proposed signature. It ignores unusable columns.
    pub signature: Signature,
    /// One report for each column of the signature, in order.
    pub columns: Vec<ColumnReport>,
    /// The columns that are not in the signature.
    pub left_out: Vec<UnusableColumn>,
    /// The classes of the target; `None` if no target was named.
    pub target: Option<TargetReport>,
    /// The number of rows that were read.
    pub rows: u64,
    /// Whether reading stopped at the limit of rows.
    pub is_sample: bool,
    /// The dialect, if it was looked for.
    #[serde(default)]
    pub dialect: Option<FoundDialect>,
}

/// The observations about a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ColumnReport {
    /// The proposed field.
    pub field: Field,
    /// Missing values.
    pub nulls: u64,
    /// Distinct values, up to a million.
    pub distinct: u64,
    /// The first distinct values, at most three, cut.
    pub examples: Vec<String>,
    /// The reason for type and role, for people.
    pub reason: String,
    /// Doubts about the proposal and what would settle them, as sentences. Untrusted text in them
    /// is escaped.
    pub doubts: Vec<String>,
}

/// The most bytes of a sentence.
const SENTENCE: usize = 4 << 10;

/// The most bytes of a value.
const VALUE: usize = 1 << 10;

/// The most doubts about a column.
const MOST_DOUBTS: usize = 64;

impl Inference {
    /// Checks a proposal that another process sent: its parts must fit each other, and its null
    /// tokens must be those of the options and, if these were asked for, known markers of missing
    /// values. Texts are cut and escaped.
    ///
    /// # Errors
    /// The part that does not fit.
    pub fn checked(self, options: &InferenceOptions, with_tokens: bool) -> Result<Self, &'static str> {
        let Signature { fields, null_values, extra_columns } = &self.signature;
        let Some(tokens) = null_values.strip_prefix(&options.null_values[..]) else {
            return Err("a signature with other null tokens");
        };
        if !tokens.iter().all(|token| with_tokens && missing_markers::is_marker(token)) {
            return Err("a signature with tokens that stand for no missing value");
        }
        if *extra_columns != crate::signature::ExtraColumns::Ignore {
            return Err("a signature with a policy");
        }
        if !self.columns.iter().map(|column| &column.field).eq(fields.fields()) {
            return Err("reports of other columns than the signature's");
        }
        let is_target = |field: &Field| field.role == Role::Target;
        let targets: Vec<&str> = fields.fields().iter().filter(|it| is_target(it)).map(|it| it.name.as_str()).collect();
        if !targets.iter().copied().eq(options.target.as_deref()) || self.target.is_some() != options.target.is_some() {
            return Err("a signature with another target");
        }
        if self.target.as_ref().is_some_and(|target| target.classes.len() > counts::MAX_LABELS) {
            return Err("a target with too many classes");
        }
        let mut proposal = self.in_lines();
        proposal.dialect = match proposal.dialect.take() {
            Some(found) if options.find_dialect => Some(found.checked()?),
            Some(_) => return Err("a dialect that nobody asked for"),
            None => None,
        };
        Ok(proposal)
    }

    fn in_lines(mut self) -> Self {
        let line = |text: &mut String, most| *text = Untrusted::new(text).cut(most).to_string();
        for column in &mut self.columns {
            line(&mut column.reason, SENTENCE);
            column.doubts.truncate(MOST_DOUBTS);
            column.doubts.iter_mut().for_each(|doubt| line(doubt, SENTENCE));
            column.examples.truncate(counts::EXAMPLES);
            column.examples.iter_mut().for_each(|example| line(example, VALUE));
        }
        self.left_out.iter_mut().for_each(|column| line(&mut column.reason, SENTENCE));
        let missing_as = self.target.as_mut().map(|target| &mut target.missing_as);
        missing_as.into_iter().flatten().for_each(|text| line(text, VALUE));
        self
    }
}

/// Reads a source and proposes a signature with the null tokens of the options.
///
/// # Errors
/// As [`crate::open`]; [`DataError::Fault`] if there are no rows or no usable columns;
/// [`DataError::Plan`] if the target is not among the columns.
pub fn infer(source: &Source, options: &InferenceOptions, interrupt: &Interrupt) -> Result<Inference, DataError> {
    look_on_reader_thread(source, options, false, interrupt)
}

/// As [`infer`], and also proposes null tokens: texts that stand for a missing value in a column of
/// numbers, dates or booleans (`NA`, `?`). A null token applies to all columns, so a class of the
/// target is never proposed as one.
///
/// # Errors
/// As [`infer`].
pub fn propose(source: &Source, options: &InferenceOptions, interrupt: &Interrupt) -> Result<Inference, DataError> {
    look_on_reader_thread(source, options, true, interrupt)
}

fn look_on_reader_thread(
    source: &Source,
    options: &InferenceOptions,
    with_tokens: bool,
    interrupt: &Interrupt,
) -> Result<Inference, DataError> {
    let (source, options) = (source.clone(), options.clone());
    on_reader_thread(interrupt, move |stop| look(&source, Place::Files, &options, with_tokens, stop))
}

/// Returns the dialect of CSV whose address tells none; `None` for other sources.
fn found(source: &Source, place: &Place, interrupt: &Interrupt) -> Result<Option<FoundDialect>, DataError> {
    let SourceUri::Csv { path, options } = &source.uri else { return Ok(None) };
    if *options != (CsvOptions { compression: options.compression, ..CsvOptions::default() }) {
        return Ok(None);
    }
    let Some((head, is_whole)) = head(source, place, found_dialect::HEAD_BYTES, interrupt)? else { return Ok(None) };
    Ok(Some(found_dialect::find(path, &head, is_whole)))
}

/// Returns the source with an address that tells the dialect.
fn told(source: &Source, found: &FoundDialect) -> Source {
    let mut source = source.clone();
    if let SourceUri::Csv { options, .. } = &mut source.uri {
        *options = CsvOptions { compression: options.compression, ..found.options.clone() };
    }
    source
}

/// Reads a source on this thread; `with_tokens` also proposes null tokens.
pub(crate) fn look(
    source: &Source,
    place: Place,
    options: &InferenceOptions,
    with_tokens: bool,
    interrupt: &Interrupt,
) -> Result<Inference, DataError> {
    let target = options.target.as_deref();
    let mut counts = TableCounts::new(&options.null_values, options.sample_rows, target);
    let dialect = if options.find_dialect { found(source, &place, interrupt)? } else { None };
    let source = &dialect.as_ref().map_or_else(|| source.clone(), |found| told(source, found));
    visit(source, place, interrupt, &mut counts)?;
    if counts.rows == 0 {
        return Err(DataFault::new("there are no rows to infer types from").into());
    }
    if let Some(target) = target {
        find_target(&counts, target)?;
    }
    let tokens = if with_tokens { proposed_tokens(&counts.columns) } else { BTreeSet::new() };
    let rows = counts.rows;
    let mut columns: Vec<ColumnReport> = counts.columns.iter().map(|column| column.report(rows, &tokens)).collect();
    keep_one_time(&mut columns);
    let target = counts.columns.iter().zip(&columns).find_map(|(column, report)| {
        column.labels.as_ref().map(|labels| TargetReport::of(column, labels, report.field.data_type, &tokens))
    });
    let mut null_values = options.null_values.clone();
    null_values.extend(tokens);
    let fields = columns.iter().map(|column| column.field.clone()).collect();
    Ok(Inference {
        signature: Signature::new(fields)?.with_null_values(null_values),
        columns,
        left_out: counts.left_out,
        target,
        rows,
        is_sample: options.sample_rows.is_some_and(|limit| rows >= limit),
        dialect,
    })
}

fn find_target(counts: &TableCounts, target: &str) -> Result<(), DataError> {
    if counts.columns.iter().any(|column| column.name == target) {
        return Ok(());
    }
    if let Some(unfit) = counts.left_out.iter().find(|column| column.name == target) {
        let message = format!("the column `{}` cannot be the target: {}", shown(target), unfit.reason);
        return Err(DataError::plan(message, "rename it in the data"));
    }
    let names: Vec<&str> = counts.columns.iter().map(|column| column.name.as_str()).collect();
    let message = format!("there is no column `{}` to be the target", shown(target));
    Err(DataError::plan(message, format!("name one of {}", listed(&names))))
}

/// Returns the texts that stand for a missing value in columns that are otherwise numbers, dates or
/// booleans.
fn proposed_tokens(columns: &[ColumnCounts]) -> BTreeSet<String> {
    let is_label = |text: &String| {
        let mut labels = columns.iter().filter_map(|column| column.labels.as_ref());
        labels.any(|labels| labels.is_cut || labels.counts.contains_key(text))
    };
    let typed = columns.iter().filter(|column| column.labels.is_none() && column.type_of_values().is_some());
    typed.flat_map(|column| column.markers.keys()).filter(|text| !is_label(text)).cloned().collect()
}

/// Keeps the role `time` for one column: the first without nulls. The others become features, with
/// a note.
fn keep_one_time(columns: &mut [ColumnReport]) {
    let times = || columns.iter().filter(|column| column.field.role == Role::Time);
    let Some(kept) = times().find(|column| column.nulls == 0).or(times().next()) else { return };
    let kept = kept.field.name.clone();
    for column in columns.iter_mut().filter(|it| it.field.role == Role::Time && it.field.name != kept) {
        column.field.role = Role::Feature;
        "every value is a date or time".clone_into(&mut column.reason);
        column.doubts.push(format!("only one column has the role `time`, and `{}` got it", shown(&kept)));
    }
}

impl ColumnCounts {
    /// Returns the type of all values but the markers; `None` for text, and without values.
    fn type_of_values(&self) -> Option<DataType> {
        match self.values {
            0 => None,
            all if self.booleans == all => Some(DataType::Boolean),
            all if self.int64s == all => Some(DataType::Int64),
            all if self.float64s == all => Some(DataType::Float64),
            all if self.timestamps == all => Some(DataType::Timestamp),
            _ => None,
        }
    }

    /// Returns the markers that count as values because they are no null tokens.
    fn strays<'a>(&'a self, tokens: &'a BTreeSet<String>) -> impl Iterator<Item = (&'a String, u64)> + Clone {
        self.markers.iter().filter(|(text, _)| !tokens.contains(*text)).map(|(text, count)| (text, *count))
    }

    fn report(&self, rows: u64, tokens: &BTreeSet<String>) -> ColumnReport {
        let missing: BTreeMap<&String, u64> = self
            .markers
            .iter()
            .filter(|(text, _)| tokens.contains(*text))
            .map(|(text, count)| (text, *count))
            .collect();
        let nulls = self.nulls + missing.values().sum::<u64>();
        let distinct = self.distinct() + self.strays(tokens).count() as u64;
        let has_repeats = self.has_repeats || self.strays(tokens).any(|(_, count)| count > 1);
        let (data_type, why_type) = self.propose_type(distinct, has_repeats, tokens);
        let is_unique = !has_repeats && nulls == 0 && rows >= MIN_IDENTIFIED_ROWS;
        let (role, why_role) = self.propose_role(data_type, is_unique);
        let field = Field { name: self.name.clone(), data_type, nullable: nulls > 0, role };
        let reason = if why_role.is_empty() { why_type } else { format!("{why_type}; {why_role}") };
        let mut doubts: Vec<String> = missing
            .iter()
            .map(|(text, count)| format!("`{}` ({}) is taken for a missing value", shown(text), counted(*count)))
            .collect();
        doubts.extend(self.doubts(&field, distinct, missing.values().sum(), tokens));
        ColumnReport { field, nulls, distinct, examples: self.examples.clone(), reason, doubts }
    }

    fn propose_type(&self, distinct: u64, has_repeats: bool, tokens: &BTreeSet<String>) -> (DataType, String) {
        let strays: Vec<&String> = self.strays(tokens).map(|(text, _)| text).collect();
        // `nan` parses as a float64. Every other marker is text.
        let all_floats = strays.iter().all(|text| parse_float64(text).is_ok());
        let typed = match self.type_of_values() {
            Some(DataType::Int64 | DataType::Float64) if !strays.is_empty() && all_floats => Some(DataType::Float64),
            None if self.values == 0 && !strays.is_empty() && all_floats => Some(DataType::Float64),
            found => found.filter(|_| strays.is_empty()),
        };
        let as_text = if distinct <= MAX_CATEGORIES && (has_repeats || distinct == 1) {
            (DataType::Categorical, format!("{distinct} distinct texts"))
        } else {
            (DataType::Utf8, format!("{distinct} distinct texts, too many for categories"))
        };
        match typed {
            None if distinct == 0 => (DataType::Utf8, "every value is missing".to_owned()),
            _ if self.labels.is_some() => self.label_type(typed).unwrap_or(as_text),
            Some(DataType::Boolean) => (DataType::Boolean, "every value is true or false".to_owned()),
            Some(DataType::Int64) => (DataType::Int64, "every value is a whole number".to_owned()),
            Some(DataType::Float64) if self.is_long_code(has_repeats) => {
                (DataType::Utf8, "digits beyond 64 bits, which a number would round".to_owned())
            }
            Some(DataType::Float64) => (DataType::Float64, "every value is a number".to_owned()),
            Some(DataType::Timestamp) => (DataType::Timestamp, "every value is a date or time".to_owned()),
            _ => as_text,
        }
    }

    /// Returns whether integers beyond int64 are codes rather than numbers.
    fn is_long_code(&self, has_repeats: bool) -> bool {
        self.wide > 0 && self.int64s + self.wide == self.values && (!has_repeats || sounds_like_identifier(&self.name))
    }

    fn propose_role(&self, data_type: DataType, is_unique: bool) -> (Role, &'static str) {
        if self.labels.is_some() {
            return (Role::Target, "named as the target");
        }
        match data_type {
            DataType::Utf8 if is_unique => (Role::Identifier, "every value is different"),
            DataType::Int64 if is_unique && sounds_like_identifier(&self.name) => {
                (Role::Identifier, "every value is different, and the name says that it identifies")
            }
            DataType::Int64 if is_unique && self.counts_rows() && sounds_like_row_number(&self.name) => {
                (Role::Identifier, "it counts the rows")
            }
            DataType::Timestamp => (Role::Time, "says when"),
            _ => (Role::Feature, ""),
        }
    }

    fn doubts(&self, field: &Field, distinct: u64, missing: u64, tokens: &BTreeSet<String>) -> Vec<String> {
        let Field { data_type, role, .. } = *field;
        let mut doubts = Vec::new();
        let is_text = matches!(data_type, DataType::Utf8 | DataType::Categorical);
        let strays: u64 = self.strays(tokens).map(|(_, count)| count).sum();
        let others = (self.values + strays).saturating_sub(self.float64s);
        let mostly_numbers = others.saturating_mul(MOSTLY_NUMBERS) <= self.values + strays;
        if self.labels.is_none() && is_text && mostly_numbers && others > 0 {
            let names: Vec<&String> = self.strays(tokens).map(|(text, _)| text).chain(&self.odd).collect();
            doubts.push(format!(
                "all values but {others} are numbers, and it is read as text because of {}: if that means missing, add it to `null-values` and make the type float64",
                listed(&names)
            ));
        }
        if is_text && self.values > 0 && self.foreign_dates == self.values {
            doubts
                .push("the values look like dates in a spelling that is not read: write them as 2024-01-31".to_owned());
        }
        if data_type == DataType::Float64 && self.wide > 0 {
            doubts.push("some values have more digits than 64 bits hold, and are rounded to 16 of them".to_owned());
        }
        if distinct == 1 && self.nulls + missing == 0 && self.labels.is_none() && data_type != DataType::Timestamp {
            doubts.push("every row has the same value: nothing can be learnt from it".to_owned());
        }
        if role == Role::Feature && self.counts_rows() && distinct >= MIN_IDENTIFIED_ROWS {
            doubts
                .push("it counts the rows: if it is no more than their number, make its role `identifier`".to_owned());
        }
        doubts
    }
}

fn counted(rows: u64) -> String {
    if rows == 1 { "1 row".to_owned() } else { format!("{rows} rows") }
}

/// Returns whether a name suggests an identifier: `id`, `customer_id`, `customerID`, `CustomerId`,
/// `row_number`, `RowNumber`, `key`, ...
fn sounds_like_identifier(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let squeezed: String = lower.chars().filter(|character| character.is_ascii_alphanumeric()).collect();
    ["id", "key", "uuid", "index", "rownumber", "rowid"].contains(&squeezed.as_str())
        || ["_id", "_key", "-id", " id"].iter().any(|ending| lower.ends_with(ending))
        || name.ends_with("ID")
        || name.ends_with("Id")
}

/// Returns whether a name suggests row numbers. `Unnamed: 0` is how pandas names an index.
fn sounds_like_row_number(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.starts_with("unnamed: ")
        || ["row", "rows", "no", "no.", "nr", "nr.", "num", "#", "n", "rn", "line"].contains(&&*lower)
}

#[cfg(test)]
mod tests;
