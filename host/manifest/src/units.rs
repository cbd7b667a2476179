//! Sizes and durations with units: `512 MiB`, `30 s`.
//!
//! The syntax is strict, so that no limit is misread: one whole number and one unit. `MB` is
//! refused because it means 1000² to some readers and 1024² to others. So is a number without a
//! unit. The crates for this (bytesize, humantime) accept both, and months.

use std::time::Duration;

/// Units of sizes, from the largest.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units of durations in milliseconds, from the largest.
const DURATIONS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];

/// Units of spans of time in milliseconds, from the largest.
const SPANS: [(&str, u64); 4] = [("days", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];

/// The reason for which a text is no quantity, and a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitError {
    pub(crate) hint: String,
}

/// Parses a size in bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZES, "`512 MiB`", |number, unit| {
        let binary = match unit.to_ascii_lowercase().as_str() {
            "k" | "kb" | "kib" => "KiB",
            "m" | "mb" | "mib" => "MiB",
            "g" | "gb" | "gib" => "GiB",
            "t" | "tb" | "tib" => "TiB",
            "b" | "byte" | "bytes" | "" => "B",
            _ => return None,
        };
        Some(format!("{number} {binary}"))
    })
}

/// Parses a size in bytes, as in a manifest: `512 MiB`.
///
/// # Errors
/// A hint on what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text).map_err(|error| error.hint)
}

/// Parses a duration.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATIONS, "`30 s`", |number, unit| {
        let unit = match unit.to_ascii_lowercase().as_str() {
            "m" | "mins" | "minute" | "minutes" => "min",
            "sec" | "secs" | "second" | "seconds" | "" => "s",
            "hr" | "hour" | "hours" => "h",
            "msec" | "millisecond" | "milliseconds" => "ms",
            _ => return None,
        };
        Some(format!("{number} {unit}"))
    })
    .map(Duration::from_millis)
}

/// Parses a span of time between rows, which may be years. A month and a year have no fixed length.
pub(crate) fn parse_span(text: &str) -> Result<Duration, UnitError> {
    parse(text, &SPANS, "`730 days`", |number, unit| {
        let unit = match unit.to_ascii_lowercase().as_str() {
            "d" | "day" => "days",
            "m" | "mins" | "minute" | "minutes" => "min",
            "sec" | "secs" | "second" | "seconds" | "" => "s",
            "hr" | "hour" | "hours" => "h",
            _ => return None,
        };
        Some(format!("{number} {unit}"))
    })
    .map(Duration::from_millis)
}

/// Returns a span of time in the largest unit that keeps it whole, to the second.
pub(crate) fn span_text(span: Duration) -> String {
    text(u64::try_from(span.as_millis()).unwrap_or(u64::MAX), &SPANS)
}

/// Returns a size in the largest unit that keeps it whole.
pub(crate) fn bytes_text(bytes: u64) -> String {
    text(bytes, &SIZES)
}

/// Returns a duration in the largest unit that keeps it whole, to the millisecond.
pub(crate) fn duration_text(duration: Duration) -> String {
    text(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS)
}

fn parse(
    text: &str,
    units: &[(&str, u64)],
    example: &str,
    meant: impl Fn(&str, &str) -> Option<String>,
) -> Result<u64, UnitError> {
    let text = text.trim();
    let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = (&text[..split], text[split..].trim());
    let names = units.iter().rev().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let format = || UnitError { hint: format!("write a whole number and a unit ({names}), such as {example}") };
    if number.is_empty() {
        return Err(format());
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let hint = meant(number, unit)
            .map(|meant| UnitError { hint: format!("did you mean `{meant}`? the units are {names}") });
        return Err(hint.unwrap_or_else(format));
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| UnitError { hint: "the number is too large".to_owned() })
}

fn text(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |(_, factor): &&(&str, u64)| amount != 0 && amount.is_multiple_of(*factor);
    let (name, factor) = units.iter().find(fits).or(units.last()).copied().unwrap_or(("", 1));
    format!("{} {name}", amount / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_binary_and_exact() {
        assert_eq!(parse_bytes("512 MiB"), Ok(512 << 20));
        assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
        assert_eq!(parse_bytes("7 B"), Ok(7));
    }

    #[test]
    fn a_decimal_unit_is_refused_with_the_binary_one_named() {
        assert!(parse_bytes("512 MB").unwrap_err().hint.contains("`512 MiB`"));
        assert!(parse_bytes("512").unwrap_err().hint.contains("`512 B`"));
        assert!(parse_bytes("1.5 GiB").unwrap_err().hint.contains("whole number"));
        assert!(parse_bytes("-1 GiB").is_err());
        assert!(parse_bytes("99999999999 TiB").unwrap_err().hint.contains("too large"));
    }

    #[test]
    fn durations_have_one_unit() {
        assert_eq!(parse_duration("30 s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("5min"), Ok(Duration::from_secs(300)));
        assert_eq!(parse_duration("250 ms"), Ok(Duration::from_millis(250)));
        assert!(parse_duration("5 m").unwrap_err().hint.contains("`5 min`"));
        assert!(parse_duration("soon").is_err());
    }

    #[test]
    fn spans_are_days_and_less() {
        assert_eq!(parse_span("730 days"), Ok(Duration::from_secs(730 * 86_400)));
        assert_eq!(parse_span("36 h"), Ok(Duration::from_secs(36 * 3600)));
        assert_eq!(span_text(Duration::from_secs(730 * 86_400)), "730 days");
        assert_eq!(span_text(Duration::from_secs(90)), "90 s");
        assert!(parse_span("1 day").unwrap_err().hint.contains("`1 days`"));
        assert!(parse_span("2 years").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(amount in 0..u64::MAX / 2) {
            prop_assert_eq!(parse_bytes(&bytes_text(amount)), Ok(amount));
            let duration = Duration::from_millis(amount);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in ".*") {
            let _ = (parse_bytes(&text), parse_duration(&text));
        }
    }
}
