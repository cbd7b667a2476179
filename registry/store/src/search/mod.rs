//! MLflow's search grammar: the text of a filter or of an order to typed values.
//!
//! ```text
//! metrics.auc > 0.8 AND tags.`data set` LIKE 'telco%' AND status IN ('FINISHED', 'FAILED')
//! ```
//!
//! - Clauses are joined by `AND`; there is no `OR` and nothing is nested. Words of the grammar are in any case, keys are not.
//! - A key is `metrics.x`, `params.x`, `tags.x`, `datasets.x` or an attribute, bare or after `attributes.`. Whatever is not of
//!   letters, digits and `_.-/:+` stands in backticks or quotes. [`Entity`] says what each kind of record has.
//! - A text stands in single or double quotes. A quote within is doubled, as in SQL; a backslash is only itself.
//!
//! This module knows no SQL and no record: it says what was asked for, and refuses what no record has, so that every database
//! answers the same. MLflow hands the text to a parser of SQL and picks from its tree, so it accepts clauses without an `AND`
//! between them and fails on some in the database; a parser of ten rules can say where a text is wrong and what may stand there.
//!
//! # What the clauses mean
//!
//! Whoever translates them must keep to this, or the databases differ:
//!
//! - A record without the value (no such tag, metric or parameter, an attribute that is null) matches no clause but `IS NULL`:
//!   neither `!=` nor `NOT IN`. The one exception is [`Clause::is_prompt_exclusion`].
//! - A metric is its last value. A NaN matches no comparison; PostgreSQL says otherwise by itself, and SQLite keeps it as null.
//! - A run may read several datasets: a clause on them is fulfilled by any one that fits, each clause by its own.
//! - A version may have several aliases: so it is with these, but `!=` and `NOT IN` ask that none is named, `IS NULL` that
//!   there is none.
//! - Patterns have `%` and `_` and nothing that escapes them; [`like`] is what they mean. `LIKE` tells capitals from small
//!   letters, `ILIKE` does not, in ASCII.
//!
//! | | SQLite | PostgreSQL |
//! | --- | --- | --- |
//! | `LIKE` | `column GLOB ?`, with [`like_to_glob`]: its `LIKE` ignores case | `column COLLATE "C" LIKE $1 ESCAPE ''` |
//! | `ILIKE` | `column LIKE ?` | `column COLLATE "C" ILIKE $1 ESCAPE ''` |
//! | order of texts | `BINARY`, the default | `COLLATE "C"` |
//!
//! `ESCAPE ''` is there because PostgreSQL takes a backslash for an escape, `"C"` because its `ILIKE` otherwise depends on how
//! the database was created. SQLite's `PRAGMA case_sensitive_like` would do without `GLOB`, but it is deprecated, and is one
//! setting for both operators.

mod cursor;
mod error;
mod filter;
mod key;
mod like;
mod order;

pub use error::SearchError;
pub use filter::{Clause, Comparison, Filter, Relation};
pub use key::{Attribute, DatasetField, Entity, Key, Kind};
pub use like::{like, like_to_glob};
pub use order::{Order, OrderBy};

/// The most bytes in a filter or in one text of an order: three lists of [`MAX_VALUES`] run identifiers fit.
pub const MAX_BYTES: usize = 64 << 10;

/// The most clauses in a filter. SQLite joins at most 64 tables; with [`MAX_KEYS`] and the record's own there is room left.
pub const MAX_CLAUSES: usize = 40;

/// The most keys in an order.
pub const MAX_KEYS: usize = 10;

/// The most values in a list: each becomes a parameter of the statement, of which SQLite has 32,766.
pub const MAX_VALUES: usize = 500;

/// The most bytes in a pattern. Matching takes time in proportion to pattern times text, and SQLite refuses patterns past
/// 50,000 bytes; as a `GLOB` this one has at most three times as many.
pub const MAX_PATTERN_BYTES: usize = 2_000;
