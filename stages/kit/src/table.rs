//! Tables: reading in batches, writing, and tables in memory for native tests.
//!
//! Stages take `&dyn Table`, so the same code reads the host's table in a component and a
//! [`MemoryTable`] in a test.

use std::cell::RefCell;

use crate::bindings::stagewright::stage::{tables as imported, types};
use crate::{Batch, Failure, Field, Role, packed};

/// The number of rows that [`Batches`] requests at a time. The host returns fewer where a batch
/// would exceed 8 MiB.
pub const ROWS_PER_BATCH: u32 = 65_536;

/// A table that a stage reads: the host's, or a [`MemoryTable`].
pub trait Table {
    /// Returns the columns.
    fn fields(&self) -> Vec<Field>;
    /// Returns the role of each column, in the order of `fields`.
    fn roles(&self) -> Vec<Role>;
    /// Returns the number of rows.
    fn rows(&self) -> u64;
    /// Returns at most `rows` rows from `start` on, and none only at the end. `columns` are indices
    /// into `fields`; `None` selects all.
    ///
    /// # Errors
    /// `internal` if `start` is past the end or a column does not exist.
    fn read(&self, start: u64, rows: u32, columns: Option<&[u32]>) -> Result<Batch, Failure>;
    /// Reads columns of numbers into a matrix. Column `i` of `columns` is written to
    /// `values[i * stride..]`, with NaN for null. Returns the number of rows read, at most `rows`.
    ///
    /// # Errors
    /// As for [`Table::read`]; `data` if a column is text.
    ///
    /// # Panics
    /// If `values` has no room for `rows` rows.
    fn read_numbers(
        &self,
        start: u64,
        rows: u32,
        columns: &[u32],
        values: &mut [f64],
        stride: usize,
    ) -> Result<u32, Failure> {
        let batch = self.read(start, rows, Some(columns))?;
        let length = batch.len();
        for (place, column) in batch.columns.into_iter().enumerate() {
            let numbers = column.into_numbers(length).ok_or_else(|| {
                let name = self.fields().swap_remove(columns[place] as usize).name;
                Failure::data("the column holds text, not numbers").in_column(name)
            })?;
            values[place * stride..][..length].copy_from_slice(&numbers);
        }
        Ok(length as u32)
    }
}

/// The host's table. It keeps selections of columns, since stages read the same few again and
/// again.
pub(crate) struct HostTable {
    table: imported::Table,
    fields: Vec<Field>,
    selections: RefCell<Vec<Selection>>,
}

struct Selection {
    columns: Vec<u32>,
    table: imported::Table,
    fields: Vec<Field>,
}

impl HostTable {
    pub(crate) fn new(table: imported::Table) -> Self {
        let fields = table.fields();
        Self { table, fields, selections: RefCell::default() }
    }

    /// Reads some columns and passes their fields and rows to `see`.
    fn read_selected<T>(
        &self,
        start: u64,
        rows: u32,
        columns: &[u32],
        see: impl FnOnce(&[Field], &types::Batch) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut selections = self.selections.borrow_mut();
        let place = match selections.iter().position(|selection| selection.columns == columns) {
            Some(place) => place,
            None => {
                let table = self.table.select(columns)?;
                let fields = columns.iter().map(|&column| self.fields[column as usize].clone()).collect();
                if selections.len() == SELECTIONS {
                    selections.remove(0);
                }
                selections.push(Selection { columns: columns.to_vec(), table, fields });
                selections.len() - 1
            }
        };
        let selection = &selections[place];
        see(&selection.fields, &selection.table.read(start, rows)?)
    }
}

/// The most selections that a table keeps. The host limits the handles of an instance.
const SELECTIONS: usize = 64;

impl Table for HostTable {
    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }
    fn roles(&self) -> Vec<Role> {
        self.table.roles()
    }
    fn rows(&self) -> u64 {
        self.table.rows()
    }
    fn read(&self, start: u64, rows: u32, columns: Option<&[u32]>) -> Result<Batch, Failure> {
        let Some(columns) = columns else {
            return packed::decode(&self.fields, &self.table.read(start, rows)?);
        };
        self.read_selected(start, rows, columns, packed::decode)
    }
    fn read_numbers(
        &self,
        start: u64,
        rows: u32,
        columns: &[u32],
        values: &mut [f64],
        stride: usize,
    ) -> Result<u32, Failure> {
        self.read_selected(start, rows, columns, |fields, batch| {
            packed::decode_into(fields, batch, values, stride)?;
            Ok(batch.rows)
        })
    }
}

impl<'t> dyn Table + 't {
    /// Returns the whole table in batches, in order. `columns` are as in [`Table::read`].
    pub fn batches<'a>(&'a self, columns: Option<&'a [u32]>) -> Batches<'a> {
        Batches { table: self, columns, start: 0, rows: self.rows() }
    }

    /// Returns the indices of the columns with a role, in order.
    pub fn columns_with(&self, role: Role) -> Vec<u32> {
        let roles = self.roles();
        (0..).zip(roles).filter(|(_, found)| *found == role).map(|(index, _)| index).collect()
    }

