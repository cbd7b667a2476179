//! The size of a version in words.

use stagewright_store::{DataKind, DataVersionRecord};

/// Returns the content of a version in words: `7043 rows of 21 columns`, `12 files`.
pub(super) fn size(record: &DataVersionRecord) -> String {
    match record.kind {
        DataKind::Table => format!("{} rows of {} columns", record.count, record.columns),
        DataKind::Files => format!("{} files", record.count),
    }
}
