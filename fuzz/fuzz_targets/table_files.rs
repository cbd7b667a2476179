#![no_main]
//! Arbitrary bytes as a table file, which the host maps into memory. The result is an error, or
//! cells that are valid Arrow wherever it reads.

use std::cell::OnceCell;
use std::fs;

use arrow_array::Array as _;
use libfuzzer_sys::fuzz_target;
use stagewright_store::{ArtifactKind, ArtifactStore, Digest};
use tempfile::TempDir;

thread_local! {
    static STORE: OnceCell<(TempDir, ArtifactStore)> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    STORE.with(|store| {
        let (_, store) = store.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let store = ArtifactStore::open(folder.path()).expect("a store");
            (folder, store)
        });
        read(store, bytes);
    });
});

fn read(store: &ArtifactStore, bytes: &[u8]) {
    let digest = Digest::of(b"any");
    fs::write(store.path(ArtifactKind::Table, &digest), bytes).expect("room");
    let Ok(table) = store.open_table(&digest) else { return };
    let rows = table.rows();
    let last = table.schema().len().saturating_sub(1);
    for (start, count, columns) in [
        (0, usize::MAX, None),
        (rows / 2, 3, None),
        (rows.saturating_sub(1), 1, Some(&[last, 0][..])),
        (rows, 1, None),
        (rows.wrapping_add(1), 1, None),
    ] {
        if let Ok(batch) = table.read(start, count, columns) {
            batch.columns().iter().for_each(|column| column.to_data().validate_full().expect("valid cells"));
        }
    }
    for batch in table.batches(None).take(100).flatten() {
        batch.columns().iter().for_each(|column| column.to_data().validate_full().expect("valid cells"));
    }
    // No input has this digest.
    assert!(table.verify().is_err());
}
