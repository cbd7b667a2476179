//! Outcomes: what became of requests that versions of a model answered.
//!
//! An outcome names its request, and of each request the first outcome counts, so that a client may
//! post again after a lost answer. Tallies are made in SQL, so that reading them does not depend on
//! how many there are but for the time. A model keeps a bounded number of outcomes; those that were
//! posted first go first. The time at which an outcome happened does not matter for that: clients
//! choose it, and an old outcome that arrives late would go at once.
//!
//! Changes of one model's outcomes happen one after another: each holds the row of `outcome_counts`
//! of the model, which counts without looking at all of them. A deletion of the model waits for
//! them, and they for it.

use std::collections::HashSet;

use serde::Serialize;

use crate::database::{Connection, Outcome, Scope, Value, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::ids;
use crate::registry::names::{check_name, shortened};
use crate::registry::search_query::Page;

/// The most outcomes in one posting.
pub const MAX_OUTCOMES_AT_ONCE: usize = 10_000;
/// The number of outcomes that a model keeps, unless an operator chooses another: about 1 GB.
pub const MAX_OUTCOMES: u64 = 5_000_000;
/// The most bytes of a request's identifier.
const MAX_REQUEST_ID: usize = 128;
/// The most bytes of a label.
const MAX_LABEL: usize = 256;
/// The sizes that a value may have, if it is not 0: its square is a number to both databases.
const VALUES: std::ops::RangeInclusive<f64> = 1e-100..=1e100;
/// How far the time of an outcome may lie in the future, in milliseconds: a day.
const MAX_FUTURE_MS: i64 = 24 * 60 * 60 * 1000;
/// The number of outcomes that one statement inserts, largest first. Each is a statement that stays
/// prepared.
const INSERTED_AT_ONCE: [usize; 3] = [128, 16, 1];
/// The most outcomes that are removed in one transaction.
const REMOVED_AT_ONCE: u64 = 10_000;
/// The most tallies: arms and versions that outcomes name.
const MAX_TALLIES: u32 = 1_000;

/// An outcome that is posted.
#[derive(Clone, Debug, PartialEq)]
pub struct NewOutcome {
    /// The request: 1 to 128 visible ASCII characters.
    pub request_id: String,
    /// The version that answered.
    pub version: u32,
    /// The arm of the deployment that the request belonged to.
    pub arm: Option<String>,
    /// The label that turned out to be right, at most 256 bytes; or else there is a value.
    pub label: Option<String>,
    /// The value that turned out to be right: 0, or from 1e-100 to 1e100 in size.
    pub value: Option<f64>,
    /// When it happened, in milliseconds since the epoch.
    pub at_ms: i64,
}

impl NewOutcome {
    /// Checks the limits of the fields, as [`Registry::post_outcomes`] does.
    ///
    /// # Errors
    /// A sentence that names the field that is beyond them, for whoever posts it.
    pub fn check(&self) -> Result<(), String> {
        check_one(self, now_ms())
    }
}

/// The result of posting an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomePosting {
    /// It was recorded.
    Recorded,
    /// The request has an outcome already, which stays.
    Duplicate,
    /// The model has no version of this number, so that it was not recorded.
    UnknownVersion,
}

/// A recorded outcome.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecordedOutcome {
    /// The request.
    pub request_id: String,
    /// The version that answered. It may be deleted since.
    pub version: u32,
    /// The arm of the deployment that the request belonged to.
    pub arm: Option<String>,
    /// The label that turned out to be right.
    pub label: Option<String>,
    /// The value that turned out to be right.
    pub value: Option<f64>,
    /// When it happened, in milliseconds since the epoch.
    pub at_ms: i64,
    /// When it was posted, in milliseconds since the epoch by the clock of whoever recorded it.
    /// Later than that of all earlier postings of the model: if clocks disagree, by a millisecond.
    pub posted_ms: i64,
}

/// The outcomes of the requests that a version answered as an arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutcomeTally {
    /// The arm; `None`: the requests belonged to no deployment.
    pub arm: Option<String>,
    /// The version.
    pub version: u32,
    /// The number of outcomes.
    pub count: u64,
    /// The number of positive ones.
    pub positives: u64,
    /// The number of those with a value.
    pub valued: u64,
    /// The sum of the values.
    pub sum: f64,
    /// The sum of the squares of the values.
    pub sum_of_squares: f64,
}

