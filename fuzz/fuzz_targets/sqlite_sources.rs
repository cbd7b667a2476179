#![no_main]
//! Any bytes as a SQLite file that a pipeline reads: rows in batches of bounded size, or an error.

use std::cell::OnceCell;
use std::fs;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use stagewright_data::{Interrupt, Signature, Source, Strictness, open};
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES};
use tempfile::TempDir;

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a temporary folder"));
        let path = folder.path().join("any.db");
        fs::write(&path, bytes).expect("room");
        let source = Source::new(format!("sqlite:{}#t", path.display()).parse().expect("an address"));
        let fields = [("a", DataType::Utf8), ("b", DataType::Float64)];
        let fields = fields.map(|(name, data_type)| Field::new(name, data_type).with_nullable(true));
        let signature = Signature::new(fields.to_vec()).expect("two names");
        let interrupt = Interrupt::at(Instant::now() + Duration::from_secs(2));
        let Ok(mut cursor) = open(&source, &signature, Strictness::Ingest, &interrupt) else { return };
        for _ in 0..20 {
            let Ok(Some(rows)) = cursor.next(usize::MAX) else { return };
            assert!(rows.get_array_memory_size() <= 8 * MAX_BATCH_BYTES);
        }
    });
});
