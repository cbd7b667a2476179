//! The rows of a server in a file: what the host keeps of an answer, and what is decoded.
//!
//! The host writes values without looking at them; a decoder reads them, which trusts neither the
//! server nor the file. `docs/formats/postgresql-rows.md` has the format.

use std::io::{ErrorKind, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use stagewright_store::MAX_BATCH_BYTES;

use super::held_type::HeldType;
use crate::cell::Cell;
use crate::error::{DataError, DataFault, shown};
use crate::interrupt::Interrupt;
use crate::source::visitor::CellVisitor;

/// The first bytes of such a file. The number is that of the format.
pub(super) const MAGIC: &[u8] = b"stagewright postgresql rows 1\n";
/// The longest description of the columns, in bytes.
const MAX_HEADER: u32 = 8 << 20;
/// The most bytes of a row: what crosses to a stage at once, and the lengths of 1600 columns, which
/// are the most that a table has.
pub(super) const MAX_ROW: usize = MAX_BATCH_BYTES + (64 << 10);
/// Stands for the length of a row after the last one.
const END: u32 = u32::MAX;
/// Stands for the length of a null.
const NULL: i32 = -1;
/// Rows that are read between two checks of the interrupt.
const ROWS_PER_LOOK: u64 = 4096;

const DAMAGED_HINT: &str = "fetch the rows again: run without `sha256`";

/// The description of the columns.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) columns: Vec<Column>,
}

/// A column of the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Column {
    pub(super) name: String,
    /// The type as the server calls it, such as `int4` or `text[]`.
    #[serde(rename = "type")]
    pub(super) type_name: String,
    /// The type whose values are cells; `None` if there is none.
    pub(super) held: Option<HeldType>,
}

/// Writes the beginning of a file.
#[cfg(any(feature = "postgres", test))]
pub(super) fn write_header(into: &mut dyn std::io::Write, header: &Header) -> std::io::Result<u64> {
    let json = serde_json::to_vec(header)?;
    let length = u32::try_from(json.len()).ok().filter(|length| *length <= MAX_HEADER);
    let length = length.ok_or_else(|| std::io::Error::other("the names of the columns are too long"))?;
    into.write_all(MAGIC)?;
    into.write_all(&length.to_le_bytes())?;
    into.write_all(&json)?;
    Ok(MAGIC.len() as u64 + 4 + u64::from(length))
}

/// Writes the end of a file. One without it is damaged.
#[cfg(any(feature = "postgres", test))]
pub(super) fn write_end(into: &mut dyn std::io::Write) -> std::io::Result<()> {
    into.write_all(&END.to_le_bytes())
}

/// A row that is being put together: its length and its cells, as they are in the file.
#[cfg(any(feature = "postgres", test))]
#[derive(Debug, Default)]
pub(super) struct RowBytes(Vec<u8>);

#[cfg(any(feature = "postgres", test))]
impl RowBytes {
    /// Begins a row.
    pub(super) fn clear(&mut self) {
        self.0.clear();
        self.0.extend([0; 4]);
    }

    /// Appends a value; `None` for null.
    pub(super) fn push(&mut self, value: Option<&[u8]>) -> Result<(), std::num::TryFromIntError> {
        let length = value.map_or(Ok(NULL), |value| i32::try_from(value.len()))?;
        self.0.extend(length.to_be_bytes());
        self.0.extend(value.unwrap_or_default());
        Ok(())
    }

    /// Ends the row and returns its bytes; `None` if there are too many.
    pub(super) fn finished(&mut self) -> Option<&[u8]> {
        let length = self.0.len() - 4;
        let bytes = u32::try_from(length).ok().filter(|_| length <= MAX_ROW)?.to_le_bytes();
        self.0[..4].copy_from_slice(&bytes);
        Some(&self.0)
    }
}

