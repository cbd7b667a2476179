//! One value from outside, and how it becomes a value of a column's type.
//!
//! This is the host's only decoder: CSV, SQLite, Parquet and JSON all bring their values here as [`Cell`]s, in training
//! and in prediction, so that the same value means the same everywhere. `docs/types.md` has the rules as a table; a
//! conversion that would lose something is a complaint, never a guess.

use jiff::civil;
use jiff::tz::TimeZone;

/// Whole numbers up to here are exact in a double; beyond, a double may stand for several of them.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;

/// A value as a source holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// Microseconds since the epoch, UTC.
    Timestamp(i64),
}

/// What is wrong with a value, as the rest of a sentence that begins with it.
pub(crate) type Complaint = &'static str;

const NOT_INT64: Complaint = "is not an int64";
const NOT_FLOAT64: Complaint = "is not a float64";
const NOT_BOOLEAN: Complaint = "is not a boolean";
const NOT_TIMESTAMP: Complaint = "is not a timestamp";
const OUTSIDE_INT64: Complaint = "lies outside int64";
const NOT_WHOLE: Complaint = "is not an int64: it has a fraction";
const NOT_EXACT: Complaint = "is not surely an int64: as a float it is beyond 2^53";

/// What stands for a missing value: some texts, and the numbers among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct NullTokens {
    texts: Vec<String>,
    numbers: Vec<f64>,
    /// Bit `n` is set if some text has `n` bytes (the last bit: 63 or more). Most cells are settled by this alone.
    lengths: u64,
}

impl NullTokens {
    pub(crate) fn new(texts: &[String]) -> Self {
        let lengths = texts.iter().fold(0, |bits, text| bits | length_bit(text));
        let numbers = texts.iter().filter_map(|text| parse_float64(text).ok()).collect();
        Self { texts: texts.to_vec(), numbers, lengths }
    }

    /// Whether a cell stands for a missing value, whatever its column's type.
    #[inline]
    pub(crate) fn matches(&self, cell: Cell<'_>) -> bool {
        match cell {
            Cell::Null => true,
            Cell::Text(text) => self.matches_text(text),
            Cell::Integer(number) => self.matches_integer(number),
            Cell::Float(number) => self.matches_float(number),
            Cell::Boolean(_) | Cell::Timestamp(_) => false,
        }
    }

    #[inline]
    fn matches_text(&self, text: &str) -> bool {
        self.lengths & length_bit(text) != 0 && self.texts.iter().any(|token| token == text)
    }

    #[inline]
    pub(crate) fn matches_float(&self, number: f64) -> bool {
        !self.numbers.is_empty()
            && self.numbers.iter().any(|&token| token == number || (token.is_nan() && number.is_nan()))
    }

    #[inline]
    pub(crate) fn matches_integer(&self, number: i64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a token is compared, nothing is stored")]
        let float = number as f64;
        self.matches_float(float)
    }
}

#[inline]
fn length_bit(text: &str) -> u64 {
    1 << text.len().min(63)
}

impl Cell<'_> {
    #[inline]
    pub(crate) fn to_int64(self) -> Result<i64, Complaint> {
        match self {
            Self::Integer(number) => Ok(number),
            Self::Text(text) => parse_int64(text),
            Self::Float(number) => whole(number),
            Self::Null | Self::Boolean(_) | Self::Timestamp(_) => Err(NOT_INT64),
        }
    }

    #[inline]
    pub(crate) fn to_float64(self) -> Result<f64, Complaint> {
        match self {
            Self::Float(number) => Ok(canonical(number)),
            Self::Text(text) => parse_float64(text),
            #[expect(clippy::cast_precision_loss, reason = "the nearest double, as if the digits had been parsed")]
            Self::Integer(number) => Ok(number as f64),
            Self::Null | Self::Boolean(_) | Self::Timestamp(_) => Err(NOT_FLOAT64),
        }
    }

    #[inline]
    pub(crate) fn to_boolean(self) -> Result<bool, Complaint> {
        match self {
            Self::Boolean(value) => Ok(value),
            Self::Text(text) => parse_boolean(text),
            Self::Integer(0) => Ok(false),
            Self::Integer(1) => Ok(true),
            _ => Err(NOT_BOOLEAN),
        }
    }

    #[inline]
    pub(crate) fn to_timestamp(self) -> Result<i64, Complaint> {
        match self {
            Self::Timestamp(microseconds) => Ok(microseconds),
            Self::Text(text) => parse_timestamp(text),
            Self::Null | Self::Integer(_) | Self::Float(_) | Self::Boolean(_) => Err(NOT_TIMESTAMP),
        }
    }

    /// The value's text form: what an utf8 or categorical column holds, and what an error shows.
    #[inline]
    pub(crate) fn with_text<T>(self, take: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Text(text) => take(text),
            Self::Null => take(""),
            Self::Integer(number) => take(&number.to_string()),
            Self::Float(number) => take(&float_text(number)),
            Self::Boolean(value) => take(if value { "true" } else { "false" }),
            Self::Timestamp(microseconds) => take(&timestamp_text(microseconds)),
        }
    }
}

