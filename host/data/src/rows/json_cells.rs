//! Cells of JSON apart from their names: rows of cells, or the cells of each column.

use crate::error::DataFault;
use crate::json::{self, Halt, Kind, NotJson, Raw, Scanner, Unread};
use crate::rows::RowsBuilder;

/// The most dimensions of the values of a tensor, below the array of all of them.
const MAX_DIMENSIONS: usize = 16;

/// How many more names than the signature has may come.
const MORE_NAMES: usize = 4096;

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
        let most = self.plan.names() + MORE_NAMES;
        json::read_array(columns.as_bytes(), "names of columns", |scanner| {
            if names.len() == most {
                let known = self.plan.columns();
                let message =
                    format!("there are more than {most} names of columns, and the model has {known} features");
                return Err(Halt::Fault(DataFault::new(message)));
            }
            names.push(column_name(scanner.value()?)?);
            Ok(())
        })?;
        let places = self.bind_each(&names);
        let mut cells = Vec::with_capacity(names.len());
        json::read_array(rows.as_bytes(), "rows", |scanner| {
            self.split_row(scanner, names.len(), places.as_deref(), &mut cells)
        })
    }

    /// Reads a row of cells. Without `places`, it is only read. `cells` has as many as there are
    /// columns, however many the row has.
    fn split_row<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        columns: usize,
        places: Option<&[usize]>,
        cells: &mut Vec<Raw<'a>>,
    ) -> Result<(), Halt> {
        cells.clear();
        let mut count = 0;
        let no_array = if scanner.peek() == Some(b'[') {
            scanner.elements(|scanner| {
                let value = scanner.value()?;
                if count < columns {
                    cells.push(value);
                }
                count += 1;
                Ok::<_, NotJson>(())
            })?;
            None
        } else {
            Some(scanner.value()?)
        };
        self.begin_row()?;
        let row = self.decoder.rows();
        if let Some(value) = no_array {
            self.collect(DataFault::of_value(value.text, "is not an array of values").in_row(row as u64));
        } else if count != columns {
            let message = format!("the row has {count} values, and there are {columns} columns");
            self.collect(DataFault::new(message).in_row(row as u64));
        } else if !self.is_done() {
            for (column, place) in places.into_iter().flatten().enumerate() {
                self.column_value(row, column, cells[*place]);
            }
        }
        self.decoder.end_row();
        Ok(())
    }

    /// Appends `rows` rows whose values follow each other, row by row: one for each feature, in the
    /// signature's order. An array among them is a dimension.
    ///
    /// # Errors
    /// [`Unread`] if the text is not JSON, not an array, or has another number of values.
    pub(crate) fn append_matrix(&mut self, rows: usize, values: &str) -> Result<(), Unread> {
        self.check_rows(rows);
        if self.excess.is_some() {
            return Ok(());
        }
        let (plan, columns) = (self.plan, self.plan.columns());
        let wanted = rows.saturating_mul(columns);
        let mut found = 0;
        let mut take = |value: Raw<'_>| {
            if found < wanted && !self.is_done() {
                let (row, column) = (found / columns, found % columns);
                self.decode_json(row, column, value);
                for (kept, _) in plan.kept.iter().enumerate().filter(|(_, kept)| kept.slot == column) {
                    self.keep_json(row, kept, Some(value));
                }
            }
            found += 1;
            Ok(())
        };
        json::read_array(values.as_bytes(), "values", |scanner| each_value(scanner, Some(MAX_DIMENSIONS), &mut take))?;
        if found != wanted {
            let message = format!("there are {found} values, and {rows} rows of {columns} features need {wanted}");
            return Err(Unread::Fault(DataFault::new(message)));
        }
        self.decoder.end_rows(rows);
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
            let dimensions = is_tensor.then_some(MAX_DIMENSIONS);
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
        match self.kept_in(column) {
            None => self.decode_json(row, column, value),
            Some(kept) => self.keep_json(row, kept, Some(value)),
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

/// Reads a value, or with `dimensions` the values of an array that has at most so many. Without
/// them, an array is a value itself.
fn each_value<'a>(
    scanner: &mut Scanner<'a>,
    dimensions: Option<usize>,
    take: &mut impl FnMut(Raw<'a>) -> Result<(), Halt>,
) -> Result<(), Halt> {
    let Some(left) = dimensions.filter(|_| scanner.peek() == Some(b'[')) else { return take(scanner.value()?) };
    let left = left
        .checked_sub(1)
        .ok_or_else(|| Halt::Fault(DataFault::new(format!("the values have more than {MAX_DIMENSIONS} dimensions"))))?;
    scanner.elements(|scanner| each_value(scanner, Some(left), take))
}
