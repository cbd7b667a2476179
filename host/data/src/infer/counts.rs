//! Counts the values of each column in one pass over a source, in bounded memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use serde::{Deserialize, Serialize};
use stagewright_store::MAX_NAME_BYTES;

use super::missing_markers::is_marker;
use crate::cell::{Cell, NullTokens, parse_boolean, parse_float64, parse_int64, parse_timestamp};
use crate::dialect::Style;
use crate::error::{DataError, DataFault, shown};
use crate::source::CellVisitor;

/// The most distinct values that are counted in a column (16 MiB of hashes).
const MAX_DISTINCT: usize = 1_000_000;
/// The most distinct values that are counted in all columns together (256 MiB). A file of some
/// kilobytes may have thousands of columns with a million values each.
const MAX_DISTINCT_TOGETHER: usize = 16_000_000;
/// The most spellings of "missing" in a column. More than these are probably values.
const MAX_MARKERS: usize = 16;
/// The most distinct values of the target that are kept: one more than a task may have classes.
pub(super) const MAX_LABELS: usize = 1001;
/// The most bytes of those values: labels of 1 KiB each.
const MAX_LABEL_BYTES: usize = 1 << 20;
pub(super) const EXAMPLES: usize = 3;
/// The most texts among numbers that are reported.
const ODD_EXAMPLES: usize = 3;

/// A column that cannot be part of a signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusableColumn {
    /// Its position in the source, from 0.
    pub place: usize,
    /// Its name there.
    pub name: String,
    /// The reason: the rest of a sentence about the column.
    pub reason: String,
}

/// The counts of all columns.
pub(super) struct TableCounts {
    tokens: NullTokens,
    sample_rows: u64,
    target: Option<String>,
    pub(super) rows: u64,
    pub(super) columns: Vec<ColumnCounts>,
    pub(super) left_out: Vec<UnusableColumn>,
    hasher: RandomState,
    /// How many more distinct values may be counted in all columns together.
    room: usize,
}

impl TableCounts {
    pub(super) fn new(null_values: &[String], sample_rows: Option<u64>, target: Option<&str>) -> Self {
        Self {
            tokens: NullTokens::new(null_values),
            sample_rows: sample_rows.unwrap_or(u64::MAX),
            target: target.map(str::to_owned),
            rows: 0,
            columns: Vec::new(),
            left_out: Vec::new(),
            hasher: RandomState::new(),
            room: MAX_DISTINCT_TOGETHER,
        }
    }

    /// Returns the reason for which a column of this name cannot be part of a table; `None` if it
    /// can.
    fn unfit(name: &str, times: usize) -> Option<String> {
        if name.is_empty() {
            Some("it has no name".to_owned())
        } else if name.len() > MAX_NAME_BYTES {
            Some(format!("its name has {} bytes, and {MAX_NAME_BYTES} are the most", name.len()))
        } else if name.chars().any(char::is_control) {
            Some("its name has a control character".to_owned())
        } else {
            (times > 1).then(|| format!("{times} columns have this name"))
        }
    }
}

impl CellVisitor for TableCounts {
    fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
        self.columns_but(names, &[])
    }

    fn columns_but(&mut self, names: &[String], unheld: &[(usize, String)]) -> Result<Vec<usize>, DataError> {
        let mut times: HashMap<&str, usize> = HashMap::new();
        names.iter().for_each(|name| *times.entry(name).or_default() += 1);
        let mut places = Vec::with_capacity(names.len());
        for (place, name) in names.iter().enumerate() {
            let unheld = unheld.iter().find(|(unheld, _)| *unheld == place).map(|(_, reason)| reason.clone());
            match unheld.or_else(|| Self::unfit(name, times[name.as_str()])) {
                Some(reason) => self.left_out.push(UnusableColumn { place, name: name.clone(), reason }),
                None => {
                    places.push(place);
                    self.columns.push(ColumnCounts::new(name, self.target.as_deref() == Some(name)));
                }
            }
        }
        match &self.left_out[..] {
            [first, ..] if places.is_empty() => {
                let message = format!("no column can be read; the first is `{}`: {}", shown(&first.name), first.reason);
                Err(DataFault::new(message).into())
            }
            _ => Ok(places),
        }
    }

    fn cell(&mut self, column: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
        let is_null = self.tokens.matches(cell);
        self.columns[column].see(cell, is_null, true, &self.hasher, &mut self.room);
        Ok(())
    }

    fn styled(&mut self, column: usize, text: &str, style: &Style) -> Result<(), Box<DataFault>> {
        let raw = Cell::Text(text);
        let is_null = style.is_null(text) || self.tokens.matches(raw);
        let (mut room, mut may_be_number) = (String::new(), true);
        let cell = match (style.time(text), style.boolean(text)) {
            _ if is_null => raw,
            (Ok(Some(time)), _) => Cell::Timestamp(time),
            (_, Some(word)) => Cell::Boolean(word),
            // A code with a leading zero keeps its form.
            _ if style.has_numbers() && !is_code(text) => match style.number(text, &mut room) {
                Some(number) => Cell::Text(number),
                None => {
                    may_be_number = false;
                    raw
                }
            },
            _ => raw,
        };
        self.columns[column].see(cell, is_null, may_be_number, &self.hasher, &mut self.room);
        Ok(())
    }

    fn end_rows(&mut self, rows: usize) -> Result<bool, DataError> {
        self.rows += rows as u64;
        Ok(self.rows < self.sample_rows)
    }

    fn rows_at_once(&self) -> usize {
        8192
    }
}