impl Registry {
    /// Records outcomes of a model's requests, all in one transaction, and keeps at most `most` of
    /// the model ([`MAX_OUTCOMES`]): those that were posted first are removed, whenever they
    /// happened, but none of this posting. Returns the result of each, in order. Of several
    /// outcomes of one request, in one posting or not, the first counts.
    ///
    /// # Errors
    /// [`StoreError::BadOutcome`] for one beyond the limits of [`NewOutcome`], or more than
    /// [`MAX_OUTCOMES_AT_ONCE`]: then none is recorded. [`StoreError::NoModel`],
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn post_outcomes(
        &self,
        model: &str,
        outcomes: &[NewOutcome],
        most: u64,
    ) -> Result<Vec<OutcomePosting>, StoreError> {
        check(outcomes, now_ms())?;
        self.write("record outcomes", Scope::Runs, |connection| {
            let id = ids::kept_model(connection, model)?;
            hold(connection, id)?;
            let posted_ms = time_of_posting(connection, id)?;
            let mut results = vec![OutcomePosting::Duplicate; outcomes.len()];
            let fresh = worth_recording(connection, id, outcomes, &mut results)?;
            let mut left: &[usize] = &fresh;
            for size in INSERTED_AT_ONCE {
                while left.len() >= size {
                    let (now_inserted, rest) = left.split_at(size);
                    let batch: Vec<&NewOutcome> = now_inserted.iter().map(|place| &outcomes[*place]).collect();
                    let recorded = insert(connection, id, posted_ms, &batch)?;
                    for place in now_inserted.iter().filter(|place| recorded.contains(&outcomes[**place].request_id)) {
                        results[*place] = OutcomePosting::Recorded;
                    }
                    left = rest;
                }
            }
            let recorded = results.iter().filter(|result| **result == OutcomePosting::Recorded).count();
            let stored = change_count(connection, id, recorded as i64)?;
            // No more than a few postings' worth, so that a lower bound than before delays nobody.
            let surplus = stored.saturating_sub(most.max(recorded as u64)).min(2 * REMOVED_AT_ONCE);
            if surplus > 0 {
                remove(connection, id, FIRST_POSTED, values![id, surplus])?;
            }
            Ok(results)
        })
    }

    /// Returns the outcomes from `since_ms` on, tallied by arm (none first) and version. An outcome
    /// is positive if its label is `positive`, or if it has no label and a value above 0.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn outcome_tallies(&self, model: &str, since_ms: i64, positive: &str) -> Result<Vec<OutcomeTally>, StoreError> {
        self.read("tally outcomes", |connection| {
            let id = ids::model(connection, model)?;
            let query = "SELECT arm, version, count(*),
                    CAST(sum(CASE WHEN label = ?3 OR (label IS NULL AND value > 0) THEN 1 ELSE 0 END) AS BIGINT),
                    count(value), coalesce(sum(value), 0.0), coalesce(sum(value * value), 0.0)
                FROM outcomes WHERE model = ?1 AND at_ms >= ?2 GROUP BY arm, version ORDER BY arm, version LIMIT ?4";
            let rows = connection.query(query, values![id, since_ms, positive, MAX_TALLIES])?;
            let tally = |row: &crate::database::Row| {
                Ok(OutcomeTally {
                    arm: named(row.get(0)?),
                    version: row.get(1)?,
                    count: row.get(2)?,
                    positives: row.get(3)?,
                    valued: row.get(4)?,
                    sum: row.get(5)?,
                    sum_of_squares: row.get(6)?,
                })
            };
            rows.iter().map(tally).collect()
        })
    }

    /// Returns a page of the outcomes from `since_ms` on, by their time.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn outcomes(&self, model: &str, since_ms: i64, page: Page) -> Result<Vec<RecordedOutcome>, StoreError> {
        self.read("read outcomes", |connection| {
            let id = ids::model(connection, model)?;
            let query = "SELECT request_id, version, arm, label, value, at_ms, posted_ms FROM outcomes
                WHERE model = ?1 AND at_ms >= ?2 ORDER BY at_ms, request_id LIMIT ?3 OFFSET ?4";
            let rows = connection.query(query, values![id, since_ms, page.limit, page.offset])?;
            let outcome = |row: &crate::database::Row| {
                Ok(RecordedOutcome {
                    request_id: row.get(0)?,
                    version: row.get(1)?,
                    arm: named(row.get(2)?),
                    label: row.get(3)?,
                    value: row.get(4)?,
                    at_ms: row.get(5)?,
                    posted_ms: row.get(6)?,
                })
            };
            rows.iter().map(outcome).collect()
        })
    }

    /// Returns how many outcomes of a model are recorded.
    ///
    /// # Errors
    /// [`StoreError::NoModel`] or [`StoreError::Database`].
    pub fn outcome_count(&self, model: &str) -> Result<u64, StoreError> {
        self.read("count outcomes", |connection| {
            let id = ids::model(connection, model)?;
            let row = connection.first("SELECT stored FROM outcome_counts WHERE model = ?1", values![id])?;
            Ok(row.map_or(Ok(0), |row| row.get(0))?)
        })
    }

    /// Removes the outcomes of a model that happened before `before_ms`, in transactions of 10,000
    /// each, between which others write. Returns how many.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn remove_outcomes(&self, model: &str, before_ms: i64) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let piece = self.write("remove outcomes", Scope::Runs, |connection| {
                let id = ids::kept_model(connection, model)?;
                hold(connection, id)?;
                remove(connection, id, HAPPENED_BEFORE, values![id, REMOVED_AT_ONCE, before_ms])
            })?;
            removed += piece;
            if piece < REMOVED_AT_ONCE {
                return Ok(removed);
            }
        }
    }
}

