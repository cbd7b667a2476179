//! Parts of timestamps, in a time zone.

use polars::prelude::*;
use stagewright_kit::Failure;

use crate::frame::{Facts, Frame, TIME, col, failed};
use crate::leaks;
use crate::parameters::{TimePart, TimeParts};

/// The time zone of timestamps.
const UTC: &str = "UTC";

/// The years 1 to 9999, in microseconds since 1970.
const YEARS: std::ops::Range<i64> = -62_135_596_800_000_000..253_402_300_800_000_000;

/// Adds parts of a timestamp.
pub(crate) fn time_parts(mut table: Frame, wanted: &TimeParts, at: &str) -> Result<Frame, Failure> {
    if table.type_of(&wanted.column, &format!("{at}.column"))? != TIME {
        return Err(Failure::parameter(format!("{at}.column"), format!("`{}` is no timestamp", wanted.column)));
    }
    let times = table.data.column(&wanted.column).map_err(failed)?.as_materialized_series();
    // A zone's offset stays within what polars can count in, too.
    if times.datetime().map_err(failed)?.physical().iter().flatten().any(|micros| !YEARS.contains(&micros)) {
        return Err(Failure::data("a timestamp is not in the years 1 to 9999").in_column(&wanted.column));
    }
    let zone = TimeZone::opt_try_new(Some(wanted.time_zone.as_str())).map_err(|_| unknown_zone(wanted, at))?;
    let zone = zone.ok_or_else(|| unknown_zone(wanted, at))?;
    let utc = TimeZone::opt_try_new(Some(UTC)).map_err(failed)?;
    let local = col(wanted.column.as_str())
        .dt()
        .replace_time_zone(utc, lit("raise"), NonExistent::Raise)
        .dt()
        .convert_time_zone(zone);
    let facts = Facts { categorical: false, ..table.facts_of(&wanted.column, at)? }.made_in(&table);
    let mut made = Vec::new();
    for part in &wanted.parts {
        let name = format!("{}{}", wanted.prefix, name_of(*part));
        leaks::check(&name, facts, &table, at)?;
        if table.facts.insert(name.clone(), facts).is_some() {
            return Err(Failure::parameter(format!("{at}.prefix"), format!("there is a column `{name}` already")));
        }
        made.push(value_of(*part, local.clone()).alias(name));
    }
    table.data = table.data.lazy().with_columns(made).collect().map_err(failed)?;
    Ok(table)
}

fn unknown_zone(wanted: &TimeParts, at: &str) -> Failure {
    let message = format!("`{}` is no time zone; names are such as `UTC` and `Europe/Berlin`", wanted.time_zone);
    Failure::parameter(format!("{at}.time_zone"), message)
}

fn name_of(part: TimePart) -> &'static str {
    match part {
        TimePart::Year => "year",
        TimePart::Quarter => "quarter",
        TimePart::Month => "month",
        TimePart::Day => "day",
        TimePart::DayOfYear => "day_of_year",
        TimePart::DayOfWeek => "day_of_week",
        TimePart::IsWeekend => "is_weekend",
        TimePart::Hour => "hour",
        TimePart::Minute => "minute",
    }
}

fn value_of(part: TimePart, local: Expr) -> Expr {
    let time = local.dt();
    // polars counts days of the week from 1.
    let number = match part {
        TimePart::Year => time.year(),
        TimePart::Quarter => time.quarter(),
        TimePart::Month => time.month(),
        TimePart::Day => time.day(),
        TimePart::DayOfYear => time.ordinal_day(),
        TimePart::DayOfWeek => time.weekday().cast(DataType::Int64) - lit(1i64),
        TimePart::IsWeekend => return time.weekday().gt_eq(lit(6)),
        TimePart::Hour => time.hour(),
        TimePart::Minute => time.minute(),
    };
    number.cast(DataType::Int64)
}
