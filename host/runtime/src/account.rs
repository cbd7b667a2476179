//! The account of one instance: what it uses of its stage's budget. Several instances of a stage
//! add to the same meter.

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
    /// Bytes of linear memory. Never falls: a memory does not shrink.
    memory: u64,
    /// The same, as a part of what all guests of this process have.
    pub(crate) live: GuestMemory,
    /// Bytes that the host keeps for the guest from call to call: rows and categories of tables
    /// that it is making.
    held: u64,
    /// Tables and blobs begun.
    artifacts: usize,
    /// Cursors open now.
    cursors: usize,
    /// Cursors opened so far.
    openings: usize,
    mark: Option<CpuMark>,
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
        }
    }

    pub(crate) fn stage(&self) -> StepId {
        self.context.world.into()
    }

    /// Begins to charge CPU time, and time on the wall where that counts by call.
    pub(crate) fn enter(&mut self) {
        self.context.meter.wall.enter();
        self.mark = Some(CpuMark::now());
    }

    /// Charges the CPU time since the last look, and goes on.
    fn charge(&mut self) {
        if let Some(mark) = &mut self.mark {
            Meter::add(&self.context.meter.cpu_ns, mark.take());
        }
    }

    /// Charges what is due and stops charging: the guest returned, or waits for another sandbox.
    pub(crate) fn leave(&mut self) {
        self.charge();
        self.context.meter.wall.leave();
        self.mark = None;
    }

    /// Returns a limit's fault.
    pub(crate) fn limit(&self, kind: LimitKind, used: u64, allowed: u64) -> StageFault {
        StageFault::Limit { stage: self.stage(), kind, used, allowed }
    }

    /// Charges CPU time and says whether a limit on time, or a wish to stop, ends this instance.
    pub(crate) fn check_time(&mut self) -> Result<(), StageFault> {
        self.charge();
        self.context.check_time()
    }

    /// Returns a fault at one of the operator's limits, of which the guest wanted one more than it
    /// has.
    pub(crate) fn operator_limit(&self, name: &'static str, allowed: usize) -> StageFault {
        self.limit(LimitKind::Operator(name.into()), allowed as u64 + 1, allowed as u64)
    }

    /// Takes memory in the stage's account: the guest's own, and what the host keeps for it.
    fn check_memory(&self, memory: u64, held: u64) -> Result<(), StageFault> {
        self.context.meter.hold(self.context.world, &self.context.limits, memory.saturating_add(held))
    }

    /// Counts growth of the guest's memories. A memory cannot grow past its own `maximum`: then
    /// nothing is charged and the guest is told, by `false`.
    ///
    /// Growth that is allowed and fails all the same (the machine has no more) stays counted. A
    /// guest could provoke it, so giving it back would be a way around the limit.
    pub(crate) fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> Result<bool, StageFault> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        self.check_memory(memory, self.held)?;
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.take(memory);
        Ok(true)
    }

    /// Takes over how much memory an instance in another process says it has. It may lie; its
    /// process has limits that it cannot change.
    pub(crate) fn has_memory(&mut self, memory: u64) -> Result<(), StageFault> {
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

    /// Counts bytes that the host will keep for the guest from call to call. They are part of the
    /// guest's memory: else a writer that is never finished were a way around its limit.
    pub(crate) fn hold(&mut self, bytes: u64) -> Result<(), StageFault> {
        let held = self.held.saturating_add(bytes);
        self.check_memory(self.memory, held)?;
        self.held = held;
        Ok(())
    }

    /// Gives back bytes that were held.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Counts a table or a blob that the guest begins.
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

    /// Counts a cursor that the guest closed, or that could not be opened.
    pub(crate) fn close_cursor(&mut self) {
        self.cursors = self.cursors.saturating_sub(1);
    }

    /// Counts bytes that go into an artifact.
    pub(crate) fn charge_output(&self, bytes: u64) -> Result<(), StageFault> {
        self.context.meter.charge_output(self.context.world, &self.context.limits, bytes)
    }
}
