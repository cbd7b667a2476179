//! The requirements of an ingestion on its table: rows, a span of time, freshness.
//!
//! The age is told against the manifest's `as-of`, and no clock: the same run gives the same result
//! tomorrow.

use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array as _, RecordBatch};
use stagewright_data::Signature;
use stagewright_manifest::{Requirements, World};
use stagewright_store::{DataType, Role, Table};

use crate::execution::Execution;
use crate::fault::StageFault;
use crate::run_error::RunError;
use crate::table_reading::{ReadError, columns};

/// Fails, with all figures, if the table does not meet the requirements.
pub(crate) fn check(
    requirements: &Requirements,
    table: &Table,
    signature: &Signature,
    execution: &Execution,
) -> Result<(), RunError> {
    let mut unmet = Vec::new();
    if let Some(least) = requirements.min_rows.filter(|least| table.rows() < *least) {
        unmet.push(format!("it has {} rows, and `min-rows` is {least}", table.rows()));
    }
    let mut of_column = None;
    if requirements.needs_times() {
        let (name, place) = time_column(requirements, table, signature)?;
        let mut ends = None;
        for rows in columns(table, vec![place], execution.watch()) {
            ends = widened(ends, &rows.map_err(|ReadError(fault)| fault)?);
        }
        unmet.extend(unmet_times(requirements, ends, execution.as_of()));
        of_column = Some(name);
    }
    if unmet.is_empty() {
        return Ok(());
    }
    let message = format!("the table does not meet the requirements of the manifest: {}", unmet.join("; "));
    Err(fault(message, of_column))
}

fn fault(message: String, column: Option<String>) -> RunError {
    StageFault::Data { stage: World::Ingestion.into(), message, column, row: None, value: None }.into()
}

/// Returns the name and the place of the column with the times.
fn time_column(requirements: &Requirements, table: &Table, signature: &Signature) -> Result<(String, usize), RunError> {
    let by_role = || signature.fields.fields().iter().find(|field| field.role == Role::Time).map(|it| it.name.clone());
    let Some(name) = requirements.time.clone().or_else(by_role) else {
        let message = "no column says when: name it with `requirements.time`, or give one the role `time`";
        return Err(fault(message.to_owned(), None));
    };
    match table.schema().index_of(&name) {
        Some(place) if table.schema().fields()[place].data_type == DataType::Timestamp => Ok((name, place)),
        Some(place) => {
            let found = table.schema().fields()[place].data_type;
            Err(fault(format!("`requirements.time` is a column of times, and this one is `{found}`"), Some(name)))
        }
        None => Err(fault("the table does not have the column of `requirements.time`".to_owned(), Some(name))),
    }
}

/// Returns the first and the last time, with those of further rows.
fn widened(ends: Option<(i64, i64)>, rows: &RecordBatch) -> Option<(i64, i64)> {
    let Some(times) = rows.column(0).as_primitive_opt::<TimestampMicrosecondType>() else { return ends };
    let valid =
        times.nulls().is_none().then(|| times.values().iter().copied().min().zip(times.values().iter().copied().max()));
    let own = valid.unwrap_or_else(|| times.iter().flatten().min().zip(times.iter().flatten().max()));
    match (ends, own) {
        (Some((first, last)), Some((low, high))) => Some((first.min(low), last.max(high))),
        (ends, own) => ends.or(own),
    }
}

/// Returns the requirements on times that are not met. Times are in microseconds.
fn unmet_times(requirements: &Requirements, ends: Option<(i64, i64)>, as_of: i64) -> Vec<String> {
    let Some((first, last)) = ends else { return vec!["no row has a time".to_owned()] };
    let mut unmet = Vec::new();
    let span = i128::from(last) - i128::from(first);
    if let Some(least) = requirements.min_span.filter(|least| span < microseconds(*least)) {
        let (first, last) = (moment(first), moment(last));
        unmet.push(format!(
            "its times span {}, from {first} to {last}, and `min-span` is {}",
            days(span),
            days(microseconds(least))
        ));
    }
    let age = i128::from(as_of) - i128::from(last);
    if let Some(most) = requirements.max_age {
        let (last, now) = (moment(last), moment(as_of));
        if age > microseconds(most) {
            let most = days(microseconds(most));
            unmet.push(format!(
                "its latest time is {last}, {} before `as-of` ({now}), and `max-age` is {most}",
                days(age)
            ));
        } else if age < 0 {
            unmet.push(format!(
                "its latest time is {last}, after `as-of` ({now}): tell the run the time with `--set as-of=...`"
            ));
        }
    }
    unmet
}

fn microseconds(duration: Duration) -> i128 {
    i128::try_from(duration.as_micros()).unwrap_or(i128::MAX)
}

fn days(microseconds: i128) -> String {
    format!("{:.2} days", microseconds as f64 / 86_400e6)
}

fn moment(microseconds: i64) -> String {
    jiff::Timestamp::from_microsecond(microseconds).map_or_else(|_| format!("{microseconds} us"), |it| it.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn required(min_span: Option<u64>, max_age: Option<u64>) -> Requirements {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Requirements { min_span: min_span.map(days), max_age: max_age.map(days), ..Requirements::default() }
    }

    // invariant: A table with fewer rows, a shorter span of time or an older last row than its
    // ingestion requires ends the run before any other stage.
    #[test]
    fn a_span_and_an_age_of_exactly_the_limit_are_met() {
        for (required, ends, is_met) in [
            (required(Some(730), None), (0, 730 * DAY), true),
            (required(Some(730), None), (0, 730 * DAY - 1), false),
            (required(None, Some(2)), (0, 998 * DAY), true),
            (required(None, Some(2)), (0, 998 * DAY - 1), false),
            (required(None, Some(2)), (0, 1000 * DAY), true),
            (required(None, Some(2)), (0, 1000 * DAY + 1), false),
            (required(Some(1), Some(1)), (i64::MIN, i64::MAX), false),
        ] {
            assert_eq!(unmet_times(&required, Some(ends), 1000 * DAY).is_empty(), is_met, "{required:?} {ends:?}");
        }
        assert_eq!(unmet_times(&required(Some(0), None), None, 0), ["no row has a time"]);
        let unmet = unmet_times(&required(Some(730), Some(2)), Some((0, 700 * DAY)), 1000 * DAY);
        assert_eq!(
            unmet,
            [
                "its times span 700.00 days, from 1970-01-01T00:00:00Z to 1971-12-02T00:00:00Z, and `min-span` is 730.00 days",
                "its latest time is 1971-12-02T00:00:00Z, 300.00 days before `as-of` (1972-09-27T00:00:00Z), and `max-age` is 2.00 days"
            ]
        );
    }
}
