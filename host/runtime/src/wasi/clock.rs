//! Virtual clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::HostWallClock;
use wasmtime_wasi::p2::bindings::clocks;
use wasmtime_wasi::p2::{DynPollable, Pollable, subscribe};

/// The advance of a clock at each reading, in nanoseconds.
const STEP: u64 = 1_000;

/// A clock that advances only when it is read.
#[derive(Debug, Clone)]
pub(crate) struct VirtualClock {
    start: Duration,
    elapsed: Arc<AtomicU64>,
}

impl VirtualClock {
    /// Creates a clock that starts `as_of` microseconds after the epoch, or at the epoch if
    /// negative.
    pub(crate) fn new(as_of: i64) -> Self {
        Self { start: Duration::from_micros(as_of.max(0) as u64), elapsed: Arc::default() }
    }

    /// Resets the clock to its start.
    pub(crate) fn restart(&self) {
        self.elapsed.store(0, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.elapsed.fetch_add(STEP, Ordering::Relaxed)
    }
}

impl HostWallClock for VirtualClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self) -> Duration {
        self.start + Duration::from_nanos(self.read())
    }
}

/// A timer that is ready as soon as the guest waits for it: the clock jumps to its end.
struct Timer {
    until: u64,
    elapsed: Arc<AtomicU64>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        self.elapsed.fetch_max(self.until, Ordering::Relaxed);
    }
}

/// The parts of a store's data that the monotonic clock needs.
pub(crate) struct ClockView<'a> {
    pub(crate) clock: &'a VirtualClock,
    pub(crate) table: &'a mut ResourceTable,
}

impl ClockView<'_> {
    fn timer(&mut self, until: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer { until, elapsed: self.clock.elapsed.clone() })?;
        subscribe(self.table, timer)
    }
}

impl clocks::monotonic_clock::Host for ClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = self.clock.elapsed.load(Ordering::Relaxed).saturating_add(duration);
        self.timer(until)
    }
}
