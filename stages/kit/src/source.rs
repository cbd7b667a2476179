//! External data, which the host reads and decodes.

use crate::bindings::stagewright::stage::sources as imported;
use crate::{Batch, Failure, Field, TableWriter, packed};

/// A source that is read from its first row on.
pub trait Cursor {
    /// Returns the columns, as the signature in the manifest types them.
    fn fields(&self) -> Vec<Field>;
    /// Returns the next rows, at most `rows`, or `None` at the end.
    ///
    /// # Errors
    /// `data` if a value does not fit its column's type. Return this failure unchanged.
    fn next(&mut self, rows: u32) -> Result<Option<Batch>, Failure>;
    /// Copies the next rows, at most `rows`, to a table with the same columns. Returns the number
    /// of rows, or `None` at the end. The host's cursor passes them on without decoding, which
    /// costs a fraction of reading and writing them.
    ///
    /// # Errors
    /// As for [`Cursor::next`] and [`TableWriter::write`].
    fn copy(&mut self, rows: u32, table: &mut TableWriter) -> Result<Option<u32>, Failure> {
        let Some(batch) = self.next(rows)? else { return Ok(None) };
        let copied = batch.rows;
        table.write(batch)?;
        Ok(Some(copied))
    }
}

/// The host's cursor, and the fields of its batches.
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
/// `parameter` if the manifest does not grant the source. Natively, this always fails: tests use a
/// [`Cursor`] of their own.
pub fn open(source: &str) -> Result<Box<dyn Cursor>, Failure> {
    if cfg!(target_arch = "wasm32") {
        let cursor = imported::open(source)?;
        let fields = cursor.fields();
        return Ok(Box::new(HostCursor { cursor, fields }));
    }
    Err(Failure::parameter("source", "there are no sources natively"))
}
