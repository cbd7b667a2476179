//! A value of a source, and its conversion to a value of a column's type.
//!
//! This is the only decoder. CSV, SQLite, Parquet and JSON all produce [`Cell`]s, in training and
//! in prediction, so that equal values decode equally everywhere. `docs/types.md` has the rules as
//! a table. A conversion that would lose information is an error, never a guess.

use jiff::SignedDuration;
use jiff::civil::{self, DateTime};
use jiff::fmt::temporal::Pieces;

/// Integers below 2^53 are exact in a double. Above, several integers have the same double.
const EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;
/// A decimal number of this many digits survives the conversion to a double and back.
pub(crate) const EXACT_DIGITS: usize = 15;
/// The most digits of an int64.
const MAX_INTEGER_DIGITS: usize = 19;
/// The time that timestamps are counted from.
const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);
/// -9999-01-01T00:00:00Z, the earliest time with a text form, in microseconds.
pub(crate) const MIN_TIMESTAMP: i64 = -377_705_116_800_000_000;
/// 9999-12-31T23:59:59.999999Z, the latest time with a text form, in microseconds.
pub(crate) const MAX_TIMESTAMP: i64 = 253_402_300_799_999_999;

/// A value as the source has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Null,
    Text(&'a str),
    Integer(i64),
    Float(f64),
    /// A number with a fraction or an exponent, as written. A double may only approximate it.
    Decimal(&'a str),
    Boolean(bool),
    /// Microseconds since 1970, UTC.
    Timestamp(i64),
}

/// The reason for which a value does not fit: the rest of a sentence that begins with the value.
pub(crate) type Complaint = &'static str;

const NOT_INT64: Complaint = "is not an int64";
const NOT_FLOAT64: Complaint = "is not a float64";
const NOT_BOOLEAN: Complaint = "is not a boolean";
pub(crate) const NOT_TIMESTAMP: Complaint = "is not a timestamp";
const OUTSIDE_INT64: Complaint = "lies outside int64";
const NOT_WHOLE: Complaint = "is not an int64: it has a fraction";
const NOT_EXACT: Complaint = "is not surely an int64: from 2^53 on a float stands for several whole numbers";
const OUTSIDE_FLOAT64: Complaint = "lies outside float64";
pub(crate) const LEAP_SECOND: Complaint = "is not a timestamp: days have no second 60 here";
pub(crate) const OUTSIDE_CALENDAR: Complaint = "lies outside the years -9999 to 9999";

/// The null tokens of a signature: texts, and the numbers that they stand for.
#[derive(Clone, Debug, Default)]
pub(crate) struct NullTokens {
    texts: Vec<String>,
    numbers: Vec<f64>,
    /// Bit `n` is set if a token has `n` bytes (bit 63: 63 or more). This decides most cells.
    lengths: u64,
}

impl NullTokens {
    pub(crate) fn new(texts: &[String]) -> Self {
        let lengths = texts.iter().fold(0, |bits, text| bits | length_bit(text));
        let numbers = texts.iter().filter_map(|text| parse_float64(text).ok()).collect();
        Self { texts: texts.to_vec(), numbers, lengths }
    }

    /// Returns whether a cell is a null token, whatever the type of its column.
    #[inline]
    pub(crate) fn matches(&self, cell: Cell<'_>) -> bool {
        match cell {
            Cell::Null => true,
            Cell::Text(text) => self.matches_text(text),
            Cell::Integer(number) => self.matches_integer(number),
            Cell::Float(number) => self.matches_float(number),
            Cell::Decimal(text) => parse_float64(text).is_ok_and(|number| self.matches_float(number)),
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
            Self::Text(text) | Self::Decimal(text) => parse_int64(text),
            Self::Float(number) => whole(number),
            Self::Null | Self::Boolean(_) | Self::Timestamp(_) => Err(NOT_INT64),
        }
    }

    #[inline]
    pub(crate) fn to_float64(self) -> Result<f64, Complaint> {
        match self {
            Self::Float(number) => Ok(canonical(number)),
            Self::Text(text) | Self::Decimal(text) => parse_float64(text),
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
            Self::Null | Self::Integer(_) | Self::Float(_) | Self::Decimal(_) | Self::Boolean(_) => Err(NOT_TIMESTAMP),
        }
    }

    /// Calls `take` with the text form: the value in a utf8 or categorical column, and in errors.
    #[inline]
    pub(crate) fn with_text<T>(self, take: impl FnOnce(&str) -> T) -> T {
        match self {
            Self::Text(text) => take(text),
            Self::Null => take(""),
            Self::Integer(number) => take(&number.to_string()),
            Self::Float(number) => take(&float_text(number)),
            Self::Decimal(text) => match parse_float64(text) {
                Ok(number) if text.bytes().filter(u8::is_ascii_digit).count() <= EXACT_DIGITS => {
                    take(&float_text(number))
                }
                _ => take(text),
            },
            Self::Boolean(value) => take(if value { "true" } else { "false" }),
            Self::Timestamp(microseconds) => take(&timestamp_text(microseconds)),
        }
    }
}

/// Returns the shortest text that parses to this double; integers keep `.0`.
pub(crate) fn float_text(number: f64) -> String {
    format!("{number:?}")
}

/// Returns a timestamp in RFC 3339, UTC: `2024-01-06T23:10:00Z`; the bare count outside the years
/// -9999 to 9999.
pub(crate) fn timestamp_text(microseconds: i64) -> String {
    match EPOCH.checked_add(SignedDuration::from_micros(microseconds)) {
        Ok(time) => format!("{time}Z"),
        Err(_) => microseconds.to_string(),
    }
}

/// Replaces every NaN by the same one, so that its payload cannot change a digest.
#[inline]
pub(crate) fn canonical(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number }
}

