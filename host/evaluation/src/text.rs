//! Makes untrusted text fit to be shown: printable and cut. Escaping for HTML and SVG is maud's
//! task.

use std::fmt::Write as _;

use stagewright_text::is_hidden;

/// Returns `text` with everything that is not plainly visible escaped, cut after `limit`
/// characters.
///
/// Control characters are not allowed in SVG (XML 1.0, section 2.2), and bidirectional overrides
/// make text read differently (Unicode TR 36). Both become `\u{..}`. A line break becomes a space.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    let mut out = String::with_capacity(text.len().min(limit * 4));
    for (seen, character) in text.chars().enumerate() {
        if seen == limit {
            out.push('…');
            break;
        }
        match character {
            '\n' | '\r' | '\t' => out.push(' '),
            hidden if is_hidden(hidden) => {
                // Writing to a `String` cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(hidden));
            }
            visible => out.push(visible),
        }
    }
    out
}

/// Returns a number for people: with as many decimals as four significant digits need, without
/// trailing zeros.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "n/a".to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e15).contains(&magnitude) {
        return format!("{value:.3e}");
    }
    let decimals = match magnitude {
        m if m >= 1000.0 => 2,
        m if m >= 0.01 || m == 0.0 => 4,
        _ => 6,
    };
    trim_zeros(&format!("{value:.decimals$}"))
}

/// Returns a number for a column: with four decimals where they suffice, so that the decimal points
/// line up.
pub(crate) fn aligned(value: f64) -> String {
    if value == 0.0 || (0.001..1_000.0).contains(&value.abs()) {
        return format!("{:.4}", value + 0.0);
    }
    number(value)
}

/// Returns a count with thousands separators: `7,043`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Abbreviates digests and commits in a text: runs of at least 32 hexadecimal digits are cut to
/// their first 12.
pub(crate) fn abbreviated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = rest.find(|character: char| !character.is_ascii_hexdigit()).unwrap_or(rest.len());
        if run >= 32 {
            out.push_str(&rest[..12]);
            out.push('…');
        } else {
            out.push_str(&rest[..run]);
        }
        let other = rest[run..].find(|character: char| character.is_ascii_hexdigit()).unwrap_or(rest.len() - run);
        out.push_str(&rest[run..run + other]);
        rest = &rest[run + other..];
    }
    out
}

/// Removes the zeros at the end of a decimal fraction, and the sign of a zero.
pub(crate) fn trim_zeros(text: &str) -> String {
    let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    if trimmed == "-0" { "0".to_owned() } else { trimmed.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_escapes_invisible_characters_and_cuts_long_text() {
        assert_eq!(printable("a\u{0}b\u{202e}c\nd", 99), "a\\u{0}b\\u{202e}c d");
        assert_eq!(printable("abcdef", 3), "abc…");
        assert_eq!(printable("abc", 3), "abc");
    }

    #[test]
    fn only_digests_are_abbreviated() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(abbreviated(&format!("train sha256:{digest} (7 rows)")), "train sha256:0123456789ab… (7 rows)");
        for text in ["", "decade", "é", "ü0123456789abcdef"] {
            assert_eq!(abbreviated(text), text);
        }
    }

    #[test]
    fn numbers_are_short_but_never_hide_a_small_value() {
        assert_eq!(number(0.84), "0.84");
        assert_eq!(number(0.123_456), "0.1235");
        assert_eq!(number(0.001_234_6), "0.001235");
        assert_eq!(number(2_283.300_44), "2283.3");
        assert_eq!(number(0.000_012_34), "1.234e-5");
        assert_eq!(number(-0.0), "0");
        assert_eq!(number(f64::NAN), "n/a");
        assert_eq!([0.87, -0.0, 0.000_5, 2_283.5].map(aligned), ["0.8700", "0.0000", "0.0005", "2283.5"]);
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(43), "43");
    }
}
