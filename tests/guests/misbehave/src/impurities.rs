//! Answers that depend on something else than their row.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::Impurity;

/// So small that no score leaves its range, but large enough to change bits.
const TRACE: f64 = 1e-9;

/// The rows that this instance has seen.
static SEEN: AtomicU64 = AtomicU64::new(0);
/// How often this instance was called.
static CALLS: AtomicU64 = AtomicU64::new(0);
/// The bits of the last row's first number.
static LAST: AtomicU64 = AtomicU64::new(0);

/// Changes the numbers of a batch's rows by something that they must not depend on.
pub(crate) fn taint(impurity: Impurity, numbers: &mut [f64]) {
    let rows = numbers.to_vec();
    let seen = SEEN.fetch_add(rows.len() as u64, Ordering::Relaxed);
    let calls = CALLS.fetch_add(1, Ordering::Relaxed);
    let mut last = f64::from_bits(LAST.load(Ordering::Relaxed));
    let same: f64 = match impurity {
        Impurity::BatchSize => rows.len() as f64,
        Impurity::OtherRows => rows.iter().sum::<f64>() / rows.len() as f64,
        Impurity::Calls => calls as f64,
        Impurity::FirstCall => f64::from(u8::from(calls == 0)),
        Impurity::TimeOfDay => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            f64::from(since.subsec_micros() % 1000)
        }
        Impurity::Random => (RandomState::new().hash_one(1) % 1000) as f64,
        _ => 0.0,
    };
    for (row, number) in numbers.iter_mut().enumerate() {
        let own = match impurity {
            Impurity::TablePosition => seen as f64 + row as f64,
            Impurity::BatchPosition => row as f64,
            Impurity::LargeBatches if rows.len() > 20 => row as f64,
            Impurity::RowBefore => last,
            _ => same,
        };
        last = rows[row];
        *number += TRACE * own;
    }
    LAST.store(last.to_bits(), Ordering::Relaxed);
}
