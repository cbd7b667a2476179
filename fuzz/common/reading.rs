//! Reads arbitrary bytes as a source file of a pipeline.

use std::cell::OnceCell;
use std::fs;
use std::time::{Duration, Instant};

use stagewright_data::{Interrupt, Signature, Source, Strictness, open};
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES};
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Reads bytes as the file of an address in which `FILE` stands for the path. The result is rows in
/// batches of bounded size, or an error.
pub fn read(bytes: &[u8], address: &str) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
        let path = folder.path().join("any");
        fs::write(&path, bytes).expect("room");
        let address = address.replace("FILE", &path.display().to_string());
        let source = Source::new(address.parse().expect("an address"));
        let fields = [("a", DataType::Utf8), ("b", DataType::Float64), ("c", DataType::Categorical)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type).with_nullable(true));
        let signature = Signature::new(fields.to_vec()).expect("three names");
        let interrupt = Interrupt::at(Instant::now() + Duration::from_secs(2));
        let Ok(mut cursor) = open(&source, &signature, Strictness::Ingest, &interrupt) else { return };
        for _ in 0..20 {
            let Ok(Some(rows)) = cursor.next(usize::MAX) else { return };
            assert!(rows.get_array_memory_size() <= 8 * MAX_BATCH_BYTES);
        }
    });
}
