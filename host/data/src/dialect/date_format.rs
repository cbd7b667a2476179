//! Formats of dates, as `strftime` has them.

use jiff::civil::{self, DateTime, Time};
use jiff::fmt::strtime;

use crate::cell::{Complaint, LEAP_SECOND, NOT_TIMESTAMP, OUTSIDE_CALENDAR, in_calendar};
use crate::error::shown;

/// The time that timestamps are counted from.
const EPOCH: DateTime = civil::date(1970, 1, 1).at(0, 0, 0, 0);
/// A time of which no two parts are equal.
const SAMPLE: DateTime = civil::date(2001, 12, 31).at(23, 58, 57, 0);

/// Returns the microseconds since 1970 of a time in a format; `None` if it is not in it. Without an
/// offset the time is in UTC, and without a time of day it is midnight.
pub(super) fn microseconds(format: &str, text: &str) -> Option<Result<i64, Complaint>> {
    let parsed = strtime::parse(format, text).ok()?;
    // The second before would be another time.
    if parsed.second() == Some(60) || text.contains(":60") {
        return Some(Err(LEAP_SECOND));
    }
    let time = if parsed.hour().is_some() { parsed.to_time() } else { Ok(Time::midnight()) };
    let (Ok(date), Ok(time)) = (parsed.to_date(), time) else { return Some(Err(NOT_TIMESTAMP)) };
    let local = date.to_datetime(time).duration_since(EPOCH).as_nanos();
    let offset = parsed.offset().map_or(0, |offset| i128::from(offset.seconds()));
    let microseconds = (local - offset * 1_000_000_000).div_euclid(1000);
    Some(i64::try_from(microseconds).ok().filter(|it| in_calendar(*it)).ok_or(OUTSIDE_CALENDAR))
}

/// Checks that a format tells a day.
///
/// # Errors
/// The reason for which it does not.
pub(super) fn check(format: &str) -> Result<(), String> {
    let named = shown(format);
    let moment = SAMPLE.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
    let written = strtime::format(format, &moment).map_err(|error| format!("`{named}` is not a format: {error}"))?;
    let day = strtime::parse(format, &written).ok().and_then(|parsed| parsed.to_date().ok());
    match day == Some(SAMPLE.date()) {
        true => Ok(()),
        false => Err(format!("`{named}` does not tell a day: it needs year, month and day, as `%d.%m.%Y` has them")),
    }
}
