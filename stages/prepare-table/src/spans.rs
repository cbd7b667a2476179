//! Spans of time, such as `30d`.

use polars::prelude::Duration;
use stagewright_kit::Failure;

/// Parses a span that is always as long: weeks, days, hours, minutes or seconds, such as `7d` or
/// `1h30m`. A day has 24 hours.
///
/// # Errors
/// `parameter` if it is none, is 0 or passes 1,000 years.
pub(crate) fn parse(text: &str, parameter: &str) -> Result<Duration, Failure> {
    let wrong = || {
        let message = format!("`{text}` is no span of time, such as `30d`, `12h` or `90m`");
        Failure::parameter(parameter, message)
    };
    let mut seconds: i64 = 0;
    let mut number: Option<i64> = None;
    for sign in text.chars() {
        let unit = match sign {
            '0'..='9' => {
                let digit = i64::from(sign as u32 - '0' as u32);
                let longer = number.unwrap_or(0).checked_mul(10).and_then(|number| number.checked_add(digit));
                number = Some(longer.ok_or_else(wrong)?);
                continue;
            }
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            's' => 1,
            _ => return Err(wrong()),
        };
        let part = number.take().ok_or_else(wrong)?.checked_mul(unit).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).ok_or_else(wrong)?;
    }
    if number.is_some() || !(1..=31_536_000_000).contains(&seconds) {
        return Err(wrong());
    }
    // In seconds, since days of polars follow a calendar.
    Duration::try_parse(&format!("{seconds}s")).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_numbers_with_units() {
        let seconds = |text: &str| parse(text, "length").map(|span| span.duration_us() / 1_000_000).ok();
        assert_eq!(seconds("30d"), Some(2_592_000));
        assert_eq!(seconds("1w2d"), Some(777_600));
        assert_eq!(seconds("1h30m5s"), Some(5_405));
        for wrong in ["", "30", "d", "1.5d", "-1d", "0d", "1mo", "1y", "1 d", "99999999999999999999d", "999999999w"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
