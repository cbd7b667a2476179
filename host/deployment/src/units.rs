//! Durations and rates in plans: `10 min`, `1 %`.
//!
//! A plan is stored and answered as JSON. Durations are texts there, and rates numbers from 0 to 1;
//! a rate may also be typed with a percent sign.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units of durations in milliseconds, from the largest.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// A share of a whole, from 0 to 1: a number, or a text with a percent sign (`"1 %"`).
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Rate(f64);

impl Rate {
    /// Creates a rate.
    ///
    /// # Errors
    /// A problem, if it is not from 0 to 1.
    pub fn new(rate: f64) -> Result<Self, String> {
        let is_rate = (0.0..=1.0).contains(&rate);
        if is_rate { Ok(Self(rate)) } else { Err(format!("{rate} is not from 0 to 1, or from 0 % to 100 %")) }
    }

    /// Parses `0.01` or `1 %`.
    ///
    /// # Errors
    /// A problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<f64>().map_err(|_| format!("`{}` is no rate", shown(text)));
        match text.trim().strip_suffix('%') {
            Some(percent) => Self::new(number(percent)? / 100.0),
            None => Self::new(number(text)?),
        }
    }

    /// Returns the number, from 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected a number from 0 to 1, or a text such as \"1 %\"")]
        enum Typed {
            Number(f64),
            Text(String),
        }
        let rate = match Typed::deserialize(deserializer)? {
            Typed::Number(number) => Self::new(number),
            Typed::Text(text) => Self::parse(&text),
        };
        rate.map_err(serde::de::Error::custom)
    }
}

/// A duration as a text: one whole number and one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// Parses `10 min`. The units are ms, s, min (or m), h and d.
    ///
    /// # Errors
    /// A problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let unit = match text[split..].trim() {
            "m" => "min",
            unit => unit,
        };
        let factor = DURATIONS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
        let parsed = text[..split].parse::<u64>().ok().zip(factor);
        let milliseconds = parsed.and_then(|(number, factor)| number.checked_mul(factor));
        milliseconds.map(|it| Self(Duration::from_millis(it))).ok_or_else(|| {
            format!("`{}` is no duration: write a whole number and a unit (ms, s, min, h, d)", shown(text))
        })
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let amount = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let fits = |(_, factor): &&(&str, u64)| amount != 0 && amount.is_multiple_of(*factor);
        let (name, factor) = DURATIONS.iter().find(fits).copied().unwrap_or(("ms", 1));
        f.pad(&format!("{} {name}", amount / factor))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Returns a rate for people: `12.5 %`, with up to four significant decimals.
pub fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    let decimals = if percent.abs() < 0.1 { 1e4 } else { 1e2 };
    format!("{} %", (percent * decimals).round() / decimals)
}

fn shown(text: &str) -> String {
    stagewright_text::Untrusted::new(text).cut(60).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_or_percents() {
        assert_eq!(Rate::parse("1%").map(Rate::get), Ok(0.01));
        assert_eq!(Rate::parse("0.5 %").map(Rate::get), Ok(0.005));
        assert_eq!(Rate::parse("0.25").map(Rate::get), Ok(0.25));
        for wrong in ["", "1.5", "101 %", "-1 %", "NaN", "one"] {
            assert!(Rate::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Rate>("\"5 %\"").ok(), Some(Rate(0.05)));
        assert_eq!(serde_json::from_str::<Rate>("1").ok(), Some(Rate(1.0)));
        let wrong = serde_json::from_str::<Rate>("5").unwrap_err().to_string();
        assert!(wrong.contains("5 is not from 0 to 1"), "{wrong}");
        let wrong = serde_json::from_str::<Rate>("[]").unwrap_err().to_string();
        assert!(wrong.contains("expected a number"), "{wrong}");
    }

    #[test]
    fn durations_have_one_unit_and_come_back_as_they_went() {
        for (text, milliseconds) in [
            ("50ms", 50),
            ("10 s", 10_000),
            ("10m", 600_000),
            ("90 min", 5_400_000),
            ("2 h", 7_200_000),
            ("14d", 14 * 86_400_000),
        ] {
            let span = Span::parse(text).unwrap();
            assert_eq!(span.0.as_millis(), milliseconds, "{text}");
            assert_eq!(Span::parse(&span.to_string()), Ok(span), "{text}");
        }
        assert_eq!(Span(Duration::ZERO).to_string(), "0 ms");
        for wrong in ["", "5", "min", "1.5 h", "-1 s", "1 h 30 min", "99999999999999999999 d"] {
            assert!(Span::parse(wrong).unwrap_err().contains("whole number"), "{wrong}");
        }
    }

    #[test]
    fn small_rates_keep_their_digits() {
        assert_eq!(percent(0.125), "12.5 %");
        assert_eq!(percent(0.07), "7 %");
        assert_eq!(percent(0.000123), "0.0123 %");
        assert_eq!(percent(0.0), "0 %");
    }
}
