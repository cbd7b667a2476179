//! The account of a stage's or a model's process, as the jail sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stagewright_jail::{Account, Spent};
use stagewright_lifecycle::sandbox::{Cancel, Meter, StageContext};
use stagewright_manifest::Limits;

/// The account of a process, whose limits may change from call to call. It holds nothing else of a
/// stage, since the jail decides when to drop it.
pub(super) struct ProcessAccount {
    meter: Arc<Meter>,
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
    cancel: Cancel,
}

impl ProcessAccount {
    /// Creates the account of a process that works under the limits of a context.
    pub(super) fn new(context: &StageContext) -> Self {
        let (meter, cancel) = (context.meter.clone(), context.cancel.clone());
        let account = Self { meter, cpu_ns: AtomicU64::new(0), wall_ns: AtomicU64::new(0), cancel };
        account.set(&context.limits);
        account
    }

    /// Replaces the limits.
    pub(super) fn set(&self, limits: &Limits) {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.store(nanoseconds(limits.cpu), Ordering::Relaxed);
        self.wall_ns.store(nanoseconds(limits.wall), Ordering::Relaxed);
    }
}

impl Account for ProcessAccount {
    fn charge(&self, cpu: Duration) {
        Meter::add(&self.meter.cpu_ns, cpu.as_nanos() as u64);
    }

    /// Leaves out the time between calls, in which a process that does nothing is watched too.
    fn charge_watching(&self, cpu: Duration) {
        if self.meter.wall.is_running() {
            self.charge(cpu);
        }
    }

    fn cpu(&self) -> Spent {
        let allowed = Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed));
        Spent { used: Duration::from_nanos(Meter::get(&self.meter.cpu_ns)), allowed }
    }

    fn wall(&self) -> Spent {
        let allowed = Duration::from_nanos(self.wall_ns.load(Ordering::Relaxed));
        Spent { used: Duration::from_nanos(self.meter.wall_ns()), allowed }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(meter: Meter) -> ProcessAccount {
        let allowed = || AtomicU64::new(5_000_000);
        ProcessAccount { meter: Arc::new(meter), cpu_ns: allowed(), wall_ns: allowed(), cancel: Cancel::default() }
    }

    #[test]
    fn a_process_is_charged_for_being_watched_only_while_it_is_called() {
        let model = account(Meter::while_called());
        let (used, time) = (|| model.cpu().used, Duration::from_millis(17));
        model.charge_watching(time);
        assert_eq!(used(), Duration::ZERO, "it is idle");
        model.charge(time);
        assert_eq!(used(), time, "its own time counts at all times");
        model.meter.wall.enter();
        model.charge_watching(time);
        assert_eq!(used(), 2 * time);
        // A stage of a run is at work from its start to its end.
        let stage = account(Meter::default());
        stage.charge_watching(time);
        assert_eq!(stage.cpu().used, time);
    }
}
