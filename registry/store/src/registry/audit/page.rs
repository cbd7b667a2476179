//! Pages of the audit, newest entries first, for people who look through it.
//!
//! A chain may have a million entries. A page asks for those before a place, so that each is found
//! by its place; and where only some entries are wanted, it looks through a bounded number of them
//! and says how far it came.

use serde::Serialize;

use crate::database::{Outcome, values};
use crate::error::StoreError;
use crate::registry::audit::entry::{AuditEntry, COLUMNS, entry};
use crate::registry::handle::Registry;

/// The most entries that one page looks through: a fraction of a second in either database.
const MOST_SEARCHED: u64 = 200_000;

/// The entries that are wanted. An empty text wants all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditSearch {
    /// The model, by the name that it had.
    pub model: String,
    /// Who made the change.
    pub actor: String,
    /// The beginning of the kind of change: `version.`, `promotion.intended`.
    pub action: String,
}

/// A page of the audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AuditPage {
    /// The entries, newest first.
    pub entries: Vec<AuditEntry>,
    /// The place that the next page is before; `None` if there are no older entries. An empty page
    /// may have a next one: then none of those that were looked through is wanted.
    pub next: Option<u64>,
}

impl Registry {
    /// Returns the wanted entries before a place in the chain, newest first; without a place, the
    /// last ones. Looks through 200,000 entries at most.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn audit_page(&self, wanted: &AuditSearch, before: Option<u64>, limit: usize) -> Result<AuditPage, StoreError> {
        self.read("read the audit", |connection| {
            let last: u64 = connection.one("SELECT seq FROM audit_head", &[])?.get(0)?;
            let before = before.unwrap_or(u64::MAX).min(last.saturating_add(1));
            // The entries of a model have an index, and are found without looking at others.
            let is_indexed = wanted.actor.is_empty() && wanted.action.is_empty();
            let first = if is_indexed { 1 } else { before.saturating_sub(MOST_SEARCHED).max(1) };
            let mut conditions = String::new();
            let mut given = values![before, first].to_vec();
            // The kinds of changes have these letters; others, and patterns, are in none of them.
            if !wanted.action.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'-')) {
                return Ok(AuditPage::default());
            }
            let action = format!("{}%", wanted.action);
            for (condition, text, value) in [
                ("model =", &wanted.model, &wanted.model),
                ("actor =", &wanted.actor, &wanted.actor),
                ("action LIKE", &wanted.action, &action),
            ] {
                if !text.is_empty() {
                    given.extend_from_slice(values![value]);
                    conditions += &format!(" AND {condition} ?{}", given.len());
                }
            }
            given.extend_from_slice(values![limit]);
            let query = format!(
                "SELECT {COLUMNS} WHERE seq < ?1 AND seq >= ?2{conditions} ORDER BY seq DESC LIMIT ?{}",
                given.len()
            );
            let entries = connection.query(&query, &given)?.iter().map(entry).collect::<Outcome<Vec<_>>>()?;
            let next = if entries.len() >= limit { entries.last().map_or(first, |entry| entry.seq) } else { first };
            Ok(AuditPage { entries, next: Some(next).filter(|next| *next > 1) })
        })
    }
}
