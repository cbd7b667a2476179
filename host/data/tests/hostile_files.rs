//! Files that cost far more than their size: reading them takes bounded memory, and nobody waits
//! for them forever.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use rusqlite::Connection;
use stagewright_data::{
    Cursor, DataError, Decode as _, DecodeLimits, InProcess, Interrupt, RowsInput, Signature, Source, Strictness, open,
};
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES};
use tempfile::TempDir;

const MIB: usize = 1 << 20;

/// The most bytes of a batch: full at the size of a batch, plus a last row of the same size.
const MOST: usize = 2 * MAX_BATCH_BYTES + (1 << 20);

/// Far more than a test that ends takes, and far less than one that does not.
const PATIENCE: Duration = Duration::from_secs(120);

fn texts() -> Signature {
    Signature::new(vec![Field::new("t", DataType::Utf8).with_nullable(true)]).expect("a signature")
}

fn database(folder: &TempDir, sql: &str) -> Source {
    let path = folder.path().join("hostile.db");
    Connection::open(&path).and_then(|connection| connection.execute_batch(sql)).expect("a database");
    Source::new(format!("sqlite:{}#v", path.display()).parse().expect("an address"))
}

/// Returns the database with a query of the manifest.
fn asked(source: &Source, query: &str) -> Source {
    let address = source.uri.to_string();
    let address = address.split('#').next().expect("a first part");
    Source::new(address.parse().expect("an address")).with_query(query, Vec::new())
}

fn opened(source: &Source, interrupt: &Interrupt) -> Result<Cursor, DataError> {
    open(source, &texts(), Strictness::Ingest, interrupt)
}

/// Reads some batches and checks that each is small.
fn assert_small(cursor: &mut Cursor, batches: usize) -> usize {
    let mut rows = 0;
    for _ in 0..batches {
        let batch = cursor.next(usize::MAX).expect("rows").expect("more rows");
        assert!(batch.num_rows() > 0);
        let bytes = batch.get_array_memory_size();
        assert!(bytes <= 2 * MOST, "{bytes} bytes in {} rows", batch.num_rows());
        rows += batch.num_rows();
    }
    rows
}

fn end_of(source: &Source, interrupt: &Interrupt) -> DataError {
    let read = || -> Result<(), DataError> {
        let mut cursor = opened(source, interrupt)?;
        while cursor.next(usize::MAX)?.is_some() {}
        Ok(())
    };
    read().expect_err("it does not end well")
}

#[test]
fn a_view_calls_no_function_that_takes_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    for call in [
        "instr(hex(zeroblob(2000000)), hex(zeroblob(1000000)) || '1')",
        "replace(hex(zeroblob(4000000)), '0', '00000000')",
        "printf('%.*c', 8000000, 'x')",
        "hex(randomblob(4000000))",
        "(SELECT group_concat(value, '') FROM json_each('[1,2]'))",
        "load_extension('x.so')",
        "quote(zeroblob(4000000))",
    ] {
        let _ = std::fs::remove_file(folder.path().join("hostile.db"));
        let source = database(&folder, &format!("CREATE VIEW v AS SELECT {call} AS t"));
        let error = end_of(&source, &Interrupt::never()).to_string();
        assert!(error.contains("a view of it may not be read"), "{call}: {error}");
        // The manifest's query may not call the function through a view either.
        let error = end_of(&asked(&source, "SELECT t FROM v"), &Interrupt::never()).to_string();
        assert!(error.contains("a view of it may not be read"), "{call}: {error}");
    }
}

#[test]
fn a_name_that_is_no_utf_8_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = database(&folder, "CREATE TABLE x (abcdefgh); CREATE VIEW v AS SELECT abcdefgh AS t FROM x");
    let path = folder.path().join("hostile.db");
    let mut bytes = std::fs::read(&path).expect("a file");
    let places: Vec<usize> = (0..bytes.len() - 8).filter(|&at| bytes[at..].starts_with(b"abcdefgh")).collect();
    assert_eq!(places.len(), 2, "the table's and the view's");
    places.iter().for_each(|&at| bytes[at + 3] = 0xff);
    std::fs::write(&path, bytes).expect("a file");
    let error = end_of(&source, &Interrupt::never()).to_string();
    assert!(!error.contains("panic") && !error.contains("bug"), "{error}");
}

