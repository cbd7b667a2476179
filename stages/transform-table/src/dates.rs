//! Parts of timestamps in the calendar, in UTC.
//!
//! A timestamp itself says little about later ones: a model would have to extrapolate. Its parts
//! recur.

use stagewright_kit::{ColumnView, Failure, ValuesView};

use crate::parameters::DatePart;

const DAY: i64 = 86_400_000_000;
const HOUR: i64 = 3_600_000_000;

/// Writes a part of each timestamp of a column, with NaN for null.
///
/// # Errors
/// `internal` if the column does not hold timestamps.
pub(crate) fn write_parts(column: &ColumnView<'_>, part: DatePart, parts: &mut [f64]) -> Result<(), Failure> {
    let ValuesView::Timestamp(moments) = column.values else {
        return Err(Failure::internal("a part of a date is wanted of a column without timestamps"));
    };
    for (row, (place, &moment)) in parts.iter_mut().zip(moments).enumerate() {
        *place = if column.is_null(row) { f64::NAN } else { part_of(moment, part) };
    }
    Ok(())
}

/// Returns a part of a timestamp in microseconds since 1970.
fn part_of(moment: i64, part: DatePart) -> f64 {
    let days = moment.div_euclid(DAY);
    let (year, month, day) = calendar(days);
    let value = match part {
        DatePart::Year => year,
        DatePart::Month => month,
        DatePart::Day => day,
        // 1970-01-01 was a Thursday.
        DatePart::Weekday => (days + 3).rem_euclid(7),
        DatePart::Hour => moment.rem_euclid(DAY) / HOUR,
    };
    value as f64
}

/// Returns the year, month and day of the month, in the proleptic Gregorian calendar, of a day
/// counted from 1970-01-01 (Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`).
fn calendar(days: i64) -> (i64, i64, i64) {
    // Years start in March, so that the leap day is the last day. 400 of them have 146,097 days.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use stagewright_kit::Column;

    use super::*;

    fn all(moment: i64) -> [f64; 5] {
        DatePart::ALL.map(|part| part_of(moment, part))
    }

    #[test]
    fn parts_are_those_of_the_calendar() {
        // Year, month, day, weekday from Monday, and hour, as in Python's datetime.
        assert_eq!(all(0), [1970.0, 1.0, 1.0, 3.0, 0.0]);
        assert_eq!(all(-1), [1969.0, 12.0, 31.0, 2.0, 23.0]);
        assert_eq!(all(951_782_400_000_000), [2000.0, 2.0, 29.0, 1.0, 0.0]);
        assert_eq!(all(1_709_251_199_999_999), [2024.0, 2.0, 29.0, 3.0, 23.0]);
        assert_eq!(all(1_709_251_200_000_000), [2024.0, 3.0, 1.0, 4.0, 0.0]);
        assert_eq!(all(253_402_300_799_000_000), [9999.0, 12.0, 31.0, 4.0, 23.0]);
        assert_eq!(all(-62_135_596_800_000_000), [1.0, 1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn the_days_of_four_centuries_follow_one_another() {
        let mut expected = (1999, 12, 31);
        for days in 10_957..10_958 + 146_097 {
            let found = calendar(days);
            let (year, month, day) = expected;
            assert!(
                found == (year, month, day + 1)
                    || (found.2 == 1 && day >= 28 && found.0 * 12 + found.1 == year * 12 + month + 1),
                "{found:?} after {expected:?}"
            );
            expected = found;
        }
        assert_eq!(expected, (2400, 1, 1));
    }

    #[test]
    fn a_null_has_no_part() {
        let column = Column::timestamp(vec![0, 0]).with_validity([true, false]);
        let mut years = [0.0; 2];
        write_parts(&column.view(), DatePart::Year, &mut years).unwrap();
        assert_eq!(years[0], 1970.0);
        assert!(years[1].is_nan());
    }

    #[test]
    fn no_moment_is_out_of_range() {
        for moment in [i64::MIN, i64::MAX] {
            assert!(all(moment).iter().all(|part| part.is_finite()));
        }
    }
}