    /// Returns the index of the only column with a role, or `None` if there is none or more than
    /// one.
    pub fn column_with(&self, role: Role) -> Option<u32> {
        let columns = self.columns_with(role);
        (columns.len() == 1).then(|| columns[0])
    }

    /// Returns the index of the column called `name`.
    pub fn column_named(&self, name: &str) -> Option<u32> {
        (0..).zip(self.fields()).find(|(_, field)| field.name == name).map(|(index, _)| index)
    }
}

/// An iterator over the batches of a table.
pub struct Batches<'a> {
    table: &'a dyn Table,
    columns: Option<&'a [u32]>,
    start: u64,
    rows: u64,
}

impl Iterator for Batches<'_> {
    /// The index of the first row, and the rows.
    type Item = Result<(u64, Batch), Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.start >= self.rows {
            return None;
        }
        let start = self.start;
        let wanted = u32::try_from(self.rows - start).unwrap_or(u32::MAX).min(ROWS_PER_BATCH);
        let batch = match self.table.read(start, wanted, self.columns) {
            Ok(batch) if batch.rows > 0 => batch,
            Ok(_) => {
                self.start = self.rows;
                return Some(Err(Failure::internal(format!("a table of {} rows ended at row {start}", self.rows))));
            }
            Err(failure) => {
                self.start = self.rows;
                return Some(Err(failure));
            }
        };
        self.start += u64::from(batch.rows);
        Some(Ok((start, batch)))
    }
}

/// A table that a stage is writing: the host's in a component, in memory natively.
pub struct TableWriter(
    #[cfg(target_arch = "wasm32")] (imported::TableWriter, Vec<Field>),
    #[cfg(not(target_arch = "wasm32"))] MemoryTable,
);

/// A finished table, ready to be returned.
pub struct FinishedTable(#[cfg(target_arch = "wasm32")] HostTable, #[cfg(not(target_arch = "wasm32"))] MemoryTable);

#[cfg(target_arch = "wasm32")]
impl TableWriter {
    /// Creates a table with these columns.
    pub fn new(fields: &[Field]) -> Self {
        Self((imported::TableWriter::new(fields), fields.to_vec()))
    }

    /// Appends rows.
    ///
    /// # Errors
    /// `internal` if the batch does not fit the fields.
    pub fn write(&mut self, rows: Batch) -> Result<(), Failure> {
        let (writer, fields) = &self.0;
        writer.write(&packed::encode(fields, &rows)?)
    }

    /// Appends rows as the host laid them out.
    pub(crate) fn write_packed(&mut self, rows: &types::Batch) -> Result<(), Failure> {
        self.0.0.write(rows)
    }

    /// Finishes the table.
    ///
    /// # Errors
    /// Returns the host's failure.
    pub fn finish(self) -> Result<FinishedTable, Failure> {
        let table = imported::TableWriter::finish(self.0.0)?;
        Ok(FinishedTable(HostTable::new(table)))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl TableWriter {
    /// Creates a table with these columns.
    pub fn new(fields: &[Field]) -> Self {
        Self(MemoryTable::new(fields.iter().map(|field| (field.clone(), Role::Feature)), Vec::new()))
    }

    /// Appends rows.
    ///
    /// # Errors
    /// `internal` if the batch does not fit the fields.
    pub fn write(&mut self, rows: Batch) -> Result<(), Failure> {
        self.0.push(rows)
    }

    /// Finishes the table.
    ///
    /// # Errors
    /// None natively.
    pub fn finish(self) -> Result<FinishedTable, Failure> {
        Ok(FinishedTable(self.0))
    }
}

impl FinishedTable {
    /// Returns the table for the host.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn into_imported(self) -> imported::Table {
        self.0.table
    }

    /// Natively, there is no host.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn into_imported(self) -> imported::Table {
        unreachable!("only a component returns a table to the host")
    }
}

impl Table for FinishedTable {
    fn fields(&self) -> Vec<Field> {
        self.0.fields()
    }
    fn roles(&self) -> Vec<Role> {
        self.0.roles()
    }
    fn rows(&self) -> u64 {
        self.0.rows()
    }
    fn read(&self, start: u64, rows: u32, columns: Option<&[u32]>) -> Result<Batch, Failure> {
        self.0.read(start, rows, columns)
    }
}

/// A table in memory, for native tests. Reads end at the ends of its batches, so a test decides how
/// rows are chunked.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryTable {
    fields: Vec<Field>,
    roles: Vec<Role>,
    batches: Vec<Batch>,
}

impl MemoryTable {
    /// Creates a table of `batches`, whose columns are in the order of `fields`.
    pub fn new(fields: impl IntoIterator<Item = (Field, Role)>, batches: Vec<Batch>) -> Self {
        let (fields, roles) = fields.into_iter().unzip();
        Self { fields, roles, batches }
    }

