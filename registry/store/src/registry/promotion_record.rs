//! The record of a promotion.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::database::{Connection, Outcome, Row, values};
use crate::error::StoreError;
use crate::registry::names::shortened;

/// The state of a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionState {
    /// Nothing has changed yet.
    Intended,
    /// The version is champion; the destination may not know it yet.
    Current,
    /// The destination points to it, or to a later one.
    Finished,
    /// It was given up.
    Undone,
}

impl PromotionState {
    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Current => "current",
            Self::Finished => "finished",
            Self::Undone => "undone",
        }
    }
}

impl fmt::Display for PromotionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PromotionState {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Intended, Self::Current, Self::Finished, Self::Undone];
        all.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("a promotion is `{name}`"))
    }
}

/// A request to promote a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromotionRequest {
    /// Where the version is copied to: a URI without secrets; empty: nowhere.
    pub destination: String,
    /// The champion that the caller expects (`Some(None)`: none); `None`: the current one.
    pub expected: Option<Option<u32>>,
    /// The reason, for the audit.
    pub reason: String,
}

/// A recorded promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Promotion {
    /// Its identifier: 32 hex digits.
    pub id: String,
    /// The model's name.
    pub model: String,
    /// The version that becomes champion.
    pub version: u32,
    /// The champion that it replaces, if there is one.
    pub expected: Option<u32>,
    /// Whether it is a rollback.
    pub rollback: bool,
    /// Whether it is a retirement: the pointer to the version is removed, and nothing is copied.
    pub retirement: bool,
    /// Where the version is copied to.
    pub destination: String,
    /// Its state.
    pub state: PromotionState,
    /// Who promotes.
    pub actor: String,
    /// The reason.
    pub reason: String,
    /// When it was intended, in milliseconds since the epoch.
    pub began_ms: i64,
    /// When it was finished or undone, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
}

/// The columns that [`promotion`] and [`by_id`] read.
pub(super) const COLUMNS: &str = "promotions.id, registered_models.name, promoted.version, expected.version, rollback, destination, \
     state, promotions.actor, promotions.reason, began_ms, ended_ms, promotions.version, promotions.expected, retirement \
     FROM promotions JOIN registered_models ON registered_models.id = promotions.model \
     JOIN versions promoted ON promoted.id = promotions.version \
     LEFT JOIN versions expected ON expected.id = promotions.expected";

/// Returns a promotion that has not ended, with the row ids of its version and of the expected
/// champion.
pub(super) fn unfinished(connection: &mut Connection, id: &str) -> Outcome<(Promotion, i64, Option<i64>)> {
    let found = by_id(connection, id)?;
    match found.0.state {
        PromotionState::Intended | PromotionState::Current => Ok(found),
        state => Err(StoreError::PromotionEnded { id: id.to_owned(), state: state.name() }.into()),
    }
}

/// Returns a promotion, with the row ids of its version and of the expected champion.
pub(super) fn by_id(connection: &mut Connection, id: &str) -> Outcome<(Promotion, i64, Option<i64>)> {
    let row = connection.first(&format!("SELECT {COLUMNS} WHERE promotions.id = ?1"), values![id])?;
    let row = row.ok_or_else(|| StoreError::NoPromotion { id: shortened(id) })?;
    Ok((promotion(&row)?, row.get(11)?, row.get(12)?))
}

/// Reads a promotion from a row of [`COLUMNS`].
pub(super) fn promotion(row: &Row) -> Outcome<Promotion> {
    Ok(Promotion {
        id: row.get(0)?,
        model: row.get(1)?,
        version: row.get(2)?,
        expected: row.get(3)?,
        rollback: row.get(4)?,
        destination: row.get(5)?,
        state: row.parsed(6)?,
        actor: row.get(7)?,
        reason: row.get(8)?,
        began_ms: row.get(9)?,
        ended_ms: row.get(10)?,
        retirement: row.get(13)?,
    })
}
