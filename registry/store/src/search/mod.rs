//! MLflow's search grammar: parsing the text of a filter or an order to typed values.
//!
//! ```text
//! metrics.auc > 0.8 AND tags.`data set` LIKE 'telco%' AND status IN ('FINISHED', 'FAILED')
//! ```
//!
//! - `AND` joins clauses; there is no `OR` and no nesting. Keywords are case-insensitive, keys are
//!   not.
//! - A key is `metrics.x`, `params.x`, `tags.x`, `datasets.x` or an attribute, bare or after
//!   `attributes.`. A name with characters other than letters, digits and `_.-/:+` is in backticks
//!   or quotes. [`Entity`] lists what each kind of record has.
//! - A text is in single or double quotes. A quote within is doubled, as in SQL; a backslash has no
//!   special meaning.
//!
//! This module knows neither SQL nor records. It refuses keys that no record has, so that every
//! database answers the same. MLflow passes the text to a parser of SQL and picks from its tree, so
//! that it accepts clauses without an `AND` between them and fails on some in the database. A
//! parser of ten rules can say where a text is wrong and what may be there.
//!
//! # The meaning of clauses
//!
//! Every translation must keep to this, or the databases differ:
//!
//! - A record without the value (no such tag, metric or parameter, a null attribute) satisfies no
//!   clause but `IS NULL`: neither `!=` nor `NOT IN`. The only exception is
//!   [`Clause::is_prompt_exclusion`].
//! - The value of a metric is its last one. A NaN satisfies no comparison, which differs from
//!   PostgreSQL's own rule; SQLite stores it as null.
//! - A run may read several datasets. A clause on datasets is satisfied if any of them does, each
//!   clause by itself.
//! - A version may have several aliases. A clause on aliases works the same, but `!=` and `NOT IN`
//!   require that none is named, `IS NULL` that there is none.
//! - Patterns have `%` and `_` and no escapes; [`like()`] defines them. `LIKE` is case-sensitive,
//!   `ILIKE` ignores the case of ASCII letters.
//!
//! | | SQLite | PostgreSQL |
//! | --- | --- | --- |
//! | `LIKE` | `column GLOB ?`, with [`like_to_glob`]: its `LIKE` ignores case | `column COLLATE "C" LIKE $1 ESCAPE ''` |
//! | `ILIKE` | `column LIKE ?` | `column COLLATE "C" ILIKE $1 ESCAPE ''` |
//! | order of texts | `BINARY`, the default | `COLLATE "C"` |
//!
//! `ESCAPE ''` is there because PostgreSQL takes a backslash for an escape, `"C"` because its
//! `ILIKE` otherwise depends on how the database was created. SQLite's `PRAGMA case_sensitive_like`
//! would do without `GLOB`, but it is deprecated, and it is one setting for both operators.

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

/// The most bytes in a filter or in one text of an order: three lists of [`MAX_VALUES`] run
/// identifiers fit.
pub const MAX_BYTES: usize = 64 << 10;

/// The most clauses in a filter. SQLite joins at most 64 tables, which leaves room for [`MAX_KEYS`]
/// and the record's own.
pub const MAX_CLAUSES: usize = 40;

/// The most keys in an order.
pub const MAX_KEYS: usize = 10;

/// The most values in a list. Each becomes a parameter of the statement, of which SQLite allows
/// 32,766.
pub const MAX_VALUES: usize = 500;

/// The most bytes in a pattern. Matching takes time in proportion to pattern times text, and SQLite
/// refuses patterns of more than 50,000 bytes. As a `GLOB`, a pattern is at most three times as
/// long.
pub const MAX_PATTERN_BYTES: usize = 2_000;
