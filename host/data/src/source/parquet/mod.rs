//! Parquet files, read with the `parquet` crate.
//!
//! Owns the checks before a page is read ([`check`]), the types that columns are read as so that no
//! value changes ([`read_types`]). [`arrow_cells`] turns Arrow's types into cells; `docs/types.md`
//! has a table. Only the requested columns are read.
//!
//! The `parquet` crate trusts files more than we do: some damaged files make it panic. What the
//! footer tells is checked first; a panic that remains becomes an error
//! ([`crate::source::catch_panic`]).

mod check;
mod file_bytes;
mod read_types;

use std::ops::Range;
use std::path::Path;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::source::CellVisitor;
use crate::source::arrow_cells;
use crate::source::arrow_rows::{self, Values, parts};
use crate::source::catch_panic::catch_panic;
pub(super) use file_bytes::ParquetBytes;
use read_types::Wanted;

/// Passes the cells of a file to the visitor, by column for some rows at a time.
pub(crate) fn visit(
    path: &Path,
    file: ParquetBytes,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    catch_panic(|| visit_file(path, file, interrupt, visitor))
        .unwrap_or_else(|panic| Err(check::damaged(path, &format!("its contents contradict each other ({panic})"))))
}

fn visit_file(
    path: &Path,
    file: ParquetBytes,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let broken = |error: ParquetError| check::damaged(path, &error);
    let length = check::ends(path, &file)?;
    let metadata = ArrowReaderMetadata::load(&file, Default::default()).map_err(broken)?;
    let names: Vec<String> = metadata.schema().fields().iter().map(|field| field.name().clone()).collect();
    let places = visitor.columns(&names)?;
    let types = places.iter().map(|place| (names[*place].as_str(), metadata.schema().field(*place).data_type()));
    visitor.types(&types.collect::<Vec<_>>())?;
    // The reader returns the selected columns once each and in the file's order.
    let mut in_file_order = places.clone();
    in_file_order.sort_unstable();
    in_file_order.dedup();
    check::columns(path, length, metadata.metadata(), &in_file_order)?;
    let columns = read_types::columns(&metadata, &in_file_order).map_err(|unfit| unfit.named(&names))?;
    let rows_at_once = check::rows_at_once(path, metadata.metadata(), &in_file_order, visitor.rows_at_once())?;
    let mut reader = Readers::open(&file, &metadata, &columns, rows_at_once).map_err(broken)?;
    let mut row = 0;
    while let Some((batch, seconds)) = reader.next().map_err(|error| check::damaged(path, &error))? {
        if interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        for part in parts(batch.columns(), batch.num_rows()) {
            if interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
            let (batch, seconds) = (cut(&batch, &part), seconds.as_ref().map(|seconds| cut(seconds, &part)));
            for (column, place) in places.iter().enumerate() {
                let read = in_file_order.binary_search(place).expect("every place is in the mask");
                let name = &names[*place];
                let mut values = Values { column, name, first: row, visitor };
                if let (Some(position), Some(seconds)) = (columns[read].int96, &seconds) {
                    arrow_cells::check_seconds(seconds.column(position))
                        .map_err(|(row, fault)| values.unfit(row, *fault))?;
                }
                arrow_cells::visit(batch.column(read), columns[read].is_uuid, &mut values)
                    .map_err(|error| arrow_rows::in_words(error, name))?;
            }
            row += batch.num_rows() as u64;
            if !visitor.end_rows(batch.num_rows())? {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn cut(batch: &RecordBatch, part: &Range<usize>) -> RecordBatch {
    batch.slice(part.start, part.len())
}

/// The reader of the columns and, if some are INT96, a second one that reads these as seconds.
///
/// An INT96 is a day and nanoseconds in it. Arrow's reader turns it into microseconds and wraps
/// around where they do not fit. As seconds every value fits, so the second reading shows whether
/// the first is right.
struct Readers {
    values: ParquetRecordBatchReader,
    seconds: Option<ParquetRecordBatchReader>,
}

impl Readers {
    fn open(
        file: &ParquetBytes,
        metadata: &ArrowReaderMetadata,
        columns: &[Wanted],
        rows_at_once: usize,
    ) -> Result<Self, ParquetError> {
        let read = |schema, places: &mut dyn Iterator<Item = usize>| {
            let options = parquet::arrow::arrow_reader::ArrowReaderOptions::new().with_schema(schema);
            let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)?;
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file.again()?, metadata);
            let mask = ProjectionMask::roots(builder.parquet_schema(), places);
            builder.with_projection(mask).with_batch_size(rows_at_once).build()
        };
        let values =
            read(read_types::schema(metadata, columns, false), &mut columns.iter().map(|column| column.place))?;
        let mut int96 = columns.iter().filter(|column| column.int96.is_some()).map(|column| column.place).peekable();
        let seconds = match int96.peek() {
            Some(_) => Some(read(read_types::schema(metadata, columns, true), &mut int96)?),
            None => None,
        };
        Ok(Self { values, seconds })
    }

    fn next(&mut self) -> Result<Option<(RecordBatch, Option<RecordBatch>)>, arrow_schema::ArrowError> {
        let values = self.values.next().transpose()?;
        let seconds = self.seconds.as_mut().and_then(Iterator::next).transpose()?;
        match (&values, &seconds) {
            (Some(values), Some(seconds)) if values.num_rows() != seconds.num_rows() => {
                Err(arrow_schema::ArrowError::ParquetError("its columns have different numbers of rows".to_owned()))
            }
            _ => Ok(values.map(|values| (values, seconds))),
        }
    }
}
