//! A table that the host writes for a step.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_store::{Table, TableWriter, packed};

use crate::fault::StageFault;
use crate::limits::{Meter, Watch};

/// A table that the host makes for a stage, in the stage's account.
pub(crate) struct HostTable {
    writer: TableWriter,
    meter: Arc<Meter>,
    watch: Watch,
}

impl HostTable {
    pub(super) fn new(writer: TableWriter, meter: Arc<Meter>, watch: Watch) -> Self {
        Self { writer, meter, watch }
    }

    /// Appends rows that count against the stage's output limit.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.watch.charge_output(packed::batch_bytes(rows, self.writer.schema()).map_err(StageFault::host)? as u64)?;
        self.append(rows)
    }

    /// Appends rows of a guest, of which the output was charged when they came.
    pub(crate) fn write_charged(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.append(rows)?;
        // All columns of a guest's batch lie in one allocation, which nobody counts from here on.
        self.writer.forget_batch();
        Ok(())
    }

    fn append(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.writer.write(rows).map_err(StageFault::host)?;
        Meter::add(&self.meter.cpu_ns, self.writer.take_other_threads_cpu_ns());
        self.watch.hold(self.writer.held_bytes())?;
        self.watch.look()
    }

    /// Ends the table.
    pub(crate) fn finish(self) -> Result<Table, StageFault> {
        self.watch.hold(self.writer.held_bytes() + self.writer.finishing_bytes())?;
        let (table, other_cpu_ns) = self.writer.finish_counted().map_err(StageFault::host)?;
        Meter::add(&self.meter.cpu_ns, other_cpu_ns);
        self.watch.look()?;
        Ok(table)
    }
}
