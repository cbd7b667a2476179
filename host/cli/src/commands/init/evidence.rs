//! The evidence of all rows of a table: ranges, categories, forms, uniqueness. `init --strict`
//! proposes checks from it.
//!
//! The table is read once more, after its types are known. What is kept is bounded, whatever the
//! table holds.

use std::collections::{BTreeMap, HashSet};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{Array, StringArray};
use stagewright_data::{DataError, Decode, DecodeLimits, Inference, Source, Strictness};
use stagewright_manifest::StarterField;
use stagewright_store::{Digest, Role};

/// The most distinct values of a column that are counted.
const MOST_VALUES: usize = 50;
/// The most rows among which identifiers are compared. Each takes some 70 bytes.
const MOST_IDENTIFIERS: usize = 4 << 20;
/// The most numbers that are kept of a column.
const MOST_SAMPLED: u64 = 20_000;
/// The most numbers that are kept of all columns: 64 MiB.
const MOST_SAMPLED_IN_ALL: u64 = 8 << 20;
/// The longest text that has a form.
const LONGEST_FORM: usize = 64;
/// The rows that are read at a time.
const ROWS: usize = 16_384;

/// The evidence about each column of the signature, in order.
pub(super) struct Evidence {
    pub(super) columns: Vec<ColumnEvidence>,
}

/// The evidence about a column.
#[derive(Debug, Default)]
pub(super) struct ColumnEvidence {
    /// The least and the greatest number; `None` without numbers, or with one that is not finite.
    pub(super) range: Option<(f64, f64)>,
    /// The distinct texts or flags with their numbers of rows; `None` if there are many.
    pub(super) values: Option<BTreeMap<String, u64>>,
    /// The form that all texts have.
    pub(super) form: Option<Form>,
    /// Whether an identifier is there once in each row.
    pub(super) is_unique: bool,
    /// Some of the numbers, from all over the table, ascending.
    pub(super) sample: Vec<f64>,
}

/// Runs of letters and digits in a text, and what stands between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Form(Vec<(Class, usize)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Digit,
    Upper,
    Lower,
    Other(u8),
}

impl Form {
    /// Returns the form of a text; `None` if it has none: it is long, or not ASCII.
    fn of(text: &str) -> Option<Self> {
        if text.len() > LONGEST_FORM || text.is_empty() {
            return None;
        }
        let mut runs: Vec<(Class, usize)> = Vec::new();
        for byte in text.bytes() {
            let class = match byte {
                b'0'..=b'9' => Class::Digit,
                b'A'..=b'Z' => Class::Upper,
                b'a'..=b'z' => Class::Lower,
                b' '..=b'~' => Class::Other(byte),
                _ => return None,
            };
            match runs.last_mut() {
                Some((last, length)) if *last == class => *length += 1,
                _ => runs.push((class, 1)),
            }
        }
        Some(Self(runs))
    }

    /// Returns a regular expression that matches all texts of the form and no others.
    pub(super) fn pattern(&self) -> String {
        let mut pattern = String::new();
        for (class, length) in &self.0 {
            match class {
                Class::Digit => pattern.push_str("[0-9]"),
                Class::Upper => pattern.push_str("[A-Z]"),
                Class::Lower => pattern.push_str("[a-z]"),
                Class::Other(byte) => {
                    if r"\.+*?()|[]{}^$".contains(char::from(*byte)) {
                        pattern.push('\\');
                    }
                    pattern.push(char::from(*byte));
                }
            }
            if *length > 1 {
                pattern.push_str(&format!("{{{length}}}"));
            }
        }
        pattern
    }
}

/// The evidence about a column while it is read.
struct Reading {
    is_identifier: bool,
    /// How many rows are skipped between two numbers that are kept.
    stride: usize,
    range: Option<(f64, f64)>,
    is_finite: bool,
    values: BTreeMap<String, u64>,
    many: bool,
    form: Option<Form>,
    has_form: bool,
    seen: HashSet<Digest>,
    is_unique: bool,
    sample: Vec<f64>,
}

