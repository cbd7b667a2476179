//! Numbers, times and sizes for people.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::{Serialize, Serializer};

/// A number, which JSON has as a number, or as `NaN`, `Infinity` or `-Infinity` in a text.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            number if number.is_nan() => serializer.serialize_str("NaN"),
            number if number > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

/// Returns a number with five digits, which is as much as a reader compares.
pub(crate) fn number(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "∞" } else { "−∞" }.to_owned();
    }
    let size = number.abs();
    let text = if number.fract() == 0.0 && size < 1e15 {
        return minus(format!("{number:.0}"));
    } else if !(1e-4..1e9).contains(&size) {
        let text = format!("{number:.4e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        format!("{}e{exponent}", trimmed(digits))
    } else {
        // Five digits after the first that is not zero.
        let before = size.log10().floor() as i32;
        let after = usize::try_from(4 - before).unwrap_or(0);
        let text = format!("{number:.after$}");
        trimmed(&text).to_owned()
    };
    minus(text)
}

/// Returns a difference, with its sign.
pub(crate) fn difference(difference: f64) -> String {
    let text = number(difference);
    if difference > 0.0 { format!("+{text}") } else { text }
}

fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

/// Returns the text with a minus as wide as a digit.
fn minus(text: String) -> String {
    if text == "-0" { "0".to_owned() } else { text.replace('-', "−") }
}

/// Returns a cell's content: a number with all its digits beside the short form.
pub(crate) fn number_cell(value: f64) -> Markup {
    html! { data value=(value) title=(value) { (number(value)) } }
}

/// Returns a number of bytes.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, 0);
    while size >= 999.5 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1024.0, unit + 1);
    }
    let digits = if size < 9.95 { 1 } else { 0 };
    format!("{size:.digits$} {}", UNITS[unit])
}

/// Returns a whole number with thin spaces between its thousands.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 2);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with its noun: `1 run`, `2 runs`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Returns a duration of milliseconds.
pub(crate) fn duration(milliseconds: f64) -> String {
    let seconds = milliseconds / 1000.0;
    match milliseconds {
        ms if !ms.is_finite() || ms < 0.0 => "–".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        _ if seconds < 59.95 => format!("{} s", trimmed(&format!("{seconds:.1}"))),
        _ => {
            let seconds = seconds.round() as u64;
            let (whole, unit, part, of_part) = match seconds {
                0..3_600 => (seconds / 60, "min", seconds % 60, "s"),
                3_600..86_400 => (seconds / 3_600, "h", seconds / 60 % 60, "min"),
                _ => (seconds / 86_400, "d", seconds / 3_600 % 24, "h"),
            };
            if part == 0 { format!("{whole} {unit}") } else { format!("{whole} {unit} {part:02} {of_part}") }
        }
    }
}

/// Returns a time in milliseconds since the epoch as `2026-11-29 15:24` in UTC, which the page's
/// script shows in the reader's time zone. A time that no calendar has is shown as a number.
pub(crate) fn time(milliseconds: i64) -> Markup {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(time) => html! { time datetime=(time) { (time.strftime("%Y-%m-%d %H:%M")) " UTC" } },
        Err(_) => html! { (milliseconds) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_a_reader_compares() {
        for (value, shown) in [
            (0.0, "0"),
            (-0.0, "0"),
            (3.0, "3"),
            (-12.0, "−12"),
            (0.843_211_9, "0.84321"),
            (0.1 + 0.2, "0.3"),
            (123.456_789, "123.46"),
            (0.001_234_567, "0.0012346"),
            (0.000_012_345, "1.2345e−5"),
            (-1.5e12 + 0.5, "−1.5e12"),
            (1e300, "1e300"),
            (9.999_999, "10"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "−∞"),
        ] {
            assert_eq!(number(value), shown, "{value}");
        }
        assert_eq!(difference(0.25), "+0.25");
        assert_eq!(difference(-0.25), "−0.25");
        let json = |value| serde_json::to_string(&Number(value)).expect("JSON");
        assert_eq!([json(0.1), json(f64::NAN), json(f64::INFINITY)], ["0.1", "\"NaN\"", "\"Infinity\""]);
    }

    #[test]
    fn sizes_counts_durations_and_times_have_their_units() {
        assert_eq!([bytes(0), bytes(1023), bytes(1536), bytes(10 << 20)], ["0 B", "1023 B", "1.5 KiB", "10 MiB"]);
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!([count(7), count(1_234), count(1_234_567)], ["7", "1\u{2009}234", "1\u{2009}234\u{2009}567"]);
        assert_eq!([counted(1, "run"), counted(0, "run")], ["1 run", "0 runs"]);
        let shown: Vec<String> = [0.4, 12.0, 1_500.0, 10_000.0, 61_000.0, 900_000.0, 3_700_000.0, 90_000_000.0]
            .map(duration)
            .into_iter()
            .collect();
        assert_eq!(shown, ["0.4 ms", "12 ms", "1.5 s", "10 s", "1 min 01 s", "15 min", "1 h 01 min", "1 d 01 h"]);
        let shown = time(1_764_429_845_000).into_string();
        assert_eq!(shown, "<time datetime=\"2025-11-29T15:24:05Z\">2025-11-29 15:24 UTC</time>");
        assert_eq!(time(i64::MAX).into_string(), i64::MAX.to_string());
    }
}
