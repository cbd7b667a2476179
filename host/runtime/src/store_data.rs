//! The data of one instance's store: its virtual WASI, and the host that answers its imports.
//!
//! A store holds one instance and its [`StoreData`]. It is dropped with the instance, together with
//! all resources that the guest left open.

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::bounds::Bounds;
use crate::engine::EngineOptions;
use crate::export_call::{Crash, EngineLimit};
use crate::import_call::Host;
use crate::wasi::clock::VirtualClock;
use crate::wasi::output::CapturedOutput;
use crate::wasi::random::RandomNumbers;

/// The data of one instance's store.
pub(crate) struct StoreData<H> {
    /// The resources of WASI: streams, pollables, stubs.
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) clock: VirtualClock,
    pub(crate) output: CapturedOutput,
    random: RandomNumbers,
    pub(crate) host: H,
    bounds: Bounds,
    /// The number of elements of all Wasm tables.
    elements: usize,
}

impl<H> StoreData<H> {
    /// Creates the data for a new instance. Its clocks start at `as_of`, in microseconds since the
    /// epoch, and its random numbers come from `seed`.
    pub(crate) fn new(host: H, bounds: Bounds, seed: u64, as_of: i64) -> Self {
        let clock = VirtualClock::new(as_of);
        let output = CapturedOutput::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(bounds.handles);
        let random = RandomNumbers::new(seed);
        let wasi = crate::wasi::context(&random, &clock, &output);
        Self { table, wasi, clock, output, random, host, bounds, elements: 0 }
    }

    /// Resets the data for the next instance, which shares no state with this one.
    pub(crate) fn restarted(self, host: H) -> Self {
        self.clock.restart();
        self.output.restart();
        self.random.restart();
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.bounds.handles);
        Self { table, host, elements: 0, ..self }
    }
}

impl<H: Host> ResourceLimiter for StoreData<H> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.host.grow(current, desired, maximum)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > self.bounds.table_elements {
            return Err(Crash::OperatorLimit(EngineLimit::TableElements, Some(elements as u64)).into());
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

/// Creates a store for one instance, with every limit in force.
pub(crate) fn new_store<H: Host>(engine: &Engine, options: EngineOptions, data: StoreData<H>) -> Store<StoreData<H>> {
    let mut store = Store::new(engine, data);
    if !options.without_limiter {
        store.limiter(|data| data);
    }
    store.set_hostcall_fuel(options.bounds.call_bytes);
    store.set_max_component_handles(options.bounds.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().host.check_time()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}
