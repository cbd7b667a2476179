//! Orders: the keys that records are sorted by.
//!
//! Every key of a filter can be one of an order, except datasets and aliases, of which a record has
//! several. Records without the value come last, ascending or descending; before them come those
//! whose metric is NaN.

use std::fmt;

use super::MAX_KEYS;
use super::cursor::Cursor;
use super::error::SearchError;
use super::key::{Attribute, Entity, Key};

/// The keys that records are sorted by, the most important first. With none, the order is
/// undefined.
///
/// Its text form parses to the same order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderBy(Vec<Order>);

/// One key of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The key: no dataset and no alias.
    pub key: Key,
    /// Whether the largest value comes first.
    pub descending: bool,
}

impl OrderBy {
    /// Parses an order of records of this kind, from texts as a client lists them. Each has one
    /// key, or several with commas between them, each followed by `ASC`, the default, or `DESC`.
    ///
    /// # Errors
    /// [`SearchError`] at the first position where a text is wrong.
    pub fn parse<T: AsRef<str>>(entity: Entity, texts: &[T]) -> Result<Self, SearchError> {
        let mut order = Self::default();
        for text in texts {
            let mut cursor = Cursor::new("order", text.as_ref())?;
            order.read(&mut cursor, entity)?;
            while !cursor.is_done() {
                if !cursor.eat(',') {
                    let problem = format!("`ASC`, `DESC` or `,` is expected after a key, not {}", cursor.found());
                    return Err(cursor.refuse(cursor.at(), problem, "write `metrics.auc DESC, start_time`"));
                }
                order.read(&mut cursor, entity)?;
            }
        }
        Ok(order)
    }

    /// Returns the keys, the most important first.
    pub fn keys(&self) -> &[Order] {
        &self.0
    }

    /// Returns the same order, followed by the default order of these records, in which no two
    /// records are equal. Reading page by page needs that.
    #[must_use]
    pub fn total(mut self, entity: Entity) -> Self {
        let own: &[(Attribute, bool)] = match entity {
            Entity::Runs => &[(Attribute::StartTime, true), (Attribute::RunId, false)],
            Entity::Experiments => &[(Attribute::CreationTime, true), (Attribute::ExperimentId, false)],
            Entity::RegisteredModels => &[(Attribute::Name, false)],
            Entity::ModelVersions if self.0.is_empty() => {
                &[(Attribute::LastUpdateTime, true), (Attribute::Name, false), (Attribute::VersionNumber, true)]
            }
            Entity::ModelVersions => &[(Attribute::Name, false), (Attribute::VersionNumber, true)],
            Entity::LoggedModels => &[(Attribute::CreationTime, true), (Attribute::ModelId, false)],
        };
        for (attribute, descending) in own {
            let key = Key::Attribute(*attribute);
            if !self.has(&key) {
                self.0.push(Order { key, descending: *descending });
            }
        }
        self
    }

    fn has(&self, key: &Key) -> bool {
        self.0.iter().any(|order| order.key == *key)
    }

    fn read(&mut self, cursor: &mut Cursor<'_>, entity: Entity) -> Result<(), SearchError> {
        cursor.space();
        let start = cursor.at();
        let key = Key::read(cursor, entity)?;
        let refuse = |problem: String, hint: &str| Err(cursor.refuse(start, problem, hint));
        if matches!(key, Key::Dataset(_) | Key::Attribute(Attribute::Alias)) {
            let problem = format!("{entity} cannot be ordered by `{key}`");
            return refuse(
                problem,
                "each may have several; order by a metric, a parameter, a tag or another attribute",
            );
        }
        if self.has(&key) {
            return refuse("the key is in the order before".to_owned(), "name each key once");
        }
        if self.0.len() == MAX_KEYS {
            return refuse(format!("an order may have {MAX_KEYS} keys, and here is another"), "name fewer");
        }
        let descending = cursor.keyword("DESC");
        if !descending {
            cursor.keyword("ASC");
        }
        self.0.push(Order { key, descending });
        Ok(())
    }
}

impl fmt::Display for OrderBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, order) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}{}", order.key, if order.descending { " DESC" } else { "" })?;
        }
        Ok(())
    }
}
