//! WIT `sources`: external data, decoded by the host.

use stagewright_lifecycle::fault::StageFault;
use stagewright_store::packed;

use super::held::OpenCursor;
use super::{HostResult, StageHost};
use crate::batch;
use crate::bindings::stagewright::stage::types::{Batch, DataFault, Failure, Field, ParameterFault};
use crate::resource_types::Handle;

/// The most rows that a cursor decodes at once: these fit one batch at usual row widths.
const MAX_ROWS: usize = 65_536;

/// The most batches that a cursor keeps in memory: two that wait, one that is being decoded, and
/// the rest of the last. Each is charged at the size of the largest so far, so that the charge does
/// not depend on the speed of the reader.
const BATCHES_HELD: u64 = 4;

/// Returns a fault of the data as a failure for the guest. Other faults end the call.
fn failure(fault: StageFault) -> Result<Failure, StageFault> {
    match fault {
        StageFault::Data { message, column, row, value, .. } => {
            Ok(Failure::Data(DataFault { message, column, row, value }))
        }
        fault => Err(fault),
    }
}

impl StageHost {
    pub(crate) fn open_source(&mut self, source: String) -> HostResult<Handle> {
        self.account.check_time()?;
        let Some(sources) = self.sources.clone() else {
            let fault =
                ParameterFault { parameter: "source".into(), message: "this stage was granted no source".into() };
            return Ok(Err(Failure::Parameter(fault)));
        };
        self.account.open_cursor()?;
        match sources.open(&source) {
            Ok(cursor) => Ok(Ok(self.insert(OpenCursor { cursor, rest: None, largest: 0, held: 0, given: 0 })?)),
            Err(fault) => {
                self.account.close_cursor();
                Ok(Err(failure(fault)?))
            }
        }
    }

    pub(crate) fn cursor_fields(&self, cursor: Handle) -> Result<Vec<Field>, StageFault> {
        Ok(batch::fields_out(self.held.get::<OpenCursor>(cursor)?.cursor.schema().fields()))
    }

    pub(crate) fn next_rows(&mut self, cursor: Handle, rows: u32) -> HostResult<Option<Batch>> {
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
        // A slice keeps its whole batch in memory. All columns of a batch from a decoder process
        // lie in one allocation.
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
