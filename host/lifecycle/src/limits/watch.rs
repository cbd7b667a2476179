//! The host's own work for a stage, charged to the stage.
//!
//! When the host splits, encodes, hashes, measures, renders or writes for a stage, it uses the
//! stage's CPU and wall time, and the memory that it keeps for each row is the stage's memory.
//! Every loop over rows therefore checks a [`Watch`] once for each batch.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use stagewright_data::Interrupt;
use stagewright_manifest::{Limits, StepId};

use crate::fault::{LimitKind, StageFault};
use crate::limits::CpuMark;
use crate::sandbox::{Cancel, Meter};

/// Checks the limits of one stage. Clones share one state. It belongs to the stage's thread, whose
/// time it charges.
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
    /// Starts to charge this thread's CPU time to `meter`.
    pub fn begin(stage: impl Into<StepId>, limits: Limits, meter: Arc<Meter>, cancel: Cancel) -> Self {
        Self(Arc::new(Watched { stage: stage.into(), limits, meter, cancel, mark: Mutex::new(CpuMark::now()) }))
    }

    /// Charges this thread's CPU time since the last charge.
    pub fn charge(&self) {
        // The only change under this lock is one assignment.
        let due = self.0.mark.lock().unwrap_or_else(PoisonError::into_inner).take();
        Meter::add(&self.0.meter.cpu_ns, due);
    }

    /// Charges this thread's CPU time, and fails if the stage is past a time limit or cancelled.
    ///
    /// # Errors
    /// [`StageFault::Limit`] or [`StageFault::Cancelled`].
    pub fn check(&self) -> Result<(), StageFault> {
        self.charge();
        self.0.meter.check_time(&self.0.stage, &self.0.limits, &self.0.cancel)
    }

    /// Records that the host holds `bytes` of memory for the stage at one time. Calls are not added
    /// up, nor is the memory of guests: the stage's memory is the largest amount recorded.
    ///
    /// # Errors
    /// [`StageFault::Limit`] past the memory limit.
    pub fn hold(&self, bytes: u64) -> Result<(), StageFault> {
        self.0.meter.hold(&self.0.stage, &self.0.limits, bytes)
    }

    /// Records that the host holds `bytes` of memory for each of `rows` rows.
    ///
    /// # Errors
    /// As for [`Watch::hold`].
    pub fn hold_rows(&self, rows: u64, bytes: u64) -> Result<(), StageFault> {
        self.hold(rows.saturating_mul(bytes))
    }

    /// Charges bytes that the host is about to write for the stage.
    ///
    /// # Errors
    /// [`StageFault::Limit`] past the output limit.
    pub fn charge_output(&self, bytes: u64) -> Result<(), StageFault> {
        self.0.meter.charge_output(&self.0.stage, &self.0.limits, bytes)
    }

    /// Returns the interrupt for readers that have their own threads: it stops them at a limit, and
    /// charges their CPU time.
    pub fn interrupt(&self) -> Interrupt {
        let (watched, charged) = (self.0.clone(), self.0.meter.clone());
        Interrupt::when(move || watched.meter.check_time(&watched.stage, &watched.limits, &watched.cancel).is_err())
            .charging(move |nanoseconds| {
                Meter::add(&charged.cpu_ns, nanoseconds);
            })
    }

    /// Returns the reason why work with this [interrupt](Watch::interrupt) ended early.
    pub fn interrupted(&self) -> StageFault {
        self.check().err().unwrap_or(StageFault::Cancelled { stage: self.0.stage.clone() })
    }
}

impl Meter {
    /// Fails if the stage is past a time limit or cancelled.
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

    /// Charges bytes that are written to an artifact.
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

    /// Records memory that is held for a stage, in bytes.
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
