//! Sources: data from outside, which the host reads.

use crate::bindings::stagewright::stage::sources as imported;
use crate::{Batch, Failure, Field, packed};

/// A reading of a source that the manifest granted, from its first row on.
pub trait Cursor {
    /// The columns, as the manifest's signature types them.
    fn fields(&self) -> Vec<Field>;
    /// The next rows, at most `rows`; `None` at the end.
    ///
    /// # Errors
    /// `data` for a value that does not fit its type: return it as it is.
    fn next(&mut self, rows: u32) -> Result<Option<Batch>, Failure>;
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
