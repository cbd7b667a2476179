//! The values of metrics as they are recorded: every value, and the last one of each metric.
//!
//! A client that got no answer repeats its request. So a value of a client's run is recorded once,
//! as MLflow does: of equal values of a metric with equal step and time, one counts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};

use crate::database::{Connection, Outcome, values};
use crate::registry::rows::{self, Insert, Kind};

/// Name, value, step and time.
const POINT: [Kind; 4] = [Kind::Text, Kind::Real, Kind::Integer, Kind::Integer];

/// A value to insert.
pub(super) struct Reported<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: f64,
    pub(super) step: i64,
    pub(super) at_ms: i64,
    /// The stage that reported it; `None`: the host.
    pub(super) stage: Option<i64>,
}

impl Reported<'_> {
    /// Returns the order in which the last of several values is chosen. NaN, stored as NULL, is
    /// less than every value at the same step and time.
    fn rank(&self) -> (i64, i64, Option<f64>) {
        (self.step, self.at_ms, Some(self.value).filter(|value| !value.is_nan()))
    }

    /// Returns what equal values have in common, as they are stored: without the sign of zero.
    fn identity(&self) -> (&str, i64, i64, Option<u64>) {
        let bits = (!self.value.is_nan()).then(|| (self.value + 0.0).to_bits());
        (&self.name, self.step, self.at_ms, bits)
    }
}

/// Inserts values, and updates the last value of each metric.
pub(super) fn insert(connection: &mut Connection, run: i64, points: &[Reported<'_>]) -> Outcome<()> {
    let points: Vec<&Reported<'_>> = points.iter().collect();
    insert_all(connection, run, &points)?;
    update_last(connection, run, &chosen(&points, Ordering::Greater))?;
    Ok(())
}

/// Inserts the values of a client's run that are not there yet, and updates the last value of each
/// metric.
pub(super) fn insert_once(connection: &mut Connection, run: i64, points: &[Reported<'_>]) -> Outcome<()> {
    let mut seen = HashSet::new();
    let points: Vec<&Reported<'_>> = points.iter().filter(|point| seen.insert(point.identity())).collect();
    let (least, greatest) = (chosen(&points, Ordering::Less), chosen(&points, Ordering::Greater));
    // If the least of several values comes after the last one that is recorded, all are new, and
    // none has to be looked up. This locks the rows of the last values first, so that a repetition
    // that comes meanwhile waits, and then finds these values.
    let newer = update_last(connection, run, &least)?;
    // Of a metric with one value, both are the same.
    let others = greatest.into_iter().zip(least).filter(|(greatest, least)| !std::ptr::eq(*greatest, *least));
    update_last(connection, run, &others.map(|(greatest, _)| greatest).collect::<Vec<_>>())?;
    let (new, doubtful): (Vec<_>, Vec<_>) = points.into_iter().partition(|point| newer.contains(&*point.name));
    insert_all(connection, run, &new)?;
    insert_missing(connection, run, &doubtful)
}

/// Returns the value of each metric whose rank compares with those of the others in this way. They
/// are sorted by name, since loggers that lock rows in different orders would wait for each other.
fn chosen<'a, 'b>(points: &[&'a Reported<'b>], how: Ordering) -> Vec<&'a Reported<'b>> {
    let mut chosen: BTreeMap<&str, &Reported<'_>> = BTreeMap::new();
    for &point in points {
        let kept = chosen.entry(&*point.name).or_insert(point);
        if point.rank().partial_cmp(&kept.rank()) == Some(how) {
            *kept = point;
        }
    }
    chosen.into_values().collect()
}

/// Makes each of these values the last one of its metric, unless the one that is there comes after
/// it or is equal. Returns the metrics whose last value changed.
fn update_last(connection: &mut Connection, run: i64, points: &[&Reported<'_>]) -> Outcome<HashSet<String>> {
    let after =
        "ON CONFLICT (run, name) DO UPDATE SET value = excluded.value, step = excluded.step, at_ms = excluded.at_ms
         WHERE (excluded.step, excluded.at_ms) > (latest_metrics.step, latest_metrics.at_ms)
            OR ((excluded.step, excluded.at_ms) = (latest_metrics.step, latest_metrics.at_ms)
                AND excluded.value IS NOT NULL
                AND (latest_metrics.value IS NULL OR excluded.value > latest_metrics.value))
         RETURNING name";
    let insert = Insert { before: "INSERT INTO latest_metrics (run, name, value, step, at_ms)", own: &POINT, after };
    let changed = rows::insert_all_returning(connection, &insert, values![run], points, |point, row| {
        row.extend_from_slice(values![&*point.name, point.value, point.step, point.at_ms]);
    })?;
    changed.iter().map(|row| Ok(row.get(0)?)).collect()
}

fn insert_all(connection: &mut Connection, run: i64, points: &[&Reported<'_>]) -> Outcome<()> {
    let before = "INSERT INTO metric_points (run, stage, name, value, step, at_ms)";
    let own = &[Kind::Integer, Kind::Text, Kind::Real, Kind::Integer, Kind::Integer];
    rows::insert_all(connection, &Insert { before, own, after: "" }, values![run], points, |point, row| {
        row.extend_from_slice(values![point.stage, &*point.name, point.value, point.step, point.at_ms]);
    })?;
    Ok(())
}

/// Inserts values of no stage that are not there yet.
fn insert_missing(connection: &mut Connection, run: i64, points: &[&Reported<'_>]) -> Outcome<()> {
    let before = "WITH given (run, name, value, step, at_ms) AS (";
    // A subquery for one value, which PostgreSQL answers by the index: it could turn `NOT EXISTS`
    // into a join with all values of all runs.
    let after = ")
        INSERT INTO metric_points (run, name, value, step, at_ms)
        SELECT run, name, value, step, at_ms FROM given
            WHERE (SELECT known.id FROM metric_points known
                 WHERE known.run = given.run AND known.name = given.name AND known.step = given.step
                     AND known.at_ms = given.at_ms AND known.stage IS NULL
                     AND known.value IS NOT DISTINCT FROM given.value LIMIT 1) IS NULL";
    rows::insert_all(connection, &Insert { before, own: &POINT, after }, values![run], points, |point, row| {
        row.extend_from_slice(values![&*point.name, point.value, point.step, point.at_ms]);
    })?;
    Ok(())
}