#[test]
fn a_view_of_allowed_functions_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let sql = "CREATE TABLE x (a TEXT, b REAL); INSERT INTO x VALUES (' One ', 1.26), ('two', 2.0);
        CREATE VIEW v AS SELECT upper(a) || ' ' || round(coalesce(b, 0), 1) AS t FROM x WHERE a LIKE '%o%'";
    let mut cursor = opened(&database(&folder, sql), &Interrupt::never()).expect("an honest view");
    assert_eq!(cursor.next(10).expect("rows").expect("rows").num_rows(), 2);
}

#[test]
fn nobody_waits_for_a_call_that_does_not_react() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = database(&folder, "CREATE TABLE v (t TEXT); INSERT INTO v VALUES ('x')");
    // About half an hour in one call, during which SQLite calls no handler.
    let query = "SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1') AS t";
    let began = Instant::now();
    let error = end_of(&asked(&source, query), &Interrupt::at(began + Duration::from_millis(300)));
    assert!(matches!(error, DataError::Interrupted), "{error}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn a_view_without_end_ends_at_the_deadline() {
    let folder = tempfile::tempdir().expect("a folder");
    let endless = "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
        SELECT CAST(sum(i) AS TEXT) AS t FROM n";
    let began = Instant::now();
    let error = end_of(&database(&folder, endless), &Interrupt::at(began + Duration::from_millis(300)));
    assert!(matches!(error, DataError::Interrupted), "{error}");
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn the_memory_of_a_database_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    // Sorts two billion rows of a megabyte.
    let sql = "CREATE TABLE x (t TEXT); INSERT INTO x VALUES (hex(zeroblob(500000)));
        CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000)
        SELECT i || t AS t FROM n, x ORDER BY 1 DESC";
    let error = end_of(&database(&folder, sql), &Interrupt::at(Instant::now() + PATIENCE)).to_string();
    assert!(error.contains("SQLite would need more than"), "{error}");
}

#[test]
fn a_small_database_does_not_expand_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // 4 TB of text from 4 MiB.
    let sql = "CREATE TABLE x (t TEXT); INSERT INTO x VALUES (hex(zeroblob(2000000)));
        CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
        SELECT t FROM n, x";
    let mut cursor = opened(&database(&folder, sql), &Interrupt::never()).expect("a view");
    let rows = assert_small(&mut cursor, 6);
    assert!(rows <= 6 * 5, "{rows}");
}

#[test]
fn a_row_too_large_for_a_stage_is_a_fault_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long.csv");
    std::fs::write(&path, format!("t\nshort\n{}\n", "x".repeat(MAX_BATCH_BYTES + 1))).expect("a file");
    let source = Source::new(format!("csv:{}", path.display()).parse().expect("an address"));
    let error = end_of(&source, &Interrupt::never());
    let fault = error.as_fault().expect("a fault of the data");
    assert_eq!((fault.column.as_deref(), fault.row, fault.line), (Some("t"), Some(1), Some(3)), "{error}");

    // Each text is small enough; together they are not.
    let columns = 40;
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let cell = "x".repeat(MIB);
    std::fs::write(&path, format!("{}\n{}\n", names.join(","), vec![cell; columns].join(","))).expect("a file");
    let fields = names.iter().map(|name| Field::new(name, DataType::Utf8)).collect();
    let signature = Signature::new(fields).expect("a signature");
    let error = open(&source, &signature, Strictness::Ingest, &Interrupt::never())
        .and_then(|mut cursor| cursor.next(1))
        .expect_err("too large");
    assert!(error.to_string().contains("the values of the row take more than"), "{error}");
}

#[test]
fn a_record_of_more_cells_than_any_table_has_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wide.csv");
    let source = Source::new(format!("csv:{}", path.display()).parse().expect("an address"));
    for text in [",".repeat(20 * MIB) + "\n", format!("t\nx\n{}\n", ",".repeat(20 * MIB))] {
        std::fs::write(&path, text).expect("a file");
        let error = end_of(&source, &Interrupt::never()).to_string();
        assert!(error.contains("cells") && error.contains("delimiter"), "{error}");
    }
}

