//! Durations such as `36 h`, and times for people.

use stagewright_kit::Failure;

/// Units in microseconds.
const UNITS: [(&str, i64); 6] =
    [("s", 1_000_000), ("min", 60_000_000), ("h", 3_600_000_000), ("d", DAY), ("day", DAY), ("days", DAY)];

/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;

/// Parses a duration to microseconds.
///
/// # Errors
/// `parameter`, of this name, if the text is none.
pub(crate) fn parse(text: &str, parameter: &str) -> Result<i64, Failure> {
    let trimmed = text.trim();
    let split = trimmed.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(split);
    let factor = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor);
    let amount = number.parse::<i64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    amount.ok_or_else(|| {
        let message = format!("`{text}` is no duration: write a whole number and s, min, h or days, such as `36 h`");
        Failure::parameter(parameter, message)
    })
}

/// Formats a duration in its largest unit, with one decimal.
pub(crate) fn spoken(microseconds: i128) -> String {
    let size = microseconds.unsigned_abs() as f64;
    let units = [("days", DAY), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000)];
    let (name, factor) = units.into_iter().find(|(_, factor)| size >= *factor as f64).unwrap_or(("s", 1_000_000));
    format!("{:.1} {name}", size / factor as f64)
}

/// Formats a time as in ISO 8601, to the second. The calendar is that of Howard Hinnant's
/// `civil_from_days`.
pub(crate) fn moment(microseconds: i64) -> String {
    let (days, rest) = (microseconds.div_euclid(DAY), microseconds.rem_euclid(DAY) / 1_000_000);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_whole_number_and_one_unit() {
        for (text, microseconds) in [("36 h", 36 * 3_600_000_000), ("1day", DAY), ("0 s", 0), ("5 min", 300_000_000)] {
            assert_eq!(parse(text, "p").unwrap(), microseconds, "{text}");
        }
        for text in ["", "h", "1.5 h", "-1 h", "1 week", "9999999999999 days"] {
            assert!(matches!(parse(text, "p"), Err(Failure::Parameter(_))), "{text}");
        }
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (microseconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_827_696_000_000, "2000-02-29T12:34:56Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59Z"),
        ] {
            assert_eq!(moment(microseconds), text);
        }
        moment(i64::MIN);
        moment(i64::MAX);
        assert_eq!((spoken(90_000_000), spoken(-i128::from(DAY))), ("1.5 min".to_owned(), "1.0 days".to_owned()));
    }
}
