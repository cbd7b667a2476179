//! WIT `sources`: data from outside, decoded by the host.

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::SourceCursor;
use wasmtime::component::Resource;

use crate::batch;
use crate::bindings::stagewright::stage::sources::{Host, HostCursor};
use crate::bindings::stagewright::stage::types::{Batch, DataFault, Failure, Field, ParameterFault};
use crate::guest::Guest;

/// Rows that a cursor decodes at once, at most: what fits a batch of the usual widths.
const MAX_ROWS: usize = 65_536;

/// Batches that a reading keeps at most: two that wait, one that is being made, and what is left of the
/// last. Charged by the largest so far, so that the figure does not hang on how fast the reader is.
const BATCHES_HELD: u64 = 4;

/// A reading of one source. Holds back what did not fit the last batch.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct CursorHandle {
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
fn failure(fault: StageFault) -> wasmtime::Result<Failure> {
    match fault {
        StageFault::Data { message, column, row, value, .. } => {
            Ok(Failure::Data(DataFault { message, column, row, value }))
        }
        fault => Err(fault.into()),
    }
}

impl Host for Guest {
    fn open(&mut self, source: String) -> wasmtime::Result<Result<Resource<CursorHandle>, Failure>> {
        self.check_time()?;
        let Some(sources) = self.sources.clone() else {
            let fault =
                ParameterFault { parameter: "source".into(), message: "this stage was granted no source".into() };
            return Ok(Err(Failure::Parameter(fault)));
        };
        self.open_cursor()?;
        match sources.open(&source) {
            Ok(cursor) => {
                Ok(Ok(self.table.push(CursorHandle { cursor, rest: None, largest: 0, held: 0, given: 0 })?))
            }
            Err(fault) => {
                self.close_cursor();
                Ok(Err(failure(fault)?))
            }
        }
    }
}

impl HostCursor for Guest {
    fn fields(&mut self, cursor: Resource<CursorHandle>) -> wasmtime::Result<Vec<Field>> {
        Ok(batch::fields_out(self.table.get(&cursor)?.cursor.schema().fields()))
    }

    fn next(&mut self, cursor: Resource<CursorHandle>, rows: u32) -> wasmtime::Result<Result<Option<Batch>, Failure>> {
        self.check_time()?;
        let stage = self.stage();
        let wanted = (rows as usize).clamp(1, MAX_ROWS);
        let handle = self.table.get_mut(&cursor)?;
        let rows = match handle.rest.take() {
            Some(rest) => rest,
            None => match handle.cursor.next(wanted) {
                Ok(None) => return Ok(Ok(None)),
                Ok(Some(rows)) => rows,
                Err(fault) => return Ok(Err(failure(fault)?)),
            },
        };
        let first = batch::within_cap(&rows.slice(0, rows.num_rows().min(wanted)), stage, handle.given)?;
        handle.given += first.num_rows() as u64;
        if first.num_rows() < rows.num_rows() {
            handle.rest = Some(rows.slice(first.num_rows(), rows.num_rows() - first.num_rows()));
        }
        // A part of a batch keeps the whole of it in memory.
        handle.largest = handle.largest.max(rows.get_array_memory_size() as u64);
        let (before, held) = (handle.held, BATCHES_HELD * handle.largest);
        handle.held = held;
        self.release(before);
        self.hold(held)?;
        Ok(Ok(Some(batch::outgoing(&first, &self.context)?)))
    }

    fn drop(&mut self, cursor: Resource<CursorHandle>) -> wasmtime::Result<()> {
        let handle = self.table.delete(cursor)?;
        self.release(handle.held);
        self.close_cursor();
        Ok(())
    }
}
