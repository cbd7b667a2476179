//! The columns on which two tables are compared.

use arrow_array::RecordBatch;
use stagewright_store::{DataType, Field, Schema, Table};
use stagewright_text::Untrusted;

use crate::diff::named::Named;
use crate::diff::report::{ColumnChange, ColumnChangeKind};
use crate::error::DataVersionsError;

/// The columns of both tables, those of the key first.
#[derive(Debug)]
pub(super) struct Columns {
    /// The names of the key, as asked for.
    pub(super) names: Vec<String>,
    /// The columns that make a row the same, by their indices in both tables: the key, or all.
    pub(super) key: Vec<(usize, usize)>,
    /// The other columns, in the order of the second table.
    pub(super) others: Vec<(usize, usize)>,
    /// The columns that only one table has, or that have another type.
    pub(super) changes: Vec<ColumnChange>,
}

impl Columns {
    pub(super) fn of(before: Named<'_>, after: Named<'_>, names: &[String]) -> Result<Self, DataVersionsError> {
        let (old, new) = (before.table.schema(), after.table.schema());
        let key = names
            .iter()
            .map(|name| {
                let (one, other) = (index(before, name)?, index(after, name)?);
                let (one_field, other_field) = (&old.fields()[one], &new.fields()[other]);
                if is_comparable(one_field, other_field) {
                    return Ok((one, other));
                }
                let (before, after) = (one_field.data_type.to_string(), other_field.data_type.to_string());
                Err(DataVersionsError::KeyType { column: name.clone(), before, after })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let shared = (0..new.len()).filter_map(|other| {
            let field = &new.fields()[other];
            let one = old.index_of(&field.name)?;
            is_comparable(&old.fields()[one], field).then_some((one, other))
        });
        let (key, others) = if names.is_empty() {
            (shared.collect(), Vec::new())
        } else {
            let others = shared.filter(|pair| !key.contains(pair)).collect();
            (key, others)
        };
        Ok(Self { names: names.to_vec(), key, others, changes: changes(old, new) })
    }

    /// Returns the columns of a key of one table.
    pub(super) fn of_key(table: Named<'_>, names: &[String]) -> Result<Self, DataVersionsError> {
        let key = names.iter().map(|name| index(table, name).map(|at| (at, at))).collect::<Result<_, _>>()?;
        Ok(Self { names: names.to_vec(), key, others: Vec::new(), changes: Vec::new() })
    }

    /// Returns the columns of one table that are compared, those of the key first, chunk by chunk.
    /// Nothing is copied: the chunks are places in the mapped file.
    pub(super) fn batches(&self, table: &Table, is_first: bool) -> Result<Vec<RecordBatch>, DataVersionsError> {
        let pairs = self.key.iter().chain(&self.others);
        let indices: Vec<usize> = pairs.map(|(one, other)| if is_first { *one } else { *other }).collect();
        Ok(table.batches(Some(&indices)).collect::<Result<_, _>>()?)
    }
}

fn index(table: Named<'_>, name: &str) -> Result<usize, DataVersionsError> {
    let schema = table.table.schema();
    schema.index_of(name).ok_or_else(|| {
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
        let columns = Untrusted::new(&names.join(", ")).cut(400).to_string();
        DataVersionsError::NoKeyColumn { table: table.name.to_owned(), column: name.to_owned(), columns }
    })
}

fn is_comparable(one: &Field, other: &Field) -> bool {
    let is_text = |field: &Field| matches!(field.data_type, DataType::Utf8 | DataType::Categorical);
    one.data_type == other.data_type || (is_text(one) && is_text(other))
}

/// Returns the changes of the schema, in the order of the second table and then of the first.
fn changes(before: &Schema, after: &Schema) -> Vec<ColumnChange> {
    let text = |field: &Field| Some(field.data_type.to_string());
    let new = after.fields().iter().filter_map(|field| {
        let column = field.name.clone();
        match before.field(&field.name) {
            None => Some(ColumnChange { column, change: ColumnChangeKind::Added, before: None, after: text(field) }),
            Some(old) if old.data_type != field.data_type => {
                let (before, after) = (text(old), text(field));
                Some(ColumnChange { column, change: ColumnChangeKind::Retyped, before, after })
            }
            Some(_) => None,
        }
    });
    let gone = before.fields().iter().filter(|field| after.field(&field.name).is_none()).map(|field| ColumnChange {
        column: field.name.clone(),
        change: ColumnChangeKind::Removed,
        before: text(field),
        after: None,
    });
    new.chain(gone).collect()
}