/// Passes the cells of a file to the visitor.
pub(crate) fn visit(
    path: &Path,
    mut file: Box<dyn Read>,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let columns = header(path, &mut *file)?.columns;
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let unheld = columns.iter().enumerate().filter(|(_, column)| column.held.is_none());
    let unheld: Vec<(usize, String)> = unheld.map(|(place, column)| (place, not_held(column))).collect();
    let places = visitor.columns_but(&names, &unheld)?;
    let types = places.iter().map(|&place| {
        let column = &columns[place];
        let hint = format!("cast it in a query, `{}::text`, or leave it out of the signature", quoted(&column.name));
        let fault = || DataFault::new(format!("{}\nhint: {hint}", not_held(column))).in_column(&column.name);
        column.held.ok_or_else(|| DataError::from(fault()))
    });
    let types: Vec<HeldType> = types.collect::<Result<_, _>>()?;
    let (mut bytes, mut cells, mut text) = (Vec::new(), vec![None; columns.len()], String::new());
    let mut number = 0;
    loop {
        if number % ROWS_PER_LOOK == 0 && interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        if !next_row(&mut *file, &mut bytes).map_err(|problem| damaged(path, problem))? {
            return Ok(());
        }
        let row = cells_of(&bytes, &mut cells).ok_or_else(|| damaged(path, "a row contradicts itself"))?;
        for (column, (&place, held)) in places.iter().zip(&types).enumerate() {
            let cell = match &row[place] {
                Some(range) => held.cell(&bytes[range.clone()], &mut text),
                None => Ok(Cell::Null),
            };
            let cell = cell.map_err(|fault| fault.in_column(&names[place]).in_row(number))?;
            visitor.cell(column, cell).map_err(DataError::Fault)?;
        }
        number += 1;
        if !visitor.end_rows(1)? {
            return Ok(());
        }
    }
}

fn not_held(column: &Column) -> String {
    format!("its type is {}, which tables do not hold", shown(&column.type_name))
}

fn quoted(name: &str) -> String {
    shown(&format!("\"{}\"", name.replace('"', "\"\"")))
}

fn damaged(path: &Path, problem: &str) -> DataError {
    DataError::unreadable(path, format!("these are no rows of PostgreSQL: {problem}"), DAMAGED_HINT)
}

fn header(path: &Path, file: &mut dyn Read) -> Result<Header, DataError> {
    let cut = |_| damaged(path, "the file is cut off");
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(cut)?;
    if magic != MAGIC {
        return Err(damaged(path, "the file begins in another way"));
    }
    let mut length = [0; 4];
    file.read_exact(&mut length).map_err(cut)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(damaged(path, "the description of its columns is too long"));
    }
    let mut json = Vec::new();
    file.take(length.into()).read_to_end(&mut json).map_err(cut)?;
    serde_json::from_slice(&json).map_err(|_| damaged(path, "its columns are not described"))
}

/// Reads the bytes of the next row; returns whether there is one.
fn next_row(file: &mut dyn Read, bytes: &mut Vec<u8>) -> Result<bool, &'static str> {
    let cut = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => "the file is cut off",
        _ => "it cannot be read to its end",
    };
    let mut length = [0; 4];
    file.read_exact(&mut length).map_err(cut)?;
    let length = match u32::from_le_bytes(length) {
        END => return Ok(false),
        length => usize::try_from(length).ok().filter(|length| *length <= MAX_ROW).ok_or("a row is too long")?,
    };
    bytes.resize(length, 0);
    file.read_exact(bytes).map_err(cut)?;
    Ok(true)
}

