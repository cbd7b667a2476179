//! Delimited text, from a file or the body of a request.
//!
//! Owns headers and error messages; [`super::csv_records`] splits the text into cells.

use std::io::Read;
use std::path::Path;

use crate::cell::Cell;
use crate::dialect::{Dialect, Quote, Style};
use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;
use crate::source::CellVisitor;
use crate::source::broken_text::unreadable_text;
use crate::source::csv_records::{MAX_CELLS, RecordError, Records};
use crate::source::file_format::recognise;

/// Rows between two checks of the interrupt.
const ROWS_PER_LOOK: u64 = 4096;

/// A CSV text whose header has been read.
pub(crate) struct CsvText<R> {
    records: Records<R>,
    /// The name of the text in errors: its path.
    name: String,
    columns: Vec<String>,
    /// How values are written, if it is not as usual.
    style: Option<Style>,
}

impl<'a> CsvText<&'a [u8]> {
    /// As [`CsvText::new`], for the text of a request: a header, and commas.
    pub(crate) fn of_request(text: &'a [u8], name: String) -> Result<Self, DataError> {
        Self::of_records(Records::new(text, b',').of_length(text.len()), name, true, None)
    }
}

impl<R: Read> CsvText<R> {
    /// Reads the header; without one, numbers the columns of the first record.
    pub(crate) fn new(input: R, name: String, delimiter: u8, has_header: bool) -> Result<Self, DataError> {
        Self::of_records(Records::new(input, delimiter), name, has_header, None)
    }

    /// As [`CsvText::new`], in a dialect.
    pub(crate) fn in_dialect(
        input: R,
        name: String,
        delimiter: u8,
        has_header: bool,
        dialect: &Dialect,
    ) -> Result<Self, DataError> {
        let quote = match dialect.quote {
            None => Some(b'"'),
            Some(Quote::None) => None,
            Some(Quote::Character(quote)) => Some(quote),
        };
        let comment = dialect.comment.and_then(|comment| u8::try_from(comment).ok());
        let records = Records::new(input, delimiter).with_quote(quote).with_comment(comment);
        Self::of_records(records, name, has_header, Style::of(dialect))
    }

    fn of_records(
        mut records: Records<R>,
        name: String,
        has_header: bool,
        style: Option<Style>,
    ) -> Result<Self, DataError> {
        match records.head() {
            Ok(head) => {
                if let Some(found) = recognise(head) {
                    return Err(found.error(Path::new(&name)));
                }
            }
            Err(error) => return Err(in_words(error, &name, &[], None)),
        }
        let columns = match records.next() {
            Ok(Some(record)) if has_header => Ok(record.to_strings()),
            Ok(Some(record)) => Ok((0..record.len()).map(|index| format!("column_{index}")).collect()),
            Ok(None) => return Err(DataFault::new("the text is empty: it has not even a header line").into()),
            Err(error) => Err(error),
        };
        let columns = columns.map_err(|error| in_words(error, &name, &[], None))?;
        if !has_header {
            records.put_back();
        }
        Ok(Self { records, name, columns, style })
    }

    /// Passes all cells to the visitor.
    pub(crate) fn visit(mut self, interrupt: &Interrupt, visitor: &mut impl CellVisitor) -> Result<(), DataError> {
        let places = visitor.columns(&self.columns)?;
        let mut row = 0;
        loop {
            if row % ROWS_PER_LOOK == 0 && interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            let record = match self.records.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(error) => return Err(in_words(error, &self.name, &self.columns, Some(row))),
            };
            if record.len() != self.columns.len() {
                let fault = uneven(record.len(), self.columns.len()).in_row(row).on_line(record.line);
                if !visitor.uneven_row(fault)? {
                    return Ok(());
                }
                row += 1;
                continue;
            }
            for (column, &place) in places.iter().enumerate() {
                let passed = match &self.style {
                    None => visitor.cell(column, Cell::Text(record.cell(place))),
                    Some(style) => visitor.styled(column, record.cell(place), style),
                };
                passed.map_err(|fault| DataError::from(fault.on_line(record.line)))?;
            }
            if !visitor.end_rows(1)? {
                return Ok(());
            }
            row += 1;
        }
    }
}

fn uneven(found: usize, wanted: usize) -> DataFault {
    let hint =
        if found < wanted { "the file may be truncated" } else { "a cell with the delimiter in it needs quotes" };
    DataFault::new(format!("the line has {found} cells, the header has {wanted}\nhint: {hint}"))
}

fn in_words(error: RecordError, name: &str, columns: &[String], row: Option<u64>) -> DataError {
    let fault = match error {
        RecordError::Io(error) => return unreadable_text(name, error),
        RecordError::Unclosed { line } => {
            DataFault::new("the quote that opens here is never closed\nhint: the file may be truncated").on_line(line)
        }
        RecordError::AfterQuote { line } => {
            DataFault::new("text follows the closing quote of a cell\nhint: write a quote inside a quoted cell twice")
                .on_line(line)
        }
        RecordError::TooMany { line } => {
            let message = format!(
                "the record that begins here has more than {MAX_CELLS} cells\nhint: is the delimiter the right one?"
            );
            DataFault::new(message).on_line(line)
        }
        RecordError::TooLong { line } => {
            DataFault::new("the record that begins here is longer than 64 MiB\nhint: a quote may be missing")
                .on_line(line)
        }
        RecordError::NotUtf8 { line, cell } => {
            let fault = DataFault::new(
                "the text is not UTF-8\nhint: convert the file, e.g. `iconv -f WINDOWS-1252 -t UTF-8 FILE > FILE.utf8.csv`",
            );
            match columns.get(cell) {
                Some(column) => fault.in_column(column).on_line(line),
                None => fault.on_line(line),
            }
        }
    };
    DataError::from(match row {
        Some(row) => fault.in_row(row),
        None => fault,
    })
}