#[test]
fn lists_that_are_longer_than_what_is_read_at_once_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let list = |values: usize| {
        let items: ArrayRef = Arc::new(arrow_array::Int8Array::from(vec![0; values]));
        let field = Arc::new(arrow_schema::Field::new("item", arrow_schema::DataType::Int8, true));
        let offsets = arrow_buffer::OffsetBuffer::from_lengths([values]);
        let array: ArrayRef = Arc::new(arrow_array::ListArray::new(field, offsets, items, None));
        RecordBatch::try_from_iter([("t", array)]).expect("a batch")
    };
    let path = folder.path().join("lists.parquet");
    let error = end_of(&parquet(&path, &list(60_000_000), 1), &Interrupt::never()).to_string();
    assert!(error.contains("the lists up to column") && error.contains("row group 0"), "{error}");
    let mut cursor = opened(&parquet(&path, &list(3), 1), &Interrupt::never()).expect("a short list");
    assert_eq!(cursor.next(1).expect("a row").expect("a row").num_rows(), 1);
}

fn parquet(path: &Path, batch: &RecordBatch, times: usize) -> Source {
    let properties = WriterProperties::builder().set_dictionary_page_size_limit(64 * MIB).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).expect("a file"), batch.schema(), Some(properties)).expect("a writer");
    (0..times).for_each(|_| writer.write(batch).expect("written"));
    writer.close().expect("closed");
    Source::new(format!("parquet:{}", path.display()).parse().expect("an address"))
}

/// Writes many rows with the same long text, which the file stores once.
fn repeated(folder: &TempDir, rows: usize, times: usize) -> Source {
    let values: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(MIB)]));
    let array = DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0; rows]), values).expect("codes");
    let batch = RecordBatch::try_from_iter([("t", Arc::new(array) as ArrayRef)]).expect("a batch");
    parquet(&folder.path().join("repeated.parquet"), &batch, times)
}

#[test]
fn a_small_parquet_file_does_not_expand_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = repeated(&folder, 20_000, 2);
    let size = std::fs::metadata(folder.path().join("repeated.parquet")).expect("a file").len();
    assert!(size < 4 * MIB as u64, "{size}");
    let mut cursor = opened(&source, &Interrupt::never()).expect("a file");
    let rows = assert_small(&mut cursor, 6);
    assert!(rows <= 6 * 17, "{rows}");
    // As a category the text is stored once, and the rows are codes.
    let categories = Signature::new(vec![Field::new("t", DataType::Categorical)]).expect("a signature");
    let mut cursor = open(&source, &categories, Strictness::Ingest, &Interrupt::never()).expect("a file");
    let mut rows = 0;
    while let Some(batch) = cursor.next(usize::MAX).expect("rows") {
        assert!(batch.get_array_memory_size() <= 2 * MOST);
        rows += batch.num_rows();
    }
    assert_eq!(rows, 40_000);
}

#[test]
fn long_values_of_fixed_length_are_read_a_few_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let array = FixedSizeBinaryArray::try_from_iter(vec![vec![b'x'; MIB]; 64].into_iter()).expect("values");
    let batch = RecordBatch::try_from_iter([("t", Arc::new(array) as ArrayRef)]).expect("a batch");
    let source = parquet(&folder.path().join("fixed.parquet"), &batch, 1);
    let mut cursor = opened(&source, &Interrupt::never()).expect("a file");
    assert!(assert_small(&mut cursor, 4) <= 4 * 17);

    let array = FixedSizeBinaryArray::try_from_iter(vec![vec![b'x'; MAX_BATCH_BYTES + 1]].into_iter()).expect("values");
    let batch = RecordBatch::try_from_iter([("t", Arc::new(array) as ArrayRef)]).expect("a batch");
    let source = parquet(&folder.path().join("fixed.parquet"), &batch, 1);
    let error = end_of(&source, &Interrupt::never()).to_string();
    assert!(error.contains("a row of it takes"), "{error}");
}

#[test]
fn rows_to_predict_come_in_small_pieces_however_large_they_are_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = repeated(&folder, 400, 1);
    let limits = DecodeLimits::until(Interrupt::never());
    // Each text is passed twice: as a feature and as it came.
    let keep = ["t".to_owned()];
    let mut rows = InProcess.open_rows(RowsInput::Source(source), &texts(), &keep, &limits).expect("a file");
    let mut read = 0;
    while let Some(piece) = rows.next().expect("rows") {
        assert!(piece.batch.get_array_memory_size() <= 2 * MOST, "{} rows", piece.batch.num_rows());
        assert_eq!(piece.kept[0].values.len(), piece.batch.num_rows());
        read += piece.batch.num_rows();
    }
    assert_eq!(read, 400);
}
