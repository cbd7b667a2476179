//! Cells in the style of a dialect: numbers with a decimal comma, dates of other countries, words.
//!
//! A cell is converted by the type of its column, so a text stays as it is. A number is exact or a
//! fault: in a file with a decimal comma, `1.5` is no number, and `1.234` is one only where the
//! point parts thousands.

use super::Dialect;
use super::date_format;
use crate::cell::{Complaint, parse_float64};

/// The reason for which a text is no number.
pub(crate) const NOT_IN_STYLE: Complaint = "is not a number as the source's `decimal` and `thousands` say";

/// The parts of a dialect that say how a value is written.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    decimal: char,
    thousands: Option<char>,
    nulls: Vec<String>,
    dates: Vec<String>,
    trues: Vec<String>,
    falses: Vec<String>,
}

impl Style {
    /// Returns the style of a dialect; `None` if values are written as usual.
    pub(crate) fn of(dialect: &Dialect) -> Option<Self> {
        let style = Self {
            decimal: dialect.decimal.unwrap_or('.'),
            thousands: dialect.thousands,
            nulls: dialect.null_words.clone(),
            dates: dialect.date_formats.clone(),
            trues: dialect.true_words.clone(),
            falses: dialect.false_words.clone(),
        };
        let words = [&style.nulls, &style.dates, &style.trues, &style.falses];
        (style.has_numbers() || words.iter().any(|words| !words.is_empty())).then_some(style)
    }

    /// Returns whether numbers are written in another way than usual.
    pub(crate) fn has_numbers(&self) -> bool {
        self.decimal != '.' || self.thousands.is_some()
    }

    /// Returns whether a cell means null.
    pub(crate) fn is_null(&self, text: &str) -> bool {
        self.nulls.iter().any(|word| word == text)
    }

