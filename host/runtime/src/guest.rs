//! One instance of a stage: its virtual WASI, and the desk that answers its imports.
//!
//! A store holds one [`Guest`], lives for one call of the lifecycle (a fresh store per stage run)
//! and is dropped after it, with everything the guest left open.

use std::sync::Arc;

use stagewright_lifecycle::budget::GuestMemory;
use stagewright_lifecycle::fault::LimitKind;
use stagewright_lifecycle::sandbox::{Sources, StageContext};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::WasiCtx;

use crate::desk::Desk;
use crate::engine::EngineOptions;
use crate::wasi::{self, VirtualClock, Written};

/// The host's side of one instance.
pub(crate) struct Guest {
    /// WASI's resources: streams, pollables, stubs.
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) clock: VirtualClock,
    pub(crate) written: Written,
    pub(crate) desk: Desk,
    /// Elements of all Wasm tables.
    elements: usize,
    /// Bytes of all linear memories, as a part of what all guests have.
    pub(crate) memory: GuestMemory,
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let grows = self.desk.account.grow(current, desired, maximum)?;
        if grows {
            self.memory.grow(desired.saturating_sub(current) as u64);
        }
        Ok(grows)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let account = &self.desk.account;
        let most = account.bounds.table_elements;
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements > most {
            return Err(account
                .limit(LimitKind::Operator("table elements".into()), elements as u64, most as u64)
                .into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.desk.account.bounds.instances
    }

    fn tables(&self) -> usize {
        self.desk.account.bounds.instances
    }

    fn memories(&self) -> usize {
        self.desk.account.bounds.instances
    }
}

/// A store for one instance of a stage, with every limit on.
pub(crate) fn store(
    engine: &wasmtime::Engine,
    options: EngineOptions,
    context: Arc<StageContext>,
    sources: Option<Arc<dyn Sources>>,
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
        desk: Desk::new(context, options.bounds, sources),
        elements: 0,
        memory: options.budget.guest(),
    };
    let mut store = Store::new(engine, guest);
    if !options.without_limiter {
        store.limiter(|guest| guest);
    }
    store.set_hostcall_fuel(options.bounds.call_bytes);
    store.set_max_component_handles(options.bounds.handles);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|mut store| {
        store.data_mut().desk.account.check_time()?;
        Ok(UpdateDeadline::Continue(1))
    });
    store
}
