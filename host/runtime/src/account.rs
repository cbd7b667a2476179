//! The account of one instance: its share of the stage's limits. All instances of a stage add to
//! the same meter.

use std::sync::Arc;

use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::limits::CpuMark;
use stagewright_lifecycle::limits::GuestMemory;
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use stagewright_manifest::StepId;

use crate::bounds::Bounds;
use crate::engine::EngineOptions;

/// The account of one instance.
pub(crate) struct InstanceAccount {
    pub(crate) context: Arc<StageContext>,
    pub(crate) bounds: Bounds,
    /// Bytes of linear memory. A Wasm memory never shrinks.
    memory: u64,
    /// The same bytes, as a part of the memory of all guests of this process.
    pub(crate) live: GuestMemory,
    /// Bytes that the host holds for the guest between calls, such as the rows and categories of
    /// open table writers.
    held: u64,
    /// The number of tables and blobs that the instance has begun.
    artifacts: usize,
    /// The number of open cursors.
    cursors: usize,
    /// The number of cursors opened so far.
    openings: usize,
    mark: Option<CpuMark>,
    /// The mark of a thread that waits for another one.
    waiting: Option<CpuMark>,
}

impl InstanceAccount {
    pub(crate) fn new(context: Arc<StageContext>, options: EngineOptions) -> Self {
        let EngineOptions { bounds, budget, .. } = options;
        Self {
            context,
            bounds,
            memory: 0,
            live: budget.guest(),
            held: 0,
            artifacts: 0,
            cursors: 0,
            openings: 0,
            mark: None,
            waiting: None,
        }
    }

    pub(crate) fn stage(&self) -> StepId {
        self.context.world.into()
    }

    /// Starts charging CPU time, and wall time where that counts per call.
    pub(crate) fn enter(&mut self) {
        self.context.meter.wall.enter();
        self.mark = Some(CpuMark::now());
    }

    /// As [`InstanceAccount::enter`], where the CPU clock was read at this moment.
    pub(crate) fn enter_at(&mut self, mark: CpuMark) {
        self.context.meter.wall.enter();
        self.mark = Some(mark);
    }

    /// As [`InstanceAccount::leave`]. Returns this moment's mark, from which the next is charged.
    pub(crate) fn leave_for_next(&mut self) -> CpuMark {
        self.charge();
        self.context.meter.wall.leave();
        self.mark.take().unwrap_or_else(CpuMark::now)
    }

    /// Continues to charge on another thread, whose CPU clock is another. The thread before waits.
    pub(crate) fn begin_elsewhere(&mut self) {
        self.waiting = self.mark.replace(CpuMark::now());
    }

    /// Continues to charge on the thread before.
    pub(crate) fn end_elsewhere(&mut self) {
        self.charge();
        self.mark = self.waiting.take();
    }

    /// Charges the CPU time since the last reading.
    fn charge(&mut self) {
        if let Some(mark) = &mut self.mark {
            Meter::add(&self.context.meter.cpu_ns, mark.take());
        }
    }

    /// Charges the time since the last reading and stops charging: the guest returned, or waits for
    /// another sandbox.
    pub(crate) fn leave(&mut self) {
        self.charge();
        self.context.meter.wall.leave();
        self.mark = None;
    }

    /// Returns the fault of an exceeded limit.
    pub(crate) fn limit(&self, kind: LimitKind, used: u64, allowed: u64) -> StageFault {
        StageFault::Limit { stage: self.stage(), kind, used, allowed }
    }

    /// Charges CPU time and fails if a time limit is exceeded or the run is cancelled.
    pub(crate) fn check_time(&mut self) -> Result<(), StageFault> {
        self.charge();
        self.context.check_time()
    }

    /// Returns the fault of a guest that wanted one more than the operator allows.
    pub(crate) fn operator_limit(&self, name: &'static str, allowed: usize) -> StageFault {
        self.limit(LimitKind::Operator(name.into()), allowed as u64 + 1, allowed as u64)
    }

    /// Charges memory to the stage: the guest's own, and what the host holds for it.
    fn check_memory(&self, memory: u64, held: u64) -> Result<(), StageFault> {
        self.context.meter.hold(self.context.world, &self.context.limits, memory.saturating_add(held))
    }

    /// Charges growth of the guest's memories. Returns `false`, without a charge, if the memory
    /// would exceed its own `maximum`.
    ///
    /// Growth that is allowed but fails, since the machine has no memory left, stays charged. A
    /// guest could provoke such failures, so a refund would be a way around the limit.
    pub(crate) fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, StageFault> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        self.check_memory(memory, self.held)?;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.take(memory);
        Ok(true)
    }

    /// Charges the memory that an instance in a stage process reports. The process may lie, but the
    /// kernel's limits on it hold anyway.
    pub(crate) fn report_memory(&mut self, memory: u64) -> Result<(), StageFault> {
        if memory == self.memory {
            return Ok(());
        }
        self.check_memory(memory, self.held)?;
        self.take(memory);
        Ok(())
    }

    fn take(&mut self, memory: u64) {
        self.live.grow(memory.saturating_sub(self.memory));
        self.memory = self.memory.max(memory);
    }

    /// Charges bytes that the host will hold for the guest between calls. They count as the guest's
    /// memory; otherwise, a writer that is never finished would be a way around its limit.
    pub(crate) fn hold(&mut self, bytes: u64) -> Result<(), StageFault> {
        let held = self.held.saturating_add(bytes);
        self.check_memory(self.memory, held)?;
        self.held = held;
        Ok(())
    }

    /// Refunds bytes that the host no longer holds.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Counts a table or blob that the guest begins.
    pub(crate) fn begin_artifact(&mut self) -> Result<(), StageFault> {
        if self.artifacts >= self.bounds.artifacts {
            return Err(self.operator_limit("artifacts", self.bounds.artifacts));
        }
        let begun = Meter::add(&self.context.meter.artifacts, 1);
        if begun > self.bounds.stage_artifacts {
            let kind = LimitKind::Operator("artifacts of all instances".into());
            return Err(self.limit(kind, begun, self.bounds.stage_artifacts));
        }
        self.artifacts += 1;
        Ok(())
    }

    /// Counts a cursor that the guest opens.
    pub(crate) fn open_cursor(&mut self) -> Result<(), StageFault> {
        if self.cursors >= self.bounds.cursors {
            return Err(self.operator_limit("cursors", self.bounds.cursors));
        }
        if self.openings >= self.bounds.openings {
            return Err(self.operator_limit("openings of sources", self.bounds.openings));
        }
        self.cursors += 1;
        self.openings += 1;
        Ok(())
    }

    /// Uncounts a cursor that the guest closed or that could not be opened.
    pub(crate) fn close_cursor(&mut self) {
        self.cursors = self.cursors.saturating_sub(1);
    }

    /// Charges bytes that are written into an artifact.
    pub(crate) fn charge_output(&self, bytes: u64) -> Result<(), StageFault> {
        self.context.meter.charge_output(self.context.world, &self.context.limits, bytes)
    }
}