fn whole(number: f64) -> Result<i64, Complaint> {
    if !number.is_finite() {
        Err(NOT_INT64)
    } else if number.fract() != 0.0 {
        Err(NOT_WHOLE)
    } else if number.abs() >= EXACT_INTEGER {
        Err(NOT_EXACT)
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        Ok(number as i64)
    }
}

/// Parses digits with an optional sign, and exact integers as other programs write them: `3.0`,
/// `1e3`.
#[inline]
pub(crate) fn parse_int64(text: &str) -> Result<i64, Complaint> {
    let trimmed = text.trim_ascii();
    trimmed.parse().or_else(|_| parse_decimal(trimmed))
}

/// Parses an integer in decimal or exponent notation from its digits. A double on the way would
/// round it.
#[cold]
fn parse_decimal(text: &str) -> Result<i64, Complaint> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).map_or((text, None), |(left, right)| (left, Some(right)));
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole_part, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let are_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    if whole_part.len() + fraction.len() == 0 || !are_digits(whole_part) || !are_digits(fraction) {
        return Err(NOT_INT64);
    }
    let digits = format!("{whole_part}{fraction}");
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    let exponent = exponent.map_or(Ok(0), exponent_of)?;
    if significant.is_empty() {
        return Ok(0);
    }
    // The number is `significant`, followed by this many zeros.
    let trailing = digits.len() - digits.trim_end_matches('0').len();
    let length = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let zeros = exponent.saturating_sub(length(fraction.len())).saturating_add(length(trailing));
    let zeros = usize::try_from(zeros).map_err(|_| NOT_WHOLE)?;
    if significant.len().saturating_add(zeros) > MAX_INTEGER_DIGITS {
        return Err(OUTSIDE_INT64);
    }
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    format!("{sign}{significant}{}", "0".repeat(zeros)).parse().map_err(|_| OUTSIDE_INT64)
}

/// Parses the number behind an `e`. Very large ones are clamped.
fn exponent_of(text: &str) -> Result<i64, Complaint> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NOT_INT64);
    }
    Ok(text.parse().unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX }))
}

/// Parses decimal or exponent notation, correctly rounded, and `inf`, `infinity` and `nan` in any
/// case and with any sign. Digits beyond the range of a double are an error, not an infinity.
#[inline]
pub(crate) fn parse_float64(text: &str) -> Result<f64, Complaint> {
    let number: f64 = text.trim_ascii().parse().map_err(|_| NOT_FLOAT64)?;
    if number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(OUTSIDE_FLOAT64);
    }
    Ok(canonical(number))
}

/// Parses `true`, `yes`, `t`, `y`, `1` and their opposites, in any case.
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

/// Parses RFC 3339, `YYYY-MM-DD` and `YYYY-MM-DD HH:MM[:SS[.f]]`. Without an offset the time is in
/// UTC. Digits beyond the microsecond are dropped, toward the past.
pub(crate) fn parse_timestamp(text: &str) -> Result<i64, Complaint> {
    let text = text.trim_ascii();
    // The parser accepts more notations (week dates, `20240106`, zone names). Those that could be
    // mistaken for numbers are refused.
    if text.len() < 10 || text.as_bytes()[4] != b'-' || text.as_bytes()[7] != b'-' || text.ends_with(']') {
        return Err(NOT_TIMESTAMP);
    }
    // The parser would turn a leap second into the second before.
    if text.get(16..19) == Some(":60") {
        return Err(LEAP_SECOND);
    }
    let pieces = Pieces::parse(text).map_err(|_| NOT_TIMESTAMP)?;
    let time = match pieces.time() {
        Some(time) => time,
        None if text.len() == 10 => civil::Time::midnight(),
        None => return Err(NOT_TIMESTAMP),
    };
    // Computed on the calendar: the last instant of jiff is a day before the end of the year 9999.
    let local = pieces.date().to_datetime(time).duration_since(EPOCH).as_nanos();
    let offset = pieces.to_numeric_offset().map_or(0, |offset| i128::from(offset.seconds()));
    let microseconds = (local - offset * 1_000_000_000).div_euclid(1000);
    i64::try_from(microseconds).ok().filter(|it| in_calendar(*it)).ok_or(OUTSIDE_CALENDAR)
}