    /// Appends rows.
    ///
    /// # Errors
    /// `internal` if the columns do not have the number and types of the table's.
    pub fn push(&mut self, rows: Batch) -> Result<(), Failure> {
        let fits = rows.columns.len() == self.fields.len()
            && rows.columns.iter().zip(&self.fields).all(|(column, field)| {
                column.data_type() == field.data_type && (field.nullable || column.null_count(rows.len()) == 0)
            });
        if !fits {
            return Err(Failure::internal("the batch does not fit the table's fields"));
        }
        self.batches.push(rows);
        Ok(())
    }
}

impl Table for MemoryTable {
    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }

    fn roles(&self) -> Vec<Role> {
        self.roles.clone()
    }

    fn rows(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.rows)).sum()
    }

    fn read(&self, start: u64, rows: u32, columns: Option<&[u32]>) -> Result<Batch, Failure> {
        let mut first = 0;
        for batch in &self.batches {
            let next = first + u64::from(batch.rows);
            if start < next {
                let from = (start - first) as usize;
                let to = batch.len().min(from + rows as usize);
                return batch.select(from..to, columns);
            }
            first = next;
        }
        if start > first {
            return Err(Failure::internal(format!("row {start} lies past the end of {first} rows")));
        }
        Ok(Batch::new(0, Vec::new()))
    }
}

impl Batch {
    /// Copies some rows and columns.
    ///
    /// # Errors
    /// `internal` if a column does not exist.
    ///
    /// # Panics
    /// If the rows do not exist.
    pub fn select(&self, rows: std::ops::Range<usize>, columns: Option<&[u32]>) -> Result<Self, Failure> {
        let every: Vec<u32>;
        let columns = match columns {
            Some(columns) => columns,
            None => {
                every = (0..self.columns.len() as u32).collect();
                &every
            }
        };
        let columns = columns
            .iter()
            .map(|&index| {
                let column = self.columns.get(index as usize);
                column
                    .map(|column| column.slice(rows.clone()))
                    .ok_or_else(|| Failure::internal(format!("there is no column {index}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self::new(rows.len() as u32, columns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, DataType};

    fn table() -> MemoryTable {
        let fields = [
            (Field::required("id", DataType::Int64), Role::Identifier),
            (Field::nullable("x", DataType::Float64), Role::Feature),
            (Field::required("y", DataType::Int64), Role::Target),
        ];
        let batch = |first: i64| {
            let x = Column::from(vec![first as f64, 0.0]).with_validity([true, false]);
            Batch::new(2, vec![vec![first, first + 1].into(), x, vec![0i64, 1].into()])
        };
        MemoryTable::new(fields, vec![batch(0), batch(2), batch(4)])
    }

    #[test]
    fn batches_cover_every_row_once_and_in_order() {
        let table = table();
        let table: &dyn Table = &table;
        let mut ids = Vec::new();
        for batch in table.batches(Some(&[0])) {
            let (start, batch) = batch.unwrap();
            assert_eq!(start, ids.len() as u64);
            ids.extend_from_slice(batch.columns[0].as_i64().unwrap());
        }
        assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn columns_are_found_by_role_and_by_name() {
        let table = table();
        let table: &dyn Table = &table;
        assert_eq!(table.columns_with(Role::Feature), [1]);
        assert_eq!(table.column_with(Role::Target), Some(2));
        assert_eq!(table.column_with(Role::Weight), None);
        assert_eq!(table.column_named("id"), Some(0));
    }

    #[test]
    fn a_matrix_has_the_rows_of_all_batches_column_by_column() {
        let matrix = crate::matrix(&table(), &[1, 0]).unwrap();
        assert_eq!(matrix.dim(), (6, 2));
        assert_eq!(matrix.column(1).to_vec(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(matrix[[2, 0]], 2.0);
        assert!(matrix[[3, 0]].is_nan());
        assert!(matrix.t().is_standard_layout());
    }

    #[test]
    fn features_target_and_weight_are_taken_by_their_roles() {
        let data = crate::FeatureMatrix::read(&table()).unwrap();
        assert_eq!(data.names, ["x"]);
        assert_eq!(data.target, [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(data.weight, None);
    }

    #[test]
    fn text_among_the_features_is_named() {
        let fields = [(Field::required("plan", DataType::Utf8), Role::Feature)];
        let table = MemoryTable::new(fields, vec![Batch::new(1, vec![Column::utf8([Some("a")])])]);
        let Err(Failure::Data(fault)) = crate::matrix(&table, &[0]) else { panic!("read") };
        assert_eq!(fault.column.as_deref(), Some("plan"));
    }

    #[test]
    fn a_writer_refuses_a_batch_that_does_not_fit_its_fields() {
        let mut writer = TableWriter::new(&[Field::required("x", DataType::Float64)]);
        assert!(writer.write(Batch::new(1, vec![vec![1i64].into()])).is_err());
        let null = Column::from(vec![1.0]).with_validity([false]);
        assert!(writer.write(Batch::new(1, vec![null])).is_err());
        writer.write(Batch::new(1, vec![vec![1.0].into()])).unwrap();
        assert_eq!(writer.finish().unwrap().rows(), 1);
    }
}
