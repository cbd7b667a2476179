//! What the host keeps for one instance: its handles, its clock, its budget.
//!
//! A store holds one [`Guest`], lives for one call of the lifecycle (a fresh store per stage run) and is dropped after it, with everything the guest
//! left open. Budgets are the stage's: several instances of a stage add to the same meter.

use std::sync::Arc;

use stagewright_lifecycle::cpu_clock::CpuMark;
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::bounds::Bounds;
use crate::engine::EngineOptions;
use crate::wasi::{self, VirtualClock, Written};

/// The host's side of one instance.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) clock: VirtualClock,
    pub(crate) written: Written,
    pub(crate) context: Arc<StageContext>,
    pub(crate) sources: Option<Arc<dyn stagewright_lifecycle::sandbox::Sources>>,
    pub(crate) bounds: Bounds,
    /// Bytes of linear memory. Never falls: a memory does not shrink.
    memory: u64,
    /// Bytes that the host keeps for the guest from call to call: rows and categories of tables that it is making.
    held: u64,
    elements: usize,
    /// Tables and blobs begun.
    artifacts: usize,
    /// Cursors open now.
    cursors: usize,
    /// Cursors opened so far.
    openings: usize,
    mark: Option<CpuMark>,
}

impl Guest {
    pub(crate) fn stage(&self) -> &'static str {
        self.context.world.as_str()
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

    /// A limit's fault.
    pub(crate) fn limit(&self, kind: LimitKind, used: u64, allowed: u64) -> StageFault {
        StageFault::Limit { stage: self.stage(), kind, used, allowed }
    }

    /// Charges CPU time and says whether a limit on time, or a wish to stop, ends this instance.
    pub(crate) fn check_time(&mut self) -> Result<(), StageFault> {
        self.charge();
        self.context.check_time()
    }

    /// A fault at one of the operator's limits, of which the guest wanted one more than it has.
    pub(crate) fn bound(&self, name: &'static str, allowed: usize) -> StageFault {
        self.limit(LimitKind::Operator(name), allowed as u64 + 1, allowed as u64)
    }

    /// Takes memory in the stage's account: the guest's own, and what the host keeps for it.
    fn check_memory(&self, memory: u64, held: u64) -> Result<(), StageFault> {
        self.context.meter.hold(self.stage(), &self.context.limits, memory.saturating_add(held))
    }

    /// Counts bytes that the host will keep for the guest from call to call. They are part of the guest's memory: else a writer that is never
    /// finished were a way around its limit.
    pub(crate) fn hold(&mut self, bytes: u64) -> Result<(), StageFault> {
        let held = self.held.saturating_add(bytes);
        self.check_memory(self.memory, held)?;
        self.held = held;
        Ok(())
    }

    /// Gives back what was held.
    pub(crate) fn release(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Counts a table or a blob that the guest begins.
    pub(crate) fn begin_artifact(&mut self) -> Result<(), StageFault> {
        if self.artifacts >= self.bounds.artifacts {
            return Err(self.bound("artifacts", self.bounds.artifacts));
        }
        let begun = Meter::add(&self.context.meter.artifacts, 1);
        if begun > self.bounds.stage_artifacts {
            let kind = LimitKind::Operator("artifacts of all instances");
            return Err(self.limit(kind, begun, self.bounds.stage_artifacts));
        }
        self.artifacts += 1;
        Ok(())
    }

    /// Counts a cursor that the guest opens.
    pub(crate) fn open_cursor(&mut self) -> Result<(), StageFault> {
        if self.cursors >= self.bounds.cursors {
            return Err(self.bound("cursors", self.bounds.cursors));
        }
        if self.openings >= self.bounds.openings {
            return Err(self.bound("openings of sources", self.bounds.openings));
        }
        self.cursors += 1;
        self.openings += 1;
        Ok(())
    }

    /// The guest closed one, or opening it failed.
    pub(crate) fn close_cursor(&mut self) {
        self.cursors = self.cursors.saturating_sub(1);
    }

    /// Counts bytes that go into an artifact.
    pub(crate) fn charge_output(&self, bytes: u64) -> Result<(), StageFault> {
        self.context.meter.charge_output(self.stage(), &self.context.limits, bytes)
    }
}

/// Growth that is allowed and fails all the same (the machine has no more) stays counted: giving it back could be provoked, and so be a way around the limit.
impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        self.check_memory(memory, self.held)?;
        // Past its own maximum, a memory cannot grow: the guest is told so, and nothing is charged.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.bounds.table_elements {
            let kind = LimitKind::Operator("table elements");
            return Err(self.limit(kind, elements as u64, self.bounds.table_elements as u64).into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.bounds.instances
    }

    fn tables(&self) -> usize {
        self.bounds.instances
    }

    fn memories(&self) -> usize {
        self.bounds.instances
    }
}

/// A store for one instance of a stage, with every limit on.
pub(crate) fn store(
    engine: &wasmtime::Engine,
    options: EngineOptions,
    context: Arc<StageContext>,
    sources: Option<Arc<dyn stagewright_lifecycle::sandbox::Sources>>,
) -> Store<Guest> {
    let clock = VirtualClock::new(context.as_of);
    let written = Written::default();
    let mut table = ResourceTable::new();
    table.set_max_capacity(options.bounds.handles);
    let guest = Guest {
        table,
        wasi: wasi::context(context.seed, &clock, &written),
        clock,
        written,
        context,
        sources,
        bounds: options.bounds,
        memory: 0,
        held: 0,
        elements: 0,
        artifacts: 0,
        cursors: 0,
        openings: 0,
        mark: None,
    };
    let mut store = Store::new(engine, guest);
    if !options.without_limiter {
        store.limiter(|guest| guest);
    }
    store.set_hostcall_fuel(options.bounds.call_bytes);
    store.set_max_component_handles(options.bounds.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().check_time()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}
