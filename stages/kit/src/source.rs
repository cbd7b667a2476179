//! Sources: data from outside, which the host reads.

use crate::bindings::stagewright::stage::sources as imported;
use crate::{Batch, Failure, Field, TableWriter, packed};

/// A reading of a source that the manifest granted, from its first row on.
pub trait Cursor {
    /// The columns, as the manifest's signature types them.
    fn fields(&self) -> Vec<Field>;
    /// The next rows, at most `rows`; `None` at the end.
    ///
    /// # Errors
    /// `data` for a value that does not fit its type: return it as it is.
    fn next(&mut self, rows: u32) -> Result<Option<Batch>, Failure>;
    /// Copies the next rows, at most `rows`, with all columns, to a table that has as many columns
    /// of the same types; returns how many, `None` at the end. The host's cursor hands them over as
    /// they came, which costs a fraction of reading and writing them.
    ///
    /// # Errors
    /// As [`Cursor::next`] and [`TableWriter::write`].
    fn copy(&mut self, rows: u32, table: &mut TableWriter) -> Result<Option<u32>, Failure> {
        let Some(batch) = self.next(rows)? else { return Ok(None) };
        let copied = batch.rows;
        table.write(batch)?;
        Ok(Some(copied))
    }
}

/// The host's cursor, and what its batches look like.
struct HostCursor {
    cursor: imported::Cursor,
    fields: Vec<Field>,
}

impl Cursor for HostCursor {
    fn fields(&self) -> Vec<Field> {
        self.fields.clone()
    }
    fn next(&mut self, rows: u32) -> Result<Option<Batch>, Failure> {
        let batch = self.cursor.next(rows)?;
        batch.map(|batch| packed::decode(&self.fields, &batch)).transpose()
    }
    #[cfg(target_arch = "wasm32")]
    fn copy(&mut self, rows: u32, table: &mut TableWriter) -> Result<Option<u32>, Failure> {
        let Some(batch) = self.cursor.next(rows)? else { return Ok(None) };
        table.write_packed(&batch)?;
        Ok(Some(batch.rows))
    }
}

/// Opens a source by its name.
///
/// # Errors
/// `parameter` if the source was not granted. Natively there are none: tests hand a [`Cursor`] of their own.
pub fn open(source: &str) -> Result<Box<dyn Cursor>, Failure> {
    if cfg!(target_arch = "wasm32") {
        let cursor = imported::open(source)?;
        let fields = cursor.fields();
        return Ok(Box::new(HostCursor { cursor, fields }));
    }
    Err(Failure::parameter("source", "there are no sources natively"))
}
