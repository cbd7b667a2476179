//! The test rows that a model was trained on.

use serde::{Deserialize, Serialize};

/// The test rows that a model was trained on, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    /// The rows; `None` if they are not known.
    pub learnt: Option<Learnt>,
    /// The number of test rows that the model was trained on under another key: their content is
    /// equal.
    pub equal_content: Option<u64>,
}

impl Overlap {
    pub(crate) fn has(&self, row: usize) -> bool {
        self.learnt.as_ref().is_some_and(|learnt| learnt.has(row))
    }

    pub(crate) fn rows(&self) -> Option<u64> {
        self.learnt.as_ref().map(|learnt| learnt.0.iter().map(|byte| u64::from(byte.count_ones())).sum())
    }
}

/// A set of rows, as a bit for each row. The first row is the lowest bit of the first byte, and
/// zero bytes at the end are left out. In JSON it is a hexadecimal text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Learnt(Vec<u8>);

impl Learnt {
    pub(crate) fn of(rows: impl Iterator<Item = bool>) -> Self {
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
            // Writing to a string does not fail.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_rows_has_one_text_form_that_restores_it() {
        for (rows, text) in [(vec![], ""), (vec![0], "01"), (vec![7], "80"), (vec![1, 8, 23], "020180")] {
            // Rows after the last one of the set change nothing.
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