/// Removes all outcomes of the model with this row id, which no other transaction keeps
/// ([`ids::model_to_delete`]).
pub(super) fn remove_all(connection: &mut Connection, model: i64) -> Outcome<()> {
    for table in ["outcomes", "outcome_counts"] {
        connection.execute(&format!("DELETE FROM {table} WHERE model = ?1"), values![model])?;
    }
    Ok(())
}

/// Waits for other changes of the model's outcomes, and delays further ones until this transaction
/// ends.
fn hold(connection: &mut Connection, model: i64) -> Outcome<()> {
    change_count(connection, model, 0).map(drop)
}

/// Returns the time of a posting: now, but later than all earlier postings of the model, whatever
/// the clocks of other servers say. So the outcomes of a posting are the last to be removed.
fn time_of_posting(connection: &mut Connection, model: i64) -> Outcome<i64> {
    let last = connection.one("SELECT max(posted_ms) FROM outcomes WHERE model = ?1", values![model])?;
    Ok(last.get::<Option<i64>>(0)?.map_or(i64::MIN, |last| last.saturating_add(1)).max(now_ms()))
}

/// Changes the number of outcomes that a model has. Returns the new one.
fn change_count(connection: &mut Connection, model: i64, by: i64) -> Outcome<u64> {
    let upsert = "INSERT INTO outcome_counts (model, stored) VALUES (?1, ?2)
        ON CONFLICT (model) DO UPDATE SET stored = outcome_counts.stored + excluded.stored RETURNING stored";
    Ok(connection.one(upsert, values![model, by])?.get(0)?)
}

/// Returns the places of the outcomes of known versions, one a request, in the order of requests.
/// Sets the results of those of other versions.
fn worth_recording(
    connection: &mut Connection,
    model: i64,
    outcomes: &[NewOutcome],
    results: &mut [OutcomePosting],
) -> Outcome<Vec<usize>> {
    let versions = connection.query("SELECT version FROM versions WHERE model = ?1", values![model])?;
    let versions: HashSet<u32> = versions.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    let mut fresh: Vec<usize> = Vec::with_capacity(outcomes.len());
    for (place, outcome) in outcomes.iter().enumerate() {
        if versions.contains(&outcome.version) {
            fresh.push(place);
        } else {
            results[place] = OutcomePosting::UnknownVersion;
        }
    }
    // Stable, so that the first of several outcomes of a request stays.
    fresh.sort_by(|one, other| outcomes[*one].request_id.cmp(&outcomes[*other].request_id));
    fresh.dedup_by(|one, other| outcomes[*one].request_id == outcomes[*other].request_id);
    Ok(fresh)
}

