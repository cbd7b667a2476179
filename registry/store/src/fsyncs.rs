//! Waiting for the disk, and counting how often.

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{StoreError, io_error};

static FSYNCS: AtomicU64 = AtomicU64::new(0);

/// Returns how often this process has waited for the disk, for benchmarks: once for each published
/// file, once for the directory of each publication, once for each transaction that was committed
/// to the database.
pub fn fsyncs() -> u64 {
    FSYNCS.load(Ordering::Relaxed)
}

pub(crate) fn count_fsync() {
    FSYNCS.fetch_add(1, Ordering::Relaxed);
}

/// Flushes the names in a directory, so that they survive a loss of power.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    count_fsync();
    File::open(directory).and_then(|it| it.sync_all()).map_err(io_error("synchronise", directory))
}
