//! A table that is being written reports at least the memory that it takes: stages are charged for
//! it.
//!
//! One test in a file of its own, because memory is counted for all threads of the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray};
use stagewright_store::{ArtifactStore, DataType, Field, Schema, Staging, TableWriter};

/// A quarter of the columns of the widest table that a stage may write.
const COLUMNS: usize = 16_384;

/// Bytes that may be held beside the tables, for everything that is measured together.
const ROOM: u64 = 8 << 20;

/// Bytes that this process has allocated and not freed. The system's figure for a process depends
/// on how much freed memory the allocator keeps.
static HELD: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with a counter.
struct Counted;

// SAFETY: each call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `GlobalAlloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn wide(data_type: DataType, name_bytes: usize) -> Schema {
    let field = |column: usize| Field::new(format!("{column:0name_bytes$}"), data_type).with_nullable(false);
    Schema::new((0..COLUMNS).map(field).collect()).unwrap()
}

/// Compares the bytes that some values report with the bytes that creating them took.
fn holds<T>(what: &str, make: impl FnOnce() -> Vec<T>, held: impl Fn(&T) -> u64) {
    let before = HELD.load(Ordering::Relaxed);
    let made = make();
    let took = HELD.load(Ordering::Relaxed).saturating_sub(before);
    let said: u64 = made.iter().map(held).sum();
    assert!(said + ROOM >= took, "{what} says {} MiB and takes {} MiB", said >> 20, took >> 20);
}

fn writers(staging: &Staging, count: usize, schema: impl Fn() -> Schema) -> Vec<TableWriter> {
    (0..count).map(|_| staging.create_table(&schema()).unwrap()).collect()
}

fn categories(schema: &Schema, texts: impl Iterator<Item = String>) -> RecordBatch {
    let texts: Vec<String> = texts.collect();
    let codes = Int32Array::from_iter_values(0..texts.len() as i32);
    let array = DictionaryArray::<Int32Type>::try_new(codes, Arc::new(StringArray::from(texts))).unwrap();
    RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(array)]).unwrap()
}

// invariant: The work and memory that the host spends on a stage count against that stage's limits.
#[test]
fn a_table_holds_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let staging = ArtifactStore::open(directory.path().join("artifacts")).unwrap().stage();
    let held = TableWriter::held_bytes;

    let narrow = || wide(DataType::Float64, 5);
    holds("a wide writer", || writers(&staging, 4, narrow), held);
    holds("a writer with long names", || writers(&staging, 2, || wide(DataType::Boolean, 256)), held);
    holds("a wide writer of categories", || writers(&staging, 2, || wide(DataType::Categorical, 5)), held);
    let row = |schema: &Schema| {
        let columns = (0..COLUMNS).map(|column| Arc::new(Float64Array::from(vec![column as f64])) as ArrayRef);
        RecordBatch::try_new(schema.to_arrow(), columns.collect()).unwrap()
    };
    let tables = || {
        let finished = |mut writer: TableWriter| {
            writer.write(&row(&writer.schema().clone())).unwrap();
            writer.finish().unwrap()
        };
        writers(&staging, 4, narrow).into_iter().map(finished).collect()
    };
    holds("a wide table", tables, stagewright_store::Table::held_bytes);

    let one = Schema::new(vec![Field::new("c", DataType::Categorical).with_nullable(false)]).unwrap();
    let many = || {
        let mut writer = staging.create_table(&one).unwrap();
        for part in 0..30 {
            writer.write(&categories(&one, (0..10_000).map(|number| format!("{part}-{number}")))).unwrap();
        }
        vec![writer]
    };
    holds("a writer of many categories", many, held);
}