/// Inserts outcomes of different requests. Returns the requests that had none before.
fn insert(connection: &mut Connection, model: i64, posted_ms: i64, batch: &[&NewOutcome]) -> Outcome<HashSet<String>> {
    // The first two parameters are those of every row.
    let row = |place: usize| {
        let own: Vec<String> = (0..6).map(|column| format!("?{}", 3 + 6 * place + column)).collect();
        format!("(?1, {}, ?2)", own.join(", "))
    };
    let rows: Vec<String> = (0..batch.len()).map(row).collect();
    let statement = format!(
        "INSERT INTO outcomes (model, request_id, version, arm, label, value, at_ms, posted_ms) VALUES {}
         ON CONFLICT (model, request_id) DO NOTHING RETURNING request_id",
        rows.join(", ")
    );
    let mut parameters: Vec<Value> = vec![model.into(), posted_ms.into()];
    for NewOutcome { request_id, version, arm, label, value, at_ms } in batch {
        let arm = arm.as_deref().unwrap_or_default();
        parameters.extend_from_slice(values![request_id, *version, arm, label.as_ref(), *value, *at_ms]);
    }
    connection.query(&statement, &parameters)?.iter().map(|row| Ok(row.get(0)?)).collect()
}

/// Removes the `?2` outcomes of model `?1` that were posted first.
const FIRST_POSTED: &str = "DELETE FROM outcomes WHERE model = ?1 AND request_id IN
    (SELECT request_id FROM outcomes WHERE model = ?1 ORDER BY posted_ms LIMIT ?2)";
/// Removes `?2` outcomes of model `?1` that happened before `?3`.
const HAPPENED_BEFORE: &str = "DELETE FROM outcomes WHERE model = ?1 AND request_id IN
    (SELECT request_id FROM outcomes WHERE model = ?1 AND at_ms < ?3 ORDER BY at_ms LIMIT ?2)";

/// Removes outcomes of a model and counts those that are left. Returns how many it removed.
fn remove(connection: &mut Connection, model: i64, delete: &str, parameters: &[Value]) -> Outcome<u64> {
    let removed = connection.execute(delete, parameters)?;
    change_count(connection, model, -(removed as i64))?;
    Ok(removed)
}

/// Returns the arm of a row, whose empty text stands for none.
fn named(arm: String) -> Option<String> {
    (!arm.is_empty()).then_some(arm)
}

fn check(outcomes: &[NewOutcome], now: i64) -> Result<(), StoreError> {
    if outcomes.len() > MAX_OUTCOMES_AT_ONCE {
        let problem = format!("a posting has {MAX_OUTCOMES_AT_ONCE} at most; send the others in another");
        return Err(StoreError::BadOutcome { index: MAX_OUTCOMES_AT_ONCE, problem });
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        check_one(outcome, now).map_err(|problem| StoreError::BadOutcome { index, problem })?;
    }
    Ok(())
}

fn check_one(outcome: &NewOutcome, now: i64) -> Result<(), String> {
    let NewOutcome { request_id, version: _, arm, label, value, at_ms } = outcome;
    if !(1..=MAX_REQUEST_ID).contains(&request_id.len()) || !request_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let id = shortened(request_id);
        return Err(format!("`{id}` is not the identifier of a request: send the `request_id` of an answer"));
    }
    if let Some(arm) = arm {
        check_name("arm", arm).map_err(|error| error.to_string())?;
    }
    if label.is_none() && value.is_none() {
        return Err("it has neither a label nor a value: send one of them".to_owned());
    }
    if label.as_ref().is_some_and(|label| label.len() > MAX_LABEL || label.contains('\0')) {
        return Err(format!("its label is longer than {MAX_LABEL} bytes, or has a NUL: send the class"));
    }
    if value.is_some_and(|value| value != 0.0 && !VALUES.contains(&value.abs())) {
        return Err("its value is neither 0 nor from 1e-100 to 1e100 in size: send a number in these bounds".to_owned());
    }
    if *at_ms < 0 || *at_ms > now.saturating_add(MAX_FUTURE_MS) {
        return Err(format!("{at_ms} is not the time of an outcome: send milliseconds since 1970, not in the future"));
    }
    Ok(())
}