/// The shortest text that reads back as this double; whole numbers keep `.0`.
pub(crate) fn float_text(number: f64) -> String {
    format!("{number:?}")
}

/// RFC 3339 in UTC, `2024-01-06T23:10:00Z`; the bare count where the calendar ends (the year 9999).
pub(crate) fn timestamp_text(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds).map_or_else(|_| microseconds.to_string(), |time| time.to_string())
}

/// One NaN for all, so that a payload cannot change a digest.
#[inline]
pub(crate) fn canonical(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number }
}

fn whole(number: f64) -> Result<i64, Complaint> {
    if !number.is_finite() {
        Err(NOT_INT64)
    } else if number.fract() != 0.0 {
        Err(NOT_WHOLE)
    } else if number.abs() > EXACT_INTEGER {
        Err(NOT_EXACT)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Ok(number as i64)
    }
}

/// Digits with an optional sign; and what other programs write for whole numbers, `3.0` and `1e3`, if it is exact.
#[inline]
pub(crate) fn parse_int64(text: &str) -> Result<i64, Complaint> {
    let trimmed = text.trim_ascii();
    trimmed.parse().or_else(|_| parse_written_as_float(trimmed))
}

#[cold]
fn parse_written_as_float(text: &str) -> Result<i64, Complaint> {
    let whole_part = match text.split_once('.') {
        Some((whole_part, zeros)) if !zeros.is_empty() && zeros.bytes().all(|digit| digit == b'0') => whole_part,
        _ => text,
    };
    let digits = whole_part.strip_prefix(['+', '-']).unwrap_or(whole_part);
    if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return whole_part.parse().map_err(|_| OUTSIDE_INT64);
    }
    whole(text.parse::<f64>().map_err(|_| NOT_INT64)?)
}

/// Decimal or exponent notation, correctly rounded; `inf`, `infinity` and `nan` with any case and sign.
#[inline]
pub(crate) fn parse_float64(text: &str) -> Result<f64, Complaint> {
    text.trim_ascii().parse().map(canonical).map_err(|_| NOT_FLOAT64)
}

/// `true`, `yes`, `t`, `y`, `1` and their opposites, in any case.
pub(crate) fn parse_boolean(text: &str) -> Result<bool, Complaint> {
    let text = text.trim_ascii();
    let is_one_of = |words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_one_of(&["true", "1", "yes", "t", "y"]) {
        Ok(true)
    } else if is_one_of(&["false", "0", "no", "f", "n"]) {
        Ok(false)
    } else {
        Err(NOT_BOOLEAN)
    }
}

/// RFC 3339, `YYYY-MM-DD` or `YYYY-MM-DD HH:MM[:SS[.f]]`; UTC where no offset is given. Digits beyond the microsecond
/// are dropped, toward the past.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, Complaint> {
    let text = text.trim_ascii();
    // The parser knows more notations (week dates, `20240106`, zone names); one that a number could be taken for is not wanted.
    if text.len() < 10 || text.as_bytes()[4] != b'-' || text.as_bytes()[7] != b'-' || text.ends_with(']') {
        return Err(NOT_TIMESTAMP);
    }
    let nanoseconds = if text.len() == 10 {
        let date: civil::Date = text.parse().map_err(|_| NOT_TIMESTAMP)?;
        date.to_zoned(TimeZone::UTC).map_err(|_| NOT_TIMESTAMP)?.timestamp().as_nanosecond()
    } else if has_offset(text) {
        text.parse::<jiff::Timestamp>().map_err(|_| NOT_TIMESTAMP)?.as_nanosecond()
    } else {
        let time: civil::DateTime = text.parse().map_err(|_| NOT_TIMESTAMP)?;
        time.to_zoned(TimeZone::UTC).map_err(|_| NOT_TIMESTAMP)?.timestamp().as_nanosecond()
    };
    i64::try_from(nanoseconds.div_euclid(1000)).map_err(|_| NOT_TIMESTAMP)
}