    /// Returns a number in the usual notation, in `room`; `None` if the text is none.
    pub(crate) fn number<'r>(&self, text: &str, room: &'r mut String) -> Option<&'r str> {
        room.clear();
        let text = text.trim_matches([' ', '\t', '\u{a0}', '\u{202f}']);
        // Words such as `nan` have neither mark.
        if !text.bytes().any(|byte| byte.is_ascii_digit()) {
            parse_float64(text).ok()?;
            room.push_str(text);
            return Some(room);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if text.starts_with('-') {
            room.push('-');
        }
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => unsigned.split_at(at),
            None => (unsigned, ""),
        };
        let (whole, fraction) = match mantissa.split_once(self.decimal) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        self.push_groups(whole, room)?;
        if let Some(fraction) = fraction {
            if !are_digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
                return None;
            }
            room.push('.');
            room.push_str(fraction);
        }
        room.push_str(exponent);
        // Checks the exponent, too. The value is parsed by the type of its column.
        room.parse::<f64>().is_ok().then_some(room)
    }

    /// Appends whole digits without the marks between their groups.
    fn push_groups(&self, whole: &str, room: &mut String) -> Option<()> {
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let Some(mark) = self.thousands.filter(|_| !are_digits(whole)) else {
            return are_digits(whole).then(|| room.push_str(whole));
        };
        // Spreadsheets part by spaces that do not break.
        let is_mark = |letter: char| letter == mark || (mark == ' ' && matches!(letter, '\u{a0}' | '\u{202f}'));
        for (number, group) in whole.split(is_mark).enumerate() {
            let is_fit = if number == 0 { (1..=3).contains(&group.len()) } else { group.len() == 3 };
            if !is_fit || !are_digits(group) {
                return None;
            }
            room.push_str(group);
        }
        Some(())
    }

    /// Returns the value of a word for true or false.
    pub(crate) fn boolean(&self, text: &str) -> Option<bool> {
        let text = text.trim();
        let is_one_of = |words: &[String]| words.iter().any(|word| word.to_lowercase() == text.to_lowercase());
        match () {
            () if is_one_of(&self.trues) => Some(true),
            () if is_one_of(&self.falses) => Some(false),
            () => None,
        }
    }

    /// Returns the microseconds since 1970 of a time in one of the formats; `None` if it is in
    /// none.
    ///
    /// # Errors
    /// It has no place in the calendar.
    pub(crate) fn time(&self, text: &str) -> Result<Option<i64>, Complaint> {
        let text = text.trim_ascii();
        self.dates.iter().find_map(|format| date_format::microseconds(format, text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn style(options: &[(&str, &str)]) -> Style {
        let mut dialect = Dialect::default();
        options.iter().for_each(|(option, text)| dialect.set(option, text).unwrap());
        dialect.check(b';').unwrap();
        Style::of(&dialect).unwrap()
    }

    fn number(style: &Style, text: &str) -> Option<String> {
        style.number(text, &mut String::new()).map(str::to_owned)
    }

    #[test]
    fn a_number_is_exact_or_none() {
        let comma = style(&[("decimal", "comma")]);
        let german = style(&[("decimal", ","), ("thousands", "point")]);
        let english = style(&[("thousands", ",")]);
        let french = style(&[("decimal", ","), ("thousands", "space")]);
        for (style, text, expected) in [
            (&comma, "1,5", Some("1.5")),
            (&comma, " -0,25 ", Some("-0.25")),
            (&comma, "+7", Some("7")),
            (&comma, "1,5e-3", Some("1.5e-3")),
            (&comma, ",5", Some(".5")),
            (&comma, "nan", Some("nan")),
            (&comma, "1.5", None),
            (&comma, "1.234,5", None),
            (&comma, "1,2,3", None),
            (&comma, ",", None),
            (&comma, "", None),
            (&comma, "1,5 EUR", None),
            (&german, "1.234.567,89", Some("1234567.89")),
            (&german, "1234567,89", Some("1234567.89")),
            (&german, "1.234", Some("1234")),
            (&german, "1.5", None),
            (&german, "1.2345", None),
            (&german, "1234.567", None),
            (&german, ".234", None),
            (&english, "1,234.5", Some("1234.5")),
            (&english, "1,5", None),
            (&english, "1.5", Some("1.5")),
            (&french, "1\u{202f}234\u{a0}567,5", Some("1234567.5")),
            (&french, "1 23", None),
        ] {
            assert_eq!(number(style, text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_date_is_read_in_the_formats_that_were_told() {
        let days = style(&[("date-formats", "%d.%m.%Y"), ("date-formats", "%m/%d/%y %H:%M")]);
        assert_eq!(days.time("31.12.2024"), Ok(crate::cell::parse_timestamp("2024-12-31").ok()));
        assert_eq!(days.time("2/1/24 13:05"), Ok(crate::cell::parse_timestamp("2024-02-01 13:05").ok()));
        for text in ["12.31.2024", "31.02.2024", "2024-12-31", "", "31.12.2024 x"] {
            assert!(!matches!(days.time(text), Ok(Some(_))), "{text}");
        }
        for format in ["%Y", "%m.%Y", "%H:%M", "%Q%", "day"] {
            assert!(date_format::check(format).is_err(), "{format}");
        }
    }

    #[test]
    fn words_are_compared_without_regard_to_case() {
        let german = style(&[("true-words", "Ja"), ("false-words", "nein"), ("null-words", "k. A.")]);
        assert_eq!(
            (german.boolean(" ja "), german.boolean("NEIN"), german.boolean("yes")),
            (Some(true), Some(false), None)
        );
        assert!(german.is_null("k. A.") && !german.is_null("K. A."));
    }

    proptest! {
        #[test]
        fn a_number_survives_another_notation(number in any::<i64>(), digits in "[0-9]{0,6}") {
            let german = style(&[("decimal", ","), ("thousands", ".")]);
            let whole = number.unsigned_abs().to_string();
            let groups: Vec<&str> = whole.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
            let sign = if number < 0 { "-" } else { "" };
            let fraction = |mark: &str| if digits.is_empty() { String::new() } else { format!("{mark}{digits}") };
            let written = format!("{sign}{}{}", groups.join("."), fraction(","));
            let expected = format!("{sign}{whole}{}", fraction("."));
            let mut room = String::new();
            prop_assert_eq!(german.number(&written, &mut room), Some(expected.as_str()));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}", more in "[0-9.,eE+\\- ]{0,12}") {
            for style in [style(&[("decimal", ","), ("thousands", " ")]), style(&[("thousands", "'"), ("date-formats", "%d.%m.%Y")])] {
                for text in [&text, &more] {
                    if let Some(number) = number(&style, text) {
                        prop_assert!(number.parse::<f64>().is_ok(), "{text}: {number}");
                    }
                    let _ = style.time(text);
                }
            }
        }
    }
}
