//! The summary of a column: nulls, distinct values, minimum, maximum, mean.

use std::collections::HashSet;

use stagewright_kit::{Column, ColumnSummary, Failure, TextEnds, Values, bitmap};

use crate::duplicates::{Hashed, fold, hash};

/// The most distinct values that are counted, as the contract says.
const MOST_DISTINCT: usize = 1000;

/// The most distinct texts that are compared one by one. Further ones are hashed.
const COMPARED: usize = 8;

/// The summary of a column so far.
#[derive(Debug)]
pub(crate) struct Summary {
    name: String,
    nulls: u64,
    /// The first distinct texts. Most columns have no more.
    few: Vec<(TextEnds, Box<[u8]>)>,
    /// The hashes of the other texts, or of all numbers.
    others: HashSet<u64, Hashed>,
    many: bool,
    minimum: f64,
    maximum: f64,
    sum: f64,
    count: u64,
}

impl Summary {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            nulls: 0,
            few: Vec::new(),
            others: HashSet::default(),
            many: false,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
            sum: 0.0,
            count: 0,
        }
    }

    /// Returns the number of nulls.
    pub(crate) fn nulls(&self) -> u64 {
        self.nulls
    }

    /// Adds `rows` rows. `numbers` are the values of a numeric column, with NaN for null.
    pub(crate) fn add(&mut self, column: &Column, rows: usize, numbers: Option<&[f64]>) -> Result<(), Failure> {
        self.nulls += column.null_count(rows) as u64;
        match (&column.values, numbers) {
            (Values::Categorical(_) | Values::Utf8(_), _) => self.add_texts(column)?,
            (_, Some(numbers)) => self.add_numbers(numbers),
            (_, None) => {}
        }
        Ok(())
    }

    fn add_texts(&mut self, column: &Column) -> Result<(), Failure> {
        if self.many {
            return Ok(());
        }
        let Some(texts) = column.as_text()? else { return Ok(()) };
        // Neighbouring values are often equal, and comparing is cheaper than hashing.
        let mut last = None;
        for text in (0..texts.len()).filter_map(|row| texts.bytes(row)) {
            let ends = TextEnds::of(text);
            let is = |known: &(TextEnds, Box<[u8]>)| known.0 == ends && (ends.are_whole_text() || *known.1 == *text);
            if (last == Some(ends) && ends.are_whole_text()) || self.few.iter().any(is) {
                continue;
            }
            last = Some(ends);
            if self.few.len() < COMPARED {
                self.few.push((ends, text.into()));
                continue;
            }
            self.others.insert(hash(text)[0]);
            if self.few.len() + self.others.len() > MOST_DISTINCT {
                self.many = true;
                return Ok(());
            }
        }
        Ok(())
    }

    fn add_numbers(&mut self, numbers: &[f64]) {
        let mut previous = None;
        for &number in numbers {
            if number.is_nan() {
                continue;
            }
            // Comparisons, since `min` and `max` handle NaN, which makes them function calls in
            // Wasm.
            if number < self.minimum {
                self.minimum = number;
            }
            if number > self.maximum {
                self.maximum = number;
            }
            self.sum += number;
            self.count += 1;
            if !self.many && previous != Some(number) {
                // 0 and -0 are one value.
                self.others.insert(fold((number + 0.0).to_bits() ^ 0xD6E8_FEB8_6659_FD93, 0x9E37_79B9_7F4A_7C15));
                self.many = self.others.len() > MOST_DISTINCT;
                previous = Some(number);
            }
        }
    }

    pub(crate) fn finish(self) -> ColumnSummary {
        let seen = self.count > 0;
        let mean = self.sum / self.count as f64;
        ColumnSummary {
            column: self.name,
            nulls: self.nulls,
            distinct: (!self.many).then_some((self.few.len() + self.others.len()) as u64),
            minimum: seen.then_some(self.minimum),
            maximum: seen.then_some(self.maximum),
            mean: (seen && mean.is_finite()).then_some(mean),
        }
    }
}

/// Returns the rows of a batch as numbers, with NaN for null, or `None` for text.
pub(crate) fn numbers(column: &Column, rows: usize) -> Option<Vec<f64>> {
    match &column.values {
        Values::Utf8(_) | Values::Categorical(_) => None,
        Values::Boolean(bits) if column.validity.is_none() => {
            Some((0..rows).map(|row| f64::from(bitmap::get(bits, row))).collect())
        }
        _ => column.clone().into_numbers(rows),
    }
}