/// Whether the part after the date ends in `Z` or an offset.
fn has_offset(text: &str) -> bool {
    text.as_bytes()[10..].iter().any(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_int64_may_be_written_with_sign_spaces_or_a_zero_fraction() {
        for (text, expected) in [("7", 7), ("+7", 7), ("-7", -7), (" 7 ", 7), ("3.0", 3), ("-3.000", -3), ("1e3", 1000)]
        {
            assert_eq!(parse_int64(text), Ok(expected), "{text}");
        }
        assert_eq!(parse_int64("9223372036854775807.0"), Ok(i64::MAX));
    }

    #[test]
    fn an_int64_is_never_rounded_or_wrapped() {
        assert_eq!(parse_int64("3.5"), Err(NOT_WHOLE));
        assert_eq!(parse_int64("9223372036854775808"), Err(OUTSIDE_INT64));
        assert_eq!(parse_int64("1e17"), Err(NOT_EXACT));
        assert_eq!(Cell::Float(9.1e15).to_int64(), Err(NOT_EXACT));
        for text in ["", "abc", "1,000", "1_000", "0x10", "nan", "inf", ".", "-", "1.0.0", "--1.0"] {
            assert!(parse_int64(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_float64_is_read_to_the_nearest_double() {
        assert_eq!(parse_float64("0.1"), Ok(0.1));
        assert_eq!(parse_float64(" -1.5e-3"), Ok(-0.0015));
        assert_eq!(parse_float64("-Infinity"), Ok(f64::NEG_INFINITY));
        assert!(parse_float64("-0").is_ok_and(|zero| zero == 0.0 && zero.is_sign_negative()));
        for text in ["", " ", "1,5", "one", "1_0", "0x1p3"] {
            assert_eq!(parse_float64(text), Err(NOT_FLOAT64), "{text}");
        }
    }

    #[test]
    fn every_nan_has_the_same_bits() {
        let payload = f64::from_bits(0xfff8_0000_0000_1234);
        assert_eq!(Cell::Float(payload).to_float64().map(f64::to_bits), Ok(f64::NAN.to_bits()));
        assert_eq!(parse_float64("-NaN").map(f64::to_bits), Ok(f64::NAN.to_bits()));
    }

    #[test]
    fn a_boolean_has_twelve_spellings_and_two_numbers() {
        for text in ["true", "TRUE", "Yes", "y", "t", "1"] {
            assert_eq!(parse_boolean(text), Ok(true), "{text}");
        }
        for text in ["false", "False", "no", "N", "f", "0"] {
            assert_eq!(parse_boolean(text), Ok(false), "{text}");
        }
        assert_eq!(Cell::Integer(1).to_boolean(), Ok(true));
        assert_eq!(Cell::Integer(2).to_boolean(), Err(NOT_BOOLEAN));
        assert_eq!(parse_boolean("maybe"), Err(NOT_BOOLEAN));
    }

    #[test]
    fn a_timestamp_without_offset_is_utc() {
        let second = 1_704_582_600_000_000;
        for text in [
            "2024-01-06T23:10:00Z",
            "2024-01-06 23:10:00",
            "2024-01-06T23:10",
            "2024-01-07T00:10:00+01:00",
            "2024-01-06 23:10:00.000000",
            " 2024-01-06 18:10:00-05:00 ",
        ] {
            assert_eq!(parse_timestamp(text), Ok(second), "{text}");
        }
        assert_eq!(parse_timestamp("2024-01-06"), Ok(1_704_499_200_000_000));
        assert_eq!(parse_timestamp("1969-12-31T23:59:59.9999999Z"), Ok(-1));
        for text in [
            "",
            "1704582600",
            "20240106",
            "2024-13-01",
            "2024-02-30",
            "01/06/2024",
            "2024-01-06T25:00:00Z",
            "äöüäöü-2024",
        ] {
            assert_eq!(parse_timestamp(text), Err(NOT_TIMESTAMP), "{text}");
        }
    }

    #[test]
    fn a_null_token_that_reads_as_a_number_is_one_in_every_source() {
        let tokens = NullTokens::new(&["-999".to_owned(), " ".to_owned()]);
        assert!(tokens.matches_text(" ") && tokens.matches_text("-999"));
        assert!(tokens.matches_integer(-999) && tokens.matches_float(-999.0));
        assert!(!tokens.matches_text("") && !tokens.matches_text("  ") && !tokens.matches_integer(0));
    }
}
