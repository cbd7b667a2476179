//! What the host keeps for one instance: its handles, its clock, its budget.
//!
//! A store holds one [`Guest`], lives for one call of the lifecycle (a fresh store per stage run) and is dropped after it, with everything the guest
//! left open. Budgets are the stage's: several instances of a stage add to the same meter.

use std::sync::Arc;
use std::time::Duration;

use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::engine::EngineOptions;
use crate::wasi::{self, VirtualClock, Written};

/// Handles that a guest may hold at once (tables, blobs, cursors, pollables), both in the host's table and in the component's.
pub(crate) const MAX_HANDLES: usize = 10_000;

/// Bytes that one call may lift out of a guest: a batch of 8 MiB, its list headers, and some room.
const HOSTCALL_BYTES: usize = 32 << 20;

/// Elements of all of an instance's tables (function pointers; a Python runtime has some 20,000).
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Core instances, memories and tables of one component. componentize-py's linked libraries need some 20 instances.
const MAX_INSTANCES: usize = 100;

/// The host's side of one instance.
pub(crate) struct Guest {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) clock: VirtualClock,
    pub(crate) written: Written,
    pub(crate) context: Arc<StageContext>,
    pub(crate) sources: Option<Arc<dyn stagewright_lifecycle::sandbox::Sources>>,
    memory: u64,
    elements: usize,
    mark: Option<Duration>,
}

/// This thread's CPU time.
fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Guest {
    pub(crate) fn stage(&self) -> &'static str {
        self.context.world.as_str()
    }

    /// Begins to charge CPU time.
    pub(crate) fn enter(&mut self) {
        self.mark = Some(thread_cpu());
    }

    /// Charges the CPU time since the last look, and goes on.
    fn charge(&mut self) {
        if let Some(mark) = self.mark {
            let now = thread_cpu();
            Meter::add(&self.context.meter.cpu_ns, now.saturating_sub(mark).as_nanos() as u64);
            self.mark = Some(now);
        }
    }

    /// Charges what is due and stops charging: the guest returned, or waits for another sandbox.
    pub(crate) fn leave(&mut self) {
        self.charge();
        self.mark = None;
    }

    /// A limit's fault.
    pub(crate) fn limit(&self, kind: LimitKind, used: u64, allowed: u64) -> StageFault {
        StageFault::Limit { stage: self.stage(), kind, used, allowed }
    }

    /// Charges CPU time and says whether a limit on time, or a wish to stop, ends this instance.
    pub(crate) fn check_time(&mut self) -> Result<(), StageFault> {
        self.charge();
        let limits = &self.context.limits;
        let cpu = Meter::get(&self.context.meter.cpu_ns);
        if cpu > limits.cpu.as_nanos() as u64 {
            return Err(self.limit(LimitKind::Cpu, cpu, limits.cpu.as_nanos() as u64));
        }
        let wall = self.context.meter.wall_ns();
        if wall > limits.wall.as_nanos() as u64 {
            return Err(self.limit(LimitKind::Wall, wall, limits.wall.as_nanos() as u64));
        }
        if self.context.cancel.is_cancelled() {
            return Err(StageFault::Cancelled { stage: self.stage() });
        }
        Ok(())
    }

    /// Counts bytes that go into an artifact.
    pub(crate) fn charge_output(&self, bytes: u64) -> Result<(), StageFault> {
        let written = Meter::add(&self.context.meter.output, bytes);
        if written > self.context.limits.output {
            return Err(self.limit(LimitKind::Output, written, self.context.limits.output));
        }
        Ok(())
    }
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory + (desired - current) as u64;
        if memory > self.context.limits.memory {
            return Err(self.limit(LimitKind::Memory, memory, self.context.limits.memory).into());
        }
        self.memory = memory;
        self.context.meter.peak_memory.fetch_max(memory, std::sync::atomic::Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.elements += desired - current;
        if self.elements > MAX_TABLE_ELEMENTS {
            let kind = LimitKind::Operator("table elements");
            return Err(self.limit(kind, self.elements as u64, MAX_TABLE_ELEMENTS as u64).into());
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_INSTANCES
    }

    fn memories(&self) -> usize {
        MAX_INSTANCES
    }
}

/// A store for one instance of a stage, with every limit on.
pub(crate) fn store(
    engine: &wasmtime::Engine,
    context: Arc<StageContext>,
    sources: Option<Arc<dyn stagewright_lifecycle::sandbox::Sources>>,
    options: EngineOptions,
) -> Store<Guest> {
    let clock = VirtualClock::new(context.as_of);
    let written = Written::default();
    let mut table = ResourceTable::new();
    table.set_max_capacity(MAX_HANDLES);
    let guest = Guest {
        table,
        wasi: wasi::context(context.seed, &clock, &written),
        clock,
        written,
        context,
        sources,
        memory: 0,
        elements: 0,
        mark: None,
    };
    let mut store = Store::new(engine, guest);
    if !options.without_limiter {
        store.limiter(|guest| guest);
    }
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store.set_max_component_handles(MAX_HANDLES);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().check_time()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}
