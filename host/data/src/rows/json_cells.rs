//! Cells of JSON apart from their names: rows of cells, or the cells of each column.

use crate::error::DataFault;
use crate::json::{self, Halt, Kind, Raw, Scanner, Unread};
use crate::rows::RowsBuilder;

/// The most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 16;

/// A column of values in JSON.
#[derive(Clone, Copy, Debug)]
pub struct JsonColumn<'a> {
    /// The name.
    pub name: &'a str,
    /// The JSON text of an array of the values.
    pub values: &'a str,
    /// Whether an array among the values is a dimension of a tensor, whose values count one by one.
    /// Otherwise it is a value itself.
    pub is_tensor: bool,
}

impl RowsBuilder<'_> {
    /// Appends rows of cells: `columns` is an array of names, `rows` an array with an array of
    /// values for each row.
    ///
    /// # Errors
    /// [`Unread`] if a text is not JSON, or not such an array.
    pub(crate) fn append_split(&mut self, columns: &str, rows: &str) -> Result<(), Unread> {
        let mut names = Vec::new();
        json::read_array(columns.as_bytes(), "names of columns", |scanner| {
            names.push(column_name(scanner.value()?)?);
            Ok(())
        })?;
        let places = self.bind_each(&names);
        let mut cells = Vec::with_capacity(names.len());
        json::read_array(rows.as_bytes(), "rows", |scanner| {
            self.split_row(scanner, names.len(), places.as_deref(), &mut cells)
        })
    }

    /// Reads a row of cells. Without `places`, it is only read.
    fn split_row<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        columns: usize,
        places: Option<&[usize]>,
        cells: &mut Vec<Raw<'a>>,
    ) -> Result<(), Halt> {
        cells.clear();
        let no_array = if scanner.peek() == Some(b'[') {
            scanner.elements(|scanner| scanner.value().map(|value| cells.push(value)))?;
            None
        } else {
            Some(scanner.value()?)
        };
        self.begin_row()?;
        let row = self.decoder.rows();
        if let Some(value) = no_array {
            self.collect(DataFault::of_value(value.text, "is not an array of values").in_row(row as u64));
        } else if cells.len() != columns {
            let message = format!("the row has {} values, and there are {columns} columns", cells.len());
            self.collect(DataFault::new(message).in_row(row as u64));
        } else if !self.is_done() {
            for (column, place) in places.into_iter().flatten().enumerate() {
                self.column_value(row, column, cells[*place]);
            }
        }
        self.decoder.end_row();
        Ok(())
    }

    /// Appends `rows` rows, given by column.
    ///
    /// # Errors
    /// [`Unread`] if the values of a column are not JSON, or not an array.
    pub(crate) fn append_columns(&mut self, rows: usize, columns: &[JsonColumn<'_>]) -> Result<(), Unread> {
        self.check_rows(rows);
        let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let places = self.bind_each(&names).filter(|_| self.excess.is_none());
        for (column, place) in places.into_iter().flatten().enumerate() {
            let JsonColumn { name, values, is_tensor } = columns[place];
            let mut found = 0;
            let mut take = |value: Raw<'_>| {
                if found < rows {
                    self.column_value(found, column, value);
                }
                found += 1;
                if self.is_done() { Err(Halt::Done) } else { Ok(()) }
            };
            let dimensions = if is_tensor { MAX_DIMENSIONS } else { 0 };
            let read =
                json::read_array(values.as_bytes(), "values", |scanner| each_value(scanner, dimensions, &mut take));
            read.map_err(|unread| unread.in_column(name))?;
            if found != rows && !self.is_done() {
                let message = format!("the field has {found} values, and there are {rows} rows");
                self.collect(DataFault::new(message).in_column(name).in_row(0));
            }
        }
        self.decoder.end_rows(rows);
        Ok(())
    }

    /// Decodes or keeps a value.
    fn column_value(&mut self, row: usize, column: usize, value: Raw<'_>) {
        match column.checked_sub(self.plan.columns()) {
            None => self.decode_json(row, column, value),
            Some(kept) => self.keep_json(kept, Some(value)),
        }
    }
}

fn column_name(name: Raw<'_>) -> Result<String, Halt> {
    if !matches!(name.kind, Kind::Plain | Kind::Escaped) {
        return Err(Halt::Fault(DataFault::of_value(name.text, "is not the name of a column")));
    }
    let unread = |error| Halt::Fault(DataFault::new(format!("the name of a column is not JSON: {error}")));
    name.string().map(Into::into).map_err(unread)
}

/// Reads a value, or the values in an array of at most this many dimensions.
fn each_value<'a>(
    scanner: &mut Scanner<'a>,
    dimensions: usize,
    take: &mut impl FnMut(Raw<'a>) -> Result<(), Halt>,
) -> Result<(), Halt> {
    if dimensions > 0 && scanner.peek() == Some(b'[') {
        scanner.elements(|scanner| each_value(scanner, dimensions - 1, take))
    } else {
        take(scanner.value()?)
    }
}
