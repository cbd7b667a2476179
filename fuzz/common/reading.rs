//! Reads arbitrary bytes as a source file of a pipeline.

use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use stagewright_data::{Interrupt, Signature, Source, SourceUri, Strictness, open};
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES};
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Reads bytes as the file of an address in which `FILE` stands for the path. The result is rows in
/// batches of bounded size, or an error.
#[allow(dead_code, reason = "a target reads by an address or without one")]
pub fn read(bytes: &[u8], address: &str) {
    let address = |path: PathBuf| address.replace("FILE", &path.display().to_string());
    read_at(bytes, |path| address(path).parse().expect("an address"));
}

/// As [`read`], of an address that is no text.
#[allow(dead_code, reason = "a target reads by an address or without one")]
pub fn read_at(bytes: &[u8], uri: impl FnOnce(PathBuf) -> SourceUri) {
    read_source(bytes, |path| Source::new(uri(path)));
}

/// As [`read`], of a source.
pub fn read_source(bytes: &[u8], source: impl FnOnce(PathBuf) -> Source) {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
        let path = folder.path().join("any");
        fs::write(&path, bytes).expect("room");
        let source = source(path);
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
