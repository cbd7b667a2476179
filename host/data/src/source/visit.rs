//! Reads any source with the reader of its format.

use std::io::Read;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::source::address::SourceUri;
use crate::source::csv::CsvText;
use crate::source::file::{check_is_file, open_file};
use crate::source::memory::Place;
use crate::source::query::Source;
use crate::source::visitor::CellVisitor;
use crate::source::{parquet, sqlite};

/// Passes the cells of a source to the visitor until the source ends or the visitor has enough.
/// Call it on a thread that nobody must wait for
/// ([`on_reader_thread`](crate::source::on_reader_thread)) or in a process that can be killed: a
/// database may be busy for hours without checking the interrupt.
///
/// # Errors
/// Any [`DataError`]; [`DataError::Interrupted`] when interrupted.
pub(crate) fn visit(
    source: &Source,
    place: Place,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    source.check_query()?;
    match &source.uri {
        SourceUri::Csv { path, delimiter, header } => {
            let delimiter = delimiter.unwrap_or_else(|| SourceUri::delimiter_by_ending(path));
            let name = path.display().to_string();
            let text: Box<dyn Read> = match place {
                Place::Files => Box::new(open_file(path)?),
                place => place.text()?,
            };
            CsvText::new(text, name, delimiter, header.unwrap_or(true))?.visit(interrupt, visitor)
        }
        SourceUri::Sqlite { path, table } => {
            if matches!(place, Place::Files) {
                check_is_file(path)?;
            }
            sqlite::visit(path, place, table.as_deref(), source, interrupt, visitor)
        }
        SourceUri::Parquet { path } => {
            let pages = match place {
                Place::Files => parquet::ParquetBytes::File(open_file(path)?),
                Place::Memory(memory) => parquet::ParquetBytes::Memory(memory.bytes().into()),
                Place::Stream(_) => return Err(Place::only_text()),
            };
            parquet::visit(path, pages, interrupt, visitor)
        }
    }
}
