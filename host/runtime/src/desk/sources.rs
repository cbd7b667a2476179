//! WIT `sources`: data from outside, decoded by the host.

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::SourceCursor;
use stagewright_store::packed;

use super::{Answer, Desk, Handle};
use crate::batch;
use crate::bindings::stagewright::stage::types::{Batch, DataFault, Failure, Field, ParameterFault};

/// Rows that a cursor decodes at once, at most: what fits a batch of the usual widths.
const MAX_ROWS: usize = 65_536;

/// Batches that a reading keeps at most: two that wait, one that is being made, and what is left of
/// the last. Charged by the largest so far, so that the figure does not hang on how fast the reader
/// is.
const BATCHES_HELD: u64 = 4;

/// A reading of one source. Holds back what did not fit the last batch.
pub(super) struct OpenCursor {
    cursor: Box<dyn SourceCursor>,
    rest: Option<arrow_array::RecordBatch>,
    /// The largest batch so far, in bytes.
    largest: u64,
    /// Bytes that the reading keeps in memory, as the guest is charged for them.
    held: u64,
    /// Rows handed out so far.
    given: u64,
}

/// A fault that the guest may see as its own failure; the others end the call.
fn failure(fault: StageFault) -> Result<Failure, StageFault> {
    match fault {
        StageFault::Data { message, column, row, value, .. } => {
            Ok(Failure::Data(DataFault { message, column, row, value }))
        }
        fault => Err(fault),
    }
}

impl Desk {
    pub(crate) fn open_source(&mut self, source: String) -> Answer<Handle> {
        self.account.check_time()?;
        let Some(sources) = self.sources.clone() else {
            let fault =
                ParameterFault { parameter: "source".into(), message: "this stage was granted no source".into() };
            return Ok(Err(Failure::Parameter(fault)));
        };
        self.account.open_cursor()?;
        match sources.open(&source) {
            Ok(cursor) => Ok(Ok(self.keep(OpenCursor { cursor, rest: None, largest: 0, held: 0, given: 0 })?)),
            Err(fault) => {
                self.account.close_cursor();
                Ok(Err(failure(fault)?))
            }
        }
    }

    pub(crate) fn cursor_fields(&self, cursor: Handle) -> Result<Vec<Field>, StageFault> {
        Ok(batch::fields_out(self.held.get::<OpenCursor>(cursor)?.cursor.schema().fields()))
    }

    pub(crate) fn next_rows(&mut self, cursor: Handle, rows: u32) -> Answer<Option<Batch>> {
        self.account.check_time()?;
        let stage = self.account.context.world;
        let wanted = (rows as usize).clamp(1, MAX_ROWS);
        let open: &mut OpenCursor = self.held.get_mut(cursor)?;
        let rows = match open.rest.take() {
            Some(rest) => rest,
            None => match open.cursor.next(wanted) {
                Ok(None) => return Ok(Ok(None)),
                Ok(Some(rows)) => rows,
                Err(fault) => return Ok(Err(failure(fault)?)),
            },
        };
        let first =
            batch::within_cap(&rows.slice(0, rows.num_rows().min(wanted)), open.cursor.schema(), stage, open.given)?;
        open.given += first.num_rows() as u64;
        if first.num_rows() < rows.num_rows() {
            open.rest = Some(rows.slice(first.num_rows(), rows.num_rows() - first.num_rows()));
        }
        // A part of a batch keeps the whole of it in memory; all columns of one that another
        // process decoded lie in one allocation.
        open.largest = open.largest.max(packed::held_bytes(&rows) as u64);
        let (before, held) = (open.held, BATCHES_HELD * open.largest);
        open.held = held;
        self.account.release(before);
        self.account.hold(held)?;
        let open: &OpenCursor = self.held.get(cursor)?;
        Ok(Ok(Some(batch::outgoing(&first, open.cursor.schema(), &self.account.context)?)))
    }

    pub(crate) fn drop_cursor(&mut self, cursor: Handle) -> Result<(), StageFault> {
        let open: OpenCursor = self.held.take(cursor)?;
        self.account.release(open.held);
        self.account.close_cursor();
        Ok(())
    }
}