/// The counts of a column.
pub(super) struct ColumnCounts {
    pub(super) name: String,
    pub(super) nulls: u64,
    /// Texts that may mean "missing", as written, with their counts. They are counted nowhere else.
    pub(super) markers: BTreeMap<String, u64>,
    /// Values that are neither null nor a marker; below, how many of them parse as each type.
    pub(super) values: u64,
    pub(super) booleans: u64,
    pub(super) int64s: u64,
    pub(super) float64s: u64,
    pub(super) timestamps: u64,
    /// Integers beyond int64.
    pub(super) wide: u64,
    /// Texts that look like a date in a format that is not supported.
    pub(super) foreign_dates: u64,
    /// The first texts that are no numbers, once there was a number.
    pub(super) odd: Vec<String>,
    /// Hashes of the distinct values. Among a million, two values collide with a probability of 3
    /// in 10^8.
    distinct: HashSet<u64>,
    pub(super) has_repeats: bool,
    /// The next number, while the column numbers its rows from 0 or 1; `None` once it does not.
    next_number: Option<i64>,
    pub(super) examples: Vec<String>,
    /// The values of the target as written, with their counts.
    pub(super) labels: Option<Labels>,
}

/// The values of a target as written.
#[derive(Default)]
pub(super) struct Labels {
    pub(super) counts: BTreeMap<String, u64>,
    bytes: usize,
    /// Whether there were more values than are kept.
    pub(super) is_cut: bool,
}

impl Labels {
    fn add(&mut self, text: &str) {
        if let Some(count) = self.counts.get_mut(text) {
            *count += 1;
        } else if self.counts.len() < MAX_LABELS && self.bytes + text.len() <= MAX_LABEL_BYTES {
            self.bytes += text.len();
            self.counts.insert(text.to_owned(), 1);
        } else {
            self.is_cut = true;
        }
    }
}

impl ColumnCounts {
    fn new(name: &str, is_target: bool) -> Self {
        Self {
            name: name.to_owned(),
            nulls: 0,
            markers: BTreeMap::new(),
            values: 0,
            booleans: 0,
            int64s: 0,
            float64s: 0,
            timestamps: 0,
            wide: 0,
            foreign_dates: 0,
            odd: Vec::new(),
            distinct: HashSet::new(),
            has_repeats: false,
            next_number: Some(0),
            examples: Vec::new(),
            labels: is_target.then(Labels::default),
        }
    }

    pub(super) fn distinct(&self) -> u64 {
        self.distinct.len() as u64
    }

    /// Returns whether the column holds 0, 1, 2, ... or 1, 2, 3, ... in the order of the rows.
    pub(super) fn counts_rows(&self) -> bool {
        self.next_number.is_some() && self.values > 0
    }

    /// Counts a cell. `may_be_number` is false for a text that is no number, whatever it looks
    /// like.
    fn see(&mut self, cell: Cell<'_>, is_null: bool, may_be_number: bool, hasher: &RandomState, room: &mut usize) {
        if is_null {
            self.nulls += 1;
            self.next_number = None;
            return;
        }
        if let Some(labels) = &mut self.labels {
            cell.with_text(|text| labels.add(text));
        }
        match cell {
            Cell::Text(text) if is_marker(text) && self.has_room_for_marker(text) => {
                self.next_number = None;
                *self.markers.entry(text.to_owned()).or_default() += 1;
            }
            Cell::Float(number) if number.is_nan() => {
                self.next_number = None;
                *self.markers.entry("NaN".to_owned()).or_default() += 1;
            }
            cell => self.count(cell, may_be_number, hasher, room),
        }
    }

    fn has_room_for_marker(&self, text: &str) -> bool {
        self.markers.len() < MAX_MARKERS || self.markers.contains_key(text)
    }

    fn count(&mut self, cell: Cell<'_>, may_be_number: bool, hasher: &RandomState, room: &mut usize) {
        self.values += 1;
        self.count_types(cell, may_be_number);
        self.count_rows(cell);
        if self.distinct.len() < MAX_DISTINCT && *room > 0 {
            let hash = cell.with_text(|text| hasher.hash_one(text));
            if !self.distinct.insert(hash) {
                self.has_repeats = true;
                return;
            }
            *room -= 1;
            if self.examples.len() < EXAMPLES {
                self.examples.push(cell.with_text(shown));
            }
        }
    }

