//! The summary of a column: nulls, distinct values, minimum, maximum, mean.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};

use stagewright_kit::{ColumnSummary, Values};

use crate::cells::Cells;
use crate::keys::{fold, hash};
use crate::words::Words;

/// The most distinct values that are counted, as the contract says.
const MOST_DISTINCT: usize = 1000;

/// The most distinct texts that are compared one by one. Further ones are hashed.
const COMPARED: usize = 8;

/// The number of numbers that are remembered as seen, a power of two: most columns of numbers with
/// few distinct values have fewer.
const REMEMBERED: usize = 256;

/// The summary of a column so far.
#[derive(Debug)]
pub(crate) struct Summary {
    name: String,
    nulls: u64,
    /// The first distinct texts. Most columns have no more.
    few: Words,
    /// The hashes of the other texts, or of all numbers.
    others: HashSet<u64, Hashed>,
    /// Numbers that were seen, each at the place that its hash gives.
    remembered: Vec<f64>,
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
            few: Words::default(),
            others: HashSet::default(),
            remembered: Vec::new(),
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

    /// Adds rows.
    pub(crate) fn add(&mut self, cells: &Cells<'_>) {
        self.nulls += cells.column.null_count(cells.rows) as u64;
        match (&cells.column.values, cells.numbers) {
            (Values::Categorical(_) | Values::Utf8(_), _) => self.add_texts(cells),
            (_, Some(numbers)) => self.add_numbers(numbers),
            (_, None) => {}
        }
    }

    fn add_texts(&mut self, cells: &Cells<'_>) {
        if self.many {
            return;
        }
        let Self { few, others, many, .. } = self;
        let class = |text: &[u8]| {
            if *many || few.place(text).is_some() {
            } else if few.len() < COMPARED {
                few.place_or_add(text);
            } else {
                others.insert(hash(text)[0]);
                *many = few.len() + others.len() > MOST_DISTINCT;
            }
        };
        cells.each_text(class, |_, ()| {});
    }

    fn add_numbers(&mut self, numbers: &[f64]) {
        let (mut minimum, mut maximum, mut sum, mut count) = (self.minimum, self.maximum, self.sum, self.count);
        for &number in numbers {
            if number.is_nan() {
                continue;
            }
            // Comparisons, since `min` and `max` handle NaN, which makes them function calls in
            // Wasm.
            if number < minimum {
                minimum = number;
            }
            if number > maximum {
                maximum = number;
            }
            sum += number;
            count += 1;
        }
        (self.minimum, self.maximum, self.sum, self.count) = (minimum, maximum, sum, count);
        if !self.many {
            self.count_distinct(numbers);
        }
    }

    fn count_distinct(&mut self, numbers: &[f64]) {
        // NaN equals nothing, so it marks places that remember nothing.
        self.remembered.resize(REMEMBERED, f64::NAN);
        let mut previous = f64::NAN;
        for &number in numbers {
            if number == previous || number.is_nan() {
                continue;
            }
            previous = number;
            // 0 and -0 are one value.
            let hash = fold((number + 0.0).to_bits() ^ 0xD6E8_FEB8_6659_FD93, 0x9E37_79B9_7F4A_7C15);
            let place = &mut self.remembered[hash as usize % REMEMBERED];
            if *place == number {
                continue;
            }
            *place = number;
            self.others.insert(hash);
            if self.others.len() > MOST_DISTINCT {
                self.many = true;
                return;
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

/// A hasher for keys that are hashes.
#[derive(Debug, Clone, Copy, Default)]
struct Hashed;

impl BuildHasher for Hashed {
    type Hasher = Identity;
    fn build_hasher(&self) -> Identity {
        Identity(0)
    }
}

/// Returns a 64-bit key unchanged.
#[derive(Debug)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}
