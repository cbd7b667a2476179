//! Copies of requests for a shadow: a version that answers them too, and whose answers nobody sees.
//!
//! A copy is sent after the request was answered, and nobody waits for it. Copies that wait for the
//! shadow take a bounded amount of memory; beyond that they are dropped and counted. So whatever
//! the shadow does, or fails to do, answers are what they are without it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use arrow_array::RecordBatch;
use axum::http::StatusCode;
use stagewright_lifecycle::predict::label;
use tokio::sync::Semaphore;

use super::live_arm::LiveArm;
use crate::arm::Arm;
use crate::fault::PredictFault;
use crate::metrics::Metrics;
use crate::protocol::Protocol;
use crate::served_version::ServedVersion;

/// The memory that copies may take, in bytes.
const MEMORY: usize = 64 << 20;

/// The bytes of a permit. A smaller copy counts as one.
const UNIT: usize = 4 << 10;

/// Where the copies of requests go.
pub(crate) struct Mirror {
    arm: LiveArm,
    /// The share of the requests that is copied.
    fraction: f64,
    room: Arc<Semaphore>,
    /// The fate of the copies.
    pub(crate) tally: Arc<Tally>,
}

/// The fate of copies, since the deployment began on this server.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Rows that both versions answered.
    pub(crate) compared: AtomicU64,
    /// Rows to which the shadow gave another label; of a regression, another value.
    pub(crate) different: AtomicU64,
    /// Copies for which there was no room.
    pub(crate) dropped: AtomicU64,
}

/// The counts of a [`Tally`] at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct TallyCounts {
    pub(crate) compared: u64,
    pub(crate) different: u64,
    pub(crate) dropped: u64,
}

impl Tally {
    /// Returns the counts of now.
    pub(crate) fn counts(&self) -> TallyCounts {
        let [compared, different, dropped] =
            [&self.compared, &self.different, &self.dropped].map(|count| count.load(Ordering::Relaxed));
        TallyCounts { compared, different, dropped }
    }
}

impl TallyCounts {
    /// Returns what was counted since an earlier moment.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            compared: self.compared.saturating_sub(before.compared),
            different: self.different.saturating_sub(before.different),
            dropped: self.dropped.saturating_sub(before.dropped),
        }
    }

    /// Returns the counts with their names in the notes of a deployment.
    pub(super) fn named(&self) -> [(&'static str, u64); 3] {
        [("compared_rows", self.compared), ("different_rows", self.different), ("dropped", self.dropped)]
    }
}

/// A copy of a request, with the answer that its client got.
pub(crate) struct RequestCopy<R> {
    /// Returns the rows as the shadow reads them; `None` if it does not.
    pub(crate) rows: R,
    /// Whether that takes its time.
    pub(crate) is_long: bool,
    /// The memory that the copy takes.
    pub(crate) bytes: usize,
    /// The version that answered.
    pub(crate) version: Arc<ServedVersion>,
    /// The values that it predicted.
    pub(crate) values: Vec<f64>,
}

impl Mirror {
    /// Creates a mirror. It goes on counting where the one before it was.
    pub(super) fn new(arm: LiveArm, fraction: f64, before: Option<&Self>) -> Self {
        let room = before.map_or_else(|| Arc::new(Semaphore::new(MEMORY / UNIT)), |before| before.room.clone());
        Self { arm, fraction, room, tally: before.map_or_else(Arc::default, |before| before.tally.clone()) }
    }

    /// Returns whether the next request is copied.
    pub(super) fn wants_one(&self) -> bool {
        self.fraction >= 1.0 || fastrand::f64() < self.fraction
    }

    /// Sends a copy, or drops it if there is no room.
    pub(crate) fn send<R>(&self, copy: RequestCopy<R>, metrics: &Arc<Metrics>)
    where
        R: FnOnce() -> Option<RecordBatch> + Send + 'static,
    {
        let units = u32::try_from(copy.bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        let Ok(share) = self.room.clone().try_acquire_many_owned(units) else {
            self.tally.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (arm, tally, metrics) = (self.arm.clone(), self.tally.clone(), metrics.clone());
        tokio::spawn(async move {
            let _share = share;
            let RequestCopy { rows, is_long, version, values, .. } = copy;
            let width = version.contents.width().max(1);
            let (began, count) = (Instant::now(), values.len() / width);
            let predicted = predicted(&arm.version, is_long, rows).await;
            let latency = began.elapsed();
            arm.counter.observe(latency, count as u64, predicted.is_err());
            let status = predicted.as_ref().map_or_else(PredictFault::status, |_| StatusCode::OK);
            let ServedVersion { model, version: number, metrics: of_arms, .. } = &*arm.version;
            let counters = of_arms.of(&metrics, model, *number, Arm::Shadow);
            counters.observe(Protocol::Other, status.as_u16(), latency, count as u64);
            if let Ok(shadowed) = predicted {
                tally.compared.fetch_add(count as u64, Ordering::Relaxed);
                let different = different_rows((&version, &values), (&arm.version, &shadowed));
                tally.different.fetch_add(different, Ordering::Relaxed);
            }
        });
    }
}

/// Predicts a copy. Rows that the shadow does not read, and its client's version did, are a fault
/// of the shadow.
async fn predicted<R>(shadow: &ServedVersion, is_long: bool, rows: R) -> Result<Vec<f64>, PredictFault>
where
    R: FnOnce() -> Option<RecordBatch> + Send + 'static,
{
    let rows = if is_long { tokio::task::spawn_blocking(rows).await.ok().flatten() } else { rows() };
    let rows = rows.ok_or_else(|| PredictFault::Host("the shadow does not read this request".to_owned()))?;
    let predicted = tokio::time::timeout(shadow.deadline, shadow.pool.predict(rows));
    Ok(predicted.await.map_err(|_| PredictFault::Deadline)??)
}

/// Returns the number of rows to which two versions give different answers: another label, or
/// another value of a regression.
fn different_rows(one: (&ServedVersion, &[f64]), other: (&ServedVersion, &[f64])) -> u64 {
    answers(one).zip(answers(other)).filter(|(one, other)| one != other).count() as u64
}

/// Returns the answer to each row: a label, or else the bits of a value.
fn answers<'a>((version, values): (&'a ServedVersion, &'a [f64])) -> impl Iterator<Item = Result<&'a str, u64>> {
    let rows = values.chunks_exact(version.contents.width().max(1));
    rows.map(|values| label(version.task(), values).ok_or(values[0].to_bits()))
}