    fn count_types(&mut self, cell: Cell<'_>, may_be_number: bool) {
        let others = self.values - 1;
        let Cell::Text(text) = cell else {
            self.booleans += u64::from(matches!(cell, Cell::Boolean(_)));
            self.int64s += u64::from(cell.to_int64().is_ok());
            self.float64s += u64::from(cell.to_float64().is_ok());
            self.timestamps += u64::from(cell.to_timestamp().is_ok());
            return;
        };
        // Yes and No are better kept as categories, 0 and 1 as integers; see docs/types.md.
        self.booleans += u64::from(["true", "false"].iter().any(|word| word.eq_ignore_ascii_case(text.trim_ascii())));
        let is_code = is_code(text);
        let is_number = may_be_number && !is_code && parse_float64(text).is_ok();
        if is_number {
            self.float64s += 1;
            // For the other types, the first value that does not fit decides.
            self.int64s += u64::from(self.int64s + self.wide == others && parse_int64(text).is_ok());
            self.wide += u64::from(is_wide(text));
            return;
        }
        self.timestamps += u64::from(self.timestamps == others && parse_timestamp(text).is_ok());
        self.foreign_dates += u64::from(self.foreign_dates == others && looks_like_date(text));
        if self.float64s > 0 && self.odd.len() < ODD_EXAMPLES && !self.odd.iter().any(|odd| odd == text) {
            self.odd.push(text.chars().take(80).collect());
        }
    }

    fn count_rows(&mut self, cell: Cell<'_>) {
        let Some(next) = self.next_number else { return };
        self.next_number = match cell.to_int64() {
            Ok(number) if number == next || (self.values == 1 && number == 1) => number.checked_add(1),
            _ => None,
        };
    }

    /// Returns whether every value parses as a boolean, including `yes` and `1`.
    pub(super) fn labels_are_boolean(&self) -> bool {
        let labels = self.labels.as_ref();
        labels.is_some_and(|it| !it.is_cut && it.counts.keys().all(|text| parse_boolean(text).is_ok()))
    }
}

/// Returns whether digits are a code rather than a number: a leading zero would be lost (postal
/// codes).
fn is_code(text: &str) -> bool {
    let digits = text.trim_ascii().as_bytes();
    digits.len() > 1 && digits[0] == b'0' && digits.iter().all(u8::is_ascii_digit)
}

/// Returns whether a text is an integer beyond int64.
fn is_wide(text: &str) -> bool {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    digits.len() > 18 && digits.bytes().all(|digit| digit.is_ascii_digit()) && text.parse::<i64>().is_err()
}

/// Returns whether a text is probably a date: `01/06/2024`, `6.1.24`, `2024/01/06 10:00`, `6 Jan
/// 2024`. Programs disagree about several of these.
fn looks_like_date(text: &str) -> bool {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let text = text.trim();
    if text.len() > 40 || !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return false;
    }
    let parts: Vec<&str> = text.split(['/', '.', '-', ' ', ',', 'T']).filter(|part| !part.is_empty()).take(3).collect();
    let [first, second, third] = parts[..] else { return false };
    let is_digits = |part: &str, most| part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_month = |part: &str| {
        part.get(..3).is_some_and(|head| MONTHS.iter().any(|month| month.eq_ignore_ascii_case(head)))
            && part.len() <= 9
            && part.bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    let is_year = |part: &str| is_digits(part, 4) && matches!(part.len(), 2 | 4);
    match (is_digits(first, 4), is_digits(second, 2)) {
        (true, true) if first.len() == 4 => is_digits(third, 2),
        (true, true) => is_year(third),
        (true, false) => first.len() <= 2 && is_month(second) && is_year(third),
        (false, true) => is_month(first) && is_year(third),
        (false, false) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_in_other_spellings_are_recognised_and_other_texts_are_not() {
        for text in ["01/06/2024", "6.1.24", "2024/1/6 10:00", "6 Jan 2024", "Jan 6, 2024", "06-January-2024"] {
            assert!(looks_like_date(text), "{text}");
        }
        for text in ["", "1.2.3.4", "a/b/c", "10 Main Street", "1/2", "v1.2.345", "May be, or not", "3-in-1"] {
            assert!(!looks_like_date(text), "{text}");
        }
    }

    #[test]
    fn digits_beyond_64_bits_are_wide() {
        assert!(is_wide("9223372036854775808") && is_wide("-99999999999999999999"));
        assert!(!is_wide("9223372036854775807") && !is_wide("1e30") && !is_wide("12"));
    }
}