/// Reads all rows of a table. `fields` are the columns as the manifest has them.
///
/// # Errors
/// The table cannot be read.
pub(super) fn read(
    source: &Source,
    inference: &Inference,
    fields: &[StarterField],
    decoder: &dyn Decode,
    leave: &DecodeLimits,
) -> Result<Evidence, DataError> {
    let columns = inference.columns.len() as u64;
    let kept = MOST_SAMPLED.min(MOST_SAMPLED_IN_ALL / columns.max(1)).max(1);
    let stride = usize::try_from(inference.rows.div_ceil(kept)).unwrap_or(usize::MAX).max(1);
    let reading = |role| Reading {
        is_identifier: role == Role::Identifier,
        stride,
        range: None,
        is_finite: true,
        values: BTreeMap::new(),
        many: false,
        form: None,
        has_form: true,
        seen: HashSet::new(),
        is_unique: role == Role::Identifier,
        sample: Vec::new(),
    };
    let mut columns: Vec<Reading> = fields.iter().map(|it| reading(it.field.role)).collect();
    let mut rows = decoder.open(source, &inference.signature, Strictness::Ingest, leave)?;
    let mut start = 0;
    while let Some(batch) = rows.next(ROWS)? {
        for (reading, column) in columns.iter_mut().zip(batch.columns()) {
            reading.see(column.as_ref(), start);
        }
        start += batch.num_rows();
    }
    Ok(Evidence { columns: columns.into_iter().map(Reading::finish).collect() })
}

impl Reading {
    fn see(&mut self, column: &dyn Array, start: usize) {
        if let Some(numbers) = column.as_primitive_opt::<Int64Type>() {
            let numbers = numbers.iter().enumerate();
            for (row, number) in numbers.filter_map(|(row, number)| Some((row, number?))) {
                if self.is_unique || !self.many {
                    self.value(&number.to_string());
                }
                self.number(start + row, number as f64);
            }
        } else if let Some(numbers) = column.as_primitive_opt::<Float64Type>() {
            let numbers = numbers.iter().enumerate();
            numbers.filter_map(|(row, it)| Some((row, it?))).for_each(|(row, it)| self.number(start + row, it));
        } else if let Some(flags) = column.as_boolean_opt() {
            flags.iter().flatten().for_each(|flag| self.value(if flag { "true" } else { "false" }));
        } else if let Some(texts) = column.as_string_opt::<i32>() {
            texts.iter().flatten().for_each(|text| self.text(text));
        } else if let Some(texts) = column.as_dictionary_opt::<Int32Type>()
            && let Some(texts) = texts.downcast_dict::<StringArray>()
        {
            texts.into_iter().flatten().for_each(|text| self.text(text));
        }
        if self.is_identifier && column.null_count() > 0 {
            self.is_unique = false;
        }
    }

    fn number(&mut self, row: usize, number: f64) {
        self.is_finite &= number.is_finite();
        let (low, high) = self.range.unwrap_or((number, number));
        self.range = Some((low.min(number), high.max(number)));
        if row.is_multiple_of(self.stride) && number.is_finite() {
            self.sample.push(number);
        }
    }

    fn text(&mut self, text: &str) {
        self.value(text);
        if self.has_form {
            let form = Form::of(text);
            self.has_form = form.is_some() && (self.form.is_none() || self.form == form);
            self.form = form;
        }
    }

    fn value(&mut self, text: &str) {
        if self.is_unique {
            self.is_unique = self.seen.len() < MOST_IDENTIFIERS && self.seen.insert(Digest::of(text.as_bytes()));
        }
        if self.many {
            return;
        }
        if let Some(count) = self.values.get_mut(text) {
            *count += 1;
        } else if self.values.len() < MOST_VALUES {
            self.values.insert(text.to_owned(), 1);
        } else {
            self.many = true;
            self.values.clear();
        }
    }

    fn finish(mut self) -> ColumnEvidence {
        self.sample.sort_unstable_by(f64::total_cmp);
        ColumnEvidence {
            range: self.range.filter(|_| self.is_finite),
            values: (!self.many && !self.values.is_empty()).then_some(self.values),
            form: self.form.filter(|_| self.has_form),
            is_unique: self.is_unique && !self.seen.is_empty(),
            sample: self.sample,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_the_runs_of_a_text_and_its_pattern_matches_them() {
        for (text, pattern) in [
            ("7590-VHVEG", "[0-9]{4}-[A-Z]{5}"),
            ("a.b+1", r"[a-z]\.[a-z]\+[0-9]"),
            ("12:30", "[0-9]{2}:[0-9]{2}"),
            ("(x)", r"\([a-z]\)"),
        ] {
            assert_eq!(Form::of(text).unwrap().pattern(), pattern);
        }
        assert_eq!(Form::of("größe"), None);
        assert_eq!(Form::of(""), None);
        assert_ne!(Form::of("1-A"), Form::of("12-A"));
    }
}