/// Returns whether a timestamp has a text form, so that every kind of source can hold it.
pub(crate) fn in_calendar(microseconds: i64) -> bool {
    (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&microseconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_int64_may_be_written_with_sign_spaces_or_a_zero_fraction() {
        for (text, expected) in [
            ("7", 7),
            ("+7", 7),
            ("-7", -7),
            (" 7 ", 7),
            ("3.0", 3),
            ("-3.000", -3),
            ("3.", 3),
            ("1e3", 1000),
            ("1.5E+1", 15),
            ("1500e-2", 15),
            ("0e99999999999999999999", 0),
            ("-0.0", 0),
            ("1e17", 100_000_000_000_000_000),
            ("9.007199254740993e15", 9_007_199_254_740_993),
            ("9223372036854775807.0", i64::MAX),
            ("-9.223372036854775808e18", i64::MIN),
        ] {
            assert_eq!(parse_int64(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_int64_is_never_rounded_or_wrapped() {
        assert_eq!(parse_int64("3.5"), Err(NOT_WHOLE));
        assert_eq!(parse_int64("9223372036854775808"), Err(OUTSIDE_INT64));
        for text in ["2.9999999999999999999", "1e-1", "15e-2", "1e-99999999999999999999", "-0.1"] {
            assert_eq!(parse_int64(text), Err(NOT_WHOLE), "{text}");
        }
        for text in ["9.223372036854775808e18", "1e19", "-9223372036854775809.0", "1e99999999999999999999"] {
            assert_eq!(parse_int64(text), Err(OUTSIDE_INT64), "{text}");
        }
        assert_eq!(Cell::Float(9.1e15).to_int64(), Err(NOT_EXACT));
        assert_eq!(Cell::Float(9_007_199_254_740_992.0).to_int64(), Err(NOT_EXACT), "2^53 + 1 is this double too");
        assert_eq!(Cell::Float(9_007_199_254_740_991.0).to_int64(), Ok(9_007_199_254_740_991));
        for text in
            ["", "abc", "1,000", "1_000", "0x10", "nan", "inf", ".", "-", "1.0.0", "--1.0", "e3", "1e", "1e+", "1e1.0"]
        {
            assert_eq!(parse_int64(text), Err(NOT_INT64), "{text}");
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
    fn a_number_beyond_the_range_of_a_double_is_an_error() {
        for text in ["1e309", "-1e309", "1.8e308"] {
            assert_eq!(parse_float64(text), Err(OUTSIDE_FLOAT64), "{text}");
            assert_eq!(Cell::Decimal(text).to_float64(), Err(OUTSIDE_FLOAT64), "{text}");
        }
        assert_eq!(parse_float64("1.7976931348623157e308"), Ok(f64::MAX));
        assert_eq!(parse_float64("1e-400"), Ok(0.0), "the nearest double");
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
            "2024-01-06Z",
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

    #[test]
    fn every_day_of_four_digit_years_is_a_timestamp() {
        assert_eq!(parse_timestamp("9999-12-31"), Ok(253_402_214_400_000_000));
        assert_eq!(parse_timestamp("9999-12-31T23:59:59.999999999Z"), Ok(MAX_TIMESTAMP));
        assert_eq!(parse_timestamp("9999-12-31T22:00:00-05:00"), Err(OUTSIDE_CALENDAR));
        assert_eq!(parse_timestamp("0001-01-01 00:00"), Ok(-62_135_596_800_000_000));
        assert_eq!(timestamp_text(MAX_TIMESTAMP), "9999-12-31T23:59:59.999999Z");
        assert_eq!(timestamp_text(MIN_TIMESTAMP), "-009999-01-01T00:00:00Z");
        assert_eq!(timestamp_text(MAX_TIMESTAMP + 1), "253402300800000000");
        assert_eq!(timestamp_text(MIN_TIMESTAMP - 1), "-377705116800000001");
        assert_eq!(parse_timestamp("2016-12-31T23:59:60Z"), Err(LEAP_SECOND));
    }

    proptest! {
        // invariant: A whole number decodes exactly in every notation.
        #[test]
        fn a_whole_number_is_read_exactly_however_it_is_written(number: i64, point in 0_usize..19, zeros in 0_usize..4) {
            let digits = number.unsigned_abs().to_string();
            let point = point.min(digits.len());
            let (before, after) = digits.split_at(digits.len() - point);
            let sign = if number < 0 { "-" } else { "" };
            let text = format!("{sign}{before}.{after}{}e{point}", "0".repeat(zeros));
            prop_assert_eq!(parse_int64(&text), Ok(number), "{}", text);
            prop_assert_eq!(Cell::Decimal(&text).to_int64(), Ok(number));
            let text = format!("{sign}{before}.{after}{}1e{point}", "0".repeat(zeros));
            prop_assert!(parse_int64(&text).is_err(), "{}", text);
        }

        #[test]
        fn a_timestamp_reads_back_from_its_text(microseconds in MIN_TIMESTAMP..=MAX_TIMESTAMP) {
            let text = timestamp_text(microseconds);
            if let Ok(time) = jiff::Timestamp::from_microsecond(microseconds) {
                prop_assert_eq!(time.to_string(), text.as_str());
            }
            if microseconds >= -62_167_219_200_000_000 {
                prop_assert_eq!(parse_timestamp(&text), Ok(microseconds), "{}", text);
            }
        }
    }
}