/// Finds the cells of a row; `None` if it has others than one for each column.
fn cells_of<'a>(
    bytes: &[u8],
    cells: &'a mut [Option<std::ops::Range<usize>>],
) -> Option<&'a [Option<std::ops::Range<usize>>]> {
    let mut at = 0;
    for cell in cells.iter_mut() {
        let length = i32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        at += 4;
        *cell = match length {
            NULL => None,
            length => {
                let end = at.checked_add(usize::try_from(length).ok()?)?;
                bytes.get(at..end)?;
                let range = at..end;
                at = end;
                Some(range)
            }
        };
    }
    (at == bytes.len()).then_some(cells)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Keeps the texts of the cells.
    #[derive(Default)]
    struct Seen(Vec<Vec<String>>, Vec<String>);

    impl CellVisitor for Seen {
        fn columns(&mut self, names: &[String]) -> Result<Vec<usize>, DataError> {
            Ok((0..names.len()).rev().collect())
        }

        fn cell(&mut self, _: usize, cell: Cell<'_>) -> Result<(), Box<DataFault>> {
            self.1.push(if cell == Cell::Null { "null".to_owned() } else { cell.with_text(str::to_owned) });
            Ok(())
        }

        fn end_rows(&mut self, _: usize) -> Result<bool, DataError> {
            self.0.push(std::mem::take(&mut self.1));
            Ok(true)
        }

        fn rows_at_once(&self) -> usize {
            1
        }
    }

    fn column(name: &str, type_name: &str) -> Column {
        Column { name: name.to_owned(), type_name: type_name.to_owned(), held: HeldType::of_name(type_name) }
    }

    fn file(columns: Vec<Column>, rows: &[&[Option<&[u8]>]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, &Header { columns }).unwrap();
        let mut row = RowBytes::default();
        for cells in rows {
            row.clear();
            cells.iter().for_each(|cell| row.push(*cell).unwrap());
            bytes.extend(row.finished().unwrap());
        }
        write_end(&mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Vec<Vec<String>>, String> {
        let mut seen = Seen::default();
        let file: Box<dyn Read> = Box::new(std::io::Cursor::new(bytes.to_vec()));
        visit(Path::new("rows"), file, &Interrupt::never(), &mut seen).map_err(|error| error.to_string())?;
        Ok(seen.0)
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        let columns = || vec![column("a", "int4"), column("b", "text")];
        let one = 1_i32.to_be_bytes();
        let bytes = file(columns(), &[&[Some(&one), Some(b"x")], &[None, Some(b"")]]);
        assert_eq!(read(&bytes).unwrap(), [["x", "1"], ["", "null"]]);
        assert_eq!(read(&file(columns(), &[])).unwrap(), Vec::<Vec<String>>::new());
        let error = read(&file(vec![column("tags", "text[]")], &[])).unwrap_err();
        assert!(error.contains("column `tags`") && error.contains("`\"tags\"::text`"), "{error}");
    }

    // invariant: Kept rows of a server that are cut off are an error, not fewer rows.
    #[test]
    fn a_file_that_is_cut_off_is_an_error_wherever_it_ends() {
        let one = 1_i32.to_be_bytes();
        let bytes = file(vec![column("a", "int4")], &[&[Some(&one)], &[None]]);
        for length in 0..bytes.len() {
            let error = read(&bytes[..length]).unwrap_err();
            assert!(error.contains("no rows of PostgreSQL") && error.contains("hint: "), "{length}: {error}");
        }
    }

    #[test]
    fn a_row_with_other_cells_than_columns_is_an_error() {
        let one = 1_i32.to_be_bytes();
        for cells in [&[][..], &[Some(&one[..]), None], &[Some(&one[..2])]] {
            assert!(read(&file(vec![column("a", "int4")], &[cells])).is_err(), "{cells:?}");
        }
        let mut row = RowBytes::default();
        row.clear();
        row.push(Some(&vec![0; MAX_ROW])).unwrap();
        assert_eq!(row.finished(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_after_the_head_are_rows_or_an_error(tail in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = file(vec![column("a", "numeric"), column("b", "text")], &[]);
            bytes.truncate(bytes.len() - 4);
            bytes.extend(tail);
            let _ = read(&bytes);
        }
    }
}
