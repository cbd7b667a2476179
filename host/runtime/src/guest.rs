//! One instance of a stage: its virtual WASI, and the desk that answers its imports.
//!
//! A store holds one [`Guest`], lives for one call of the lifecycle (a fresh store per stage run)
//! and is dropped after it, with everything the guest left open.

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::ask::Host;
use crate::bounds::Bounds;
use crate::call::{Bound, Crash};
use crate::engine::EngineOptions;
use crate::wasi::{self, Randoms, VirtualClock, Written};

/// The host's side of one instance, wherever its desk is.
pub(crate) struct Guest<D> {
    /// WASI's resources: streams, pollables, stubs.
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) clock: VirtualClock,
    pub(crate) written: Written,
    randoms: Randoms,
    pub(crate) desk: D,
    bounds: Bounds,
    /// Elements of all Wasm tables.
    elements: usize,
}

impl<D> Guest<D> {
    /// The state that an instance starts with: its clocks at `as_of`, its random numbers from
    /// `seed`.
    pub(crate) fn new(desk: D, bounds: Bounds, seed: u64, as_of: i64) -> Self {
        let clock = VirtualClock::new(as_of);
        let written = Written::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(bounds.handles);
        let randoms = Randoms::new(seed);
        let wasi = wasi::context(&randoms, &clock, &written);
        Self { table, wasi, clock, written, randoms, desk, bounds, elements: 0 }
    }

    /// The same for the next instance, which finds nothing of this one.
    pub(crate) fn restarted(self, desk: D) -> Self {
        self.clock.restart();
        self.written.restart();
        self.randoms.restart();
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.bounds.handles);
        Self { table, desk, elements: 0, ..self }
    }
}

impl<D: Host> ResourceLimiter for Guest<D> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.desk.grow(current, desired, maximum)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.bounds.table_elements {
            return Err(Crash::Bound(Bound::TableElements, Some(elements as u64)).into());
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
pub(crate) fn store<D: Host>(engine: &Engine, options: EngineOptions, guest: Guest<D>) -> Store<Guest<D>> {
    let mut store = Store::new(engine, guest);
    if !options.without_limiter {
        store.limiter(|guest| guest);
    }
    store.set_hostcall_fuel(options.bounds.call_bytes);
    store.set_max_component_handles(options.bounds.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().desk.check_time()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}
