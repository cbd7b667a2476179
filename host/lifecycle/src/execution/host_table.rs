//! A table that the host writes for a step.

use std::sync::Arc;

use arrow_array::RecordBatch;
use stagewright_store::{Table, TableWriter, packed};

use crate::fault::StageFault;
use crate::limits::{Meter, Watch};

/// A table that the host writes for a stage. Its time, memory and bytes are charged to the stage.
pub(crate) struct HostTable {
    writer: TableWriter,
    meter: Arc<Meter>,
    watch: Watch,
}

impl HostTable {
    pub(super) fn new(writer: TableWriter, meter: Arc<Meter>, watch: Watch) -> Self {
        Self { writer, meter, watch }
    }

    /// Appends rows, and charges them to the stage's output limit.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.watch.charge_output(packed::batch_bytes(rows, self.writer.schema()).map_err(StageFault::host)? as u64)?;
        self.append(rows)
    }

    /// Appends rows of a guest, which were charged to the output limit when they arrived.
    pub(crate) fn write_charged(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.append(rows)?;
        // The columns of a guest's batch share one allocation, which is not counted from here on.
        self.writer.forget_batch();
        Ok(())
    }

    fn append(&mut self, rows: &RecordBatch) -> Result<(), StageFault> {
        self.writer.write(rows).map_err(StageFault::host)?;
        Meter::add(&self.meter.cpu_ns, self.writer.take_other_threads_cpu_ns());
        self.watch.hold(self.writer.held_bytes())?;
        self.watch.check()
    }

    /// Completes the table.
    pub(crate) fn finish(self) -> Result<Table, StageFault> {
        self.watch.hold(self.writer.held_bytes() + self.writer.finishing_bytes())?;
        let (table, other_cpu_ns) = self.writer.finish_counted().map_err(StageFault::host)?;
        Meter::add(&self.meter.cpu_ns, other_cpu_ns);
        self.watch.check()?;
        Ok(table)
    }
}
