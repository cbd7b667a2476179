//! A table under a name.

use stagewright_store::Table;

/// A table, and how messages name it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The table.
    pub table: &'a Table,
    /// Its name: `customers@1.0.0`.
    pub name: &'a str,
}
