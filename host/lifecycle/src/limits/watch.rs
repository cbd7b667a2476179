//! The host's own work for a stage, as part of the stage's budget.
//!
//! The work of the host for a stage (splitting, encoding, hashing, measuring, rendering, writing)
//! takes the stage's CPU and wall time, and what it keeps of each row takes the stage's memory. So
//! every loop over rows looks at a [`Watch`] once for each batch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stagewright_data::Interrupt;
use stagewright_manifest::{Limits, StepId};

use crate::fault::{LimitKind, StageFault};
use crate::limits::CpuMark;
use crate::sandbox::{Cancel, Meter};

/// Looks after the time of one stage. Cheap to clone; for the stage's thread alone, whose time it
/// charges.
#[derive(Debug, Clone)]
pub struct Watch(Arc<Watched>);

#[derive(Debug)]
struct Watched {
    stage: StepId,
    limits: Limits,
    meter: Arc<Meter>,
    cancel: Cancel,
    mark: Mutex<CpuMark>,
}

impl Watch {
    /// Begins to charge this thread's CPU time to a meter.
    pub fn begin(stage: impl Into<StepId>, limits: Limits, meter: Arc<Meter>, cancel: Cancel) -> Self {
        Self(Arc::new(Watched { stage: stage.into(), limits, meter, cancel, mark: Mutex::new(CpuMark::now()) }))
    }

    /// Charges this thread's time since the last look.
    pub fn charge(&self) {
        // The only change under this lock is one assignment.
        let due = self.0.mark.lock().unwrap_or_else(PoisonError::into_inner).take();
        Meter::add(&self.0.meter.cpu_ns, due);
    }

    /// Charges what is due, and says whether a limit on time or a wish to stop ends the stage.
    ///
    /// # Errors
    /// [`StageFault::Limit`] or [`StageFault::Cancelled`].
    pub fn look(&self) -> Result<(), StageFault> {
        self.charge();
        self.0.meter.check_time(&self.0.stage, &self.0.limits, &self.0.cancel)
    }

    /// Records that the host keeps so many bytes for the stage at once. Calls do not add up, and a
    /// guest's own memory is counted beside it: the greatest of all is the stage's memory.
    ///
    /// # Errors
    /// [`StageFault::Limit`] if the stage may not have so much.
    pub fn hold(&self, bytes: u64) -> Result<(), StageFault> {
        self.0.meter.hold(&self.0.stage, &self.0.limits, bytes)
    }

    /// Records that the host keeps so many bytes for each row of a table at once.
    ///
    /// # Errors
    /// As for [`Watch::hold`].
    pub fn hold_rows(&self, rows: u64, bytes: u64) -> Result<(), StageFault> {
        self.hold(rows.saturating_mul(bytes))
    }

    /// Charges bytes that the host writes for the stage, before they are written.
    ///
    /// # Errors
    /// [`StageFault::Limit`] past the output limit.
    pub fn charge_output(&self, bytes: u64) -> Result<(), StageFault> {
        self.0.meter.charge_output(&self.0.stage, &self.0.limits, bytes)
    }

    /// Tells readers with threads of their own when to stop, and charges those threads' CPU time.
    pub fn interrupt(&self) -> Interrupt {
        let (watched, charged) = (self.0.clone(), self.0.meter.clone());
        Interrupt::when(move || watched.meter.check_time(&watched.stage, &watched.limits, &watched.cancel).is_err())
            .charging(move |nanoseconds| {
                Meter::add(&charged.cpu_ns, nanoseconds);
            })
    }

    /// Why work that was [interrupted](Watch::interrupt) ended early.
    pub fn interrupted(&self) -> StageFault {
        self.look().err().unwrap_or(StageFault::Cancelled { stage: self.0.stage.clone() })
    }
}

impl Meter {
    /// Says whether a limit on time or a wish to stop ends a stage.
    ///
    /// # Errors
    /// [`StageFault::Limit`] or [`StageFault::Cancelled`].
    pub fn check_time(&self, stage: impl Into<StepId>, limits: &Limits, cancel: &Cancel) -> Result<(), StageFault> {
        let past = |kind, used: u64, allowed: Duration| {
            let allowed = allowed.as_nanos() as u64;
            (used > allowed).then_some((kind, used, allowed))
        };
        let cpu = past(LimitKind::Cpu, Self::get(&self.cpu_ns), limits.cpu);
        if let Some((kind, used, allowed)) = cpu.or_else(|| past(LimitKind::Wall, self.wall_ns(), limits.wall)) {
            return Err(StageFault::Limit { stage: stage.into(), kind, used, allowed });
        }
        if cancel.is_cancelled() { Err(StageFault::Cancelled { stage: stage.into() }) } else { Ok(()) }
    }

    /// Charges bytes that go into an artifact.
    ///
    /// # Errors
    /// [`StageFault::Limit`] past the output limit.
    pub fn charge_output(&self, stage: impl Into<StepId>, limits: &Limits, bytes: u64) -> Result<(), StageFault> {
        let used = Self::add(&self.output, bytes);
        let allowed = limits.output;
        if used > allowed {
            return Err(StageFault::Limit { stage: stage.into(), kind: LimitKind::Output, used, allowed });
        }
        Ok(())
    }

    /// Records memory that somebody keeps for a stage.
    ///
    /// # Errors
    /// [`StageFault::Limit`] past the memory limit.
    pub fn hold(&self, stage: impl Into<StepId>, limits: &Limits, used: u64) -> Result<(), StageFault> {
        let allowed = limits.memory;
        if used > allowed {
            return Err(StageFault::Limit { stage: stage.into(), kind: LimitKind::Memory, used, allowed });
        }
        self.peak_memory.fetch_max(used, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}
