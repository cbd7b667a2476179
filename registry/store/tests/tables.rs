//! Tables: the same rows give the same digest and the same cells, however they are cut; damaged
//! files are errors.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use proptest::prelude::*;
use stagewright_store::{
    ArtifactKind, ArtifactStore, DataType, Digest, ExportFile, Field, Formulas, ParquetExport, Role, Schema,
    StoreError, Table, export_csv, export_parquet,
};
use tempfile::TempDir;

fn store() -> (TempDir, ArtifactStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(directory.path().join("artifacts")).unwrap();
    (directory, store)
}

fn all_types() -> Schema {
    let field = |name: &str, data_type| Field::new(name, data_type).with_nullable(true);
    Schema::new(vec![
        field("boolean", DataType::Boolean),
        field("int64", DataType::Int64),
        field("float64", DataType::Float64).with_role(Role::Weight),
        field("utf8", DataType::Utf8).with_role(Role::Identifier),
        field("categorical", DataType::Categorical),
        field("timestamp", DataType::Timestamp).with_role(Role::Time),
    ])
    .unwrap()
}

/// Rows of every type, with nulls. Row `n` is the same in every batch that contains it.
fn rows(range: std::ops::Range<usize>) -> RecordBatch {
    let value = |row: usize| if row % 7 == 3 { None } else { Some(row) };
    let values = || range.clone().map(value);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(values().map(|it| it.map(|row| row % 3 == 0)).collect::<BooleanArray>()),
        Arc::new(values().map(|it| it.map(|row| row as i64 - 50)).collect::<Int64Array>()),
        Arc::new(values().map(|it| it.map(|row| row as f64 / 3.0)).collect::<Float64Array>()),
        Arc::new(values().map(|it| it.map(|row| "ä".repeat(row % 5))).collect::<StringArray>()),
        Arc::new(
            values().map(|it| it.map(|row| ["red", "green", "blue"][row % 3])).collect::<DictionaryArray<Int32Type>>(),
        ),
        Arc::new(
            values().map(|it| it.map(|row| row as i64)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        ),
    ];
    RecordBatch::try_new(all_types().to_arrow(), columns).unwrap()
}

fn write(store: &ArtifactStore, schema: &Schema, batches: &[RecordBatch]) -> Table {
    let staging = store.stage();
    let mut writer = staging.create_table(schema).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    let table = writer.finish().unwrap();
    staging.publish().unwrap();
    table
}

fn cells(batch: &RecordBatch) -> Vec<String> {
    let text = |array: &ArrayRef, row| {
        let array = array.slice(row, 1);
        match array.data_type() {
            arrow_schema::DataType::Dictionary(..) => {
                let array = array.as_dictionary::<Int32Type>();
                let values = array.values().as_string::<i32>();
                format!("{:?}", array.key(0).map(|key| values.value(key)))
            }
            _ => format!("{array:?}"),
        }
    };
    let row = |row| batch.columns().iter().map(|array| text(array, row)).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

fn all_cells(table: &Table) -> Vec<String> {
    table.batches(None).flat_map(|batch| cells(&batch.unwrap())).collect()
}

#[test]
fn a_table_reads_back_as_it_was_written() {
    let (_directory, store) = store();
    let written = rows(0..20_000);
    let table = write(&store, &all_types(), std::slice::from_ref(&written));
    let opened = store.open_table(&table.digest()).unwrap();
    assert_eq!(opened.schema(), &all_types());
    assert_eq!(opened.rows(), 20_000);
    assert_eq!(opened.bytes(), table.bytes());
    assert_eq!(all_cells(&opened), cells(&written));
    opened.verify().unwrap();
    for batch in opened.batches(None) {
        batch.unwrap().columns().iter().for_each(|column| column.to_data().validate_full().unwrap());
    }
}

#[test]
fn a_reading_is_cut_at_the_end_of_a_chunk_and_empty_only_at_the_end() {
    let (_directory, store) = store();
    let table = write(&store, &all_types(), &[rows(0..10_000)]);
    assert_eq!(table.schema().chunk_rows(), 8192);
    assert_eq!(table.read(0, 100, None).unwrap().num_rows(), 100);
    assert_eq!(table.read(8000, 1000, None).unwrap().num_rows(), 192);
    assert_eq!(table.read(8192, usize::MAX, None).unwrap().num_rows(), 1808);
    assert_eq!(table.read(10_000, 5, None).unwrap().num_rows(), 0);
    assert!(matches!(table.read(10_001, 5, None), Err(StoreError::PastEnd { start: 10_001, rows: 10_000 })));

    let some = table.read(8100, 50, Some(&[4, 0])).unwrap();
    assert_eq!(some.schema().field(0).name(), "categorical");
    assert_eq!(cells(&some), cells(&rows(8100..8150).project(&[4, 0]).unwrap()));
    assert!(matches!(table.read(0, 1, Some(&[6])), Err(StoreError::NoColumn { index: 6, columns: 6 })));
}

#[test]
fn empty_tables_and_tables_without_columns_work() {
    let (_directory, store) = store();
    let empty = write(&store, &all_types(), &[]);
    let empty = store.open_table(&empty.digest()).unwrap();
    assert_eq!((empty.rows(), empty.chunks()), (0, 0));
    assert_eq!(empty.read(0, 10, None).unwrap().num_rows(), 0);
    empty.verify().unwrap();

    let none = Schema::new(vec![]).unwrap();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(9000));
    let batch = RecordBatch::try_new_with_options(none.to_arrow(), vec![], &options).unwrap();
    let table = write(&store, &none, &[batch]);
    assert_eq!(store.open_table(&table.digest()).unwrap().rows(), 9000);
}

#[test]
fn ten_thousand_columns_work() {
    let (_directory, store) = store();
    let fields = (0..10_000).map(|number| Field::new(format!("column {number}"), DataType::Float64)).collect();
    let schema = Schema::new(fields).unwrap();
    assert_eq!(schema.chunk_rows(), 64);
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..70).map(f64::from)));
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![column; 10_000]).unwrap();
    let table = store.open_table(&write(&store, &schema, &[batch]).digest()).unwrap();
    assert_eq!((table.rows(), table.chunks()), (70, 2));
    let read = table.read(64, 6, Some(&[9_999])).unwrap();
    assert_eq!(read.column(0).as_primitive::<Float64Type>().values()[..], [64.0, 65.0, 66.0, 67.0, 68.0, 69.0]);
    table.verify().unwrap();
}

#[test]
fn the_digest_of_a_table_is_what_the_format_says() {
    use sha2::{Digest as _, Sha256};
    let (_directory, store) = store();
    let schema = Schema::new(vec![
        Field::new("n", DataType::Int64).with_nullable(true),
        Field::new("c", DataType::Categorical).with_role(Role::Target),
    ])
    .unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(5), None, Some(-1)]));
    let words: ArrayRef = Arc::new(["b", "a", "b"].into_iter().collect::<DictionaryArray<Int32Type>>());
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![numbers, words]).unwrap();

    // Derived from docs/formats/table-digest.md, not from the program.
    let column = |header: [u8; 2], parts: &[&[u8]]| -> [u8; 32] {
        let mut message = vec![header[0], header[1], 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0];
        message.resize(64, 0);
        for part in parts {
            message.extend_from_slice(part);
            message.resize(message.len().next_multiple_of(64), 0);
        }
        Sha256::digest(&message).into()
    };
    let numbers = [5_i64.to_le_bytes(), 0_i64.to_le_bytes(), (-1_i64).to_le_bytes()].concat();
    let codes = [0_i32.to_le_bytes(), 1_i32.to_le_bytes(), 0_i32.to_le_bytes()].concat();
    let columns = [column([1, 1], &[&[0b101], &numbers]), column([4, 0], &[&codes])].concat();
    let word = |number: u64| number.to_le_bytes();
    let mut message = b"stagewright table 1\n".to_vec();
    message.extend_from_slice(&word(2));
    message.extend_from_slice(&[&word(1)[..], b"n", &[1, 1, 0], &word(1), b"c", &[4, 0, 1]].concat());
    message.extend_from_slice(&[word(8192), word(3), word(2)].concat());
    message.extend_from_slice(&[&word(1)[..], b"b", &word(1), b"a"].concat());
    message.extend_from_slice(&Sha256::digest(&columns));

    assert_eq!(write(&store, &schema, &[batch]).digest(), Digest::of(&message));
}

#[test]
fn the_digest_depends_on_values_schema_and_roles() {
    let (_directory, store) = store();
    let digest = |schema: &Schema, values: Vec<f64>| {
        let column: ArrayRef = Arc::new(Float64Array::from(values));
        write(&store, schema, &[RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap()]).digest()
    };
    let schema = |name: &str, nullable, role| {
        Schema::new(vec![Field::new(name, DataType::Float64).with_nullable(nullable).with_role(role)]).unwrap()
    };
    let plain = schema("x", false, Role::Feature);
    let base = digest(&plain, vec![0.0, 1.0]);
    assert_eq!(base, digest(&plain, vec![0.0, 1.0]));
    let others = [
        digest(&plain, vec![-0.0, 1.0]),
        digest(&plain, vec![1.0, 0.0]),
        digest(&plain, vec![0.0, 1.0, 0.0]),
        digest(&schema("y", false, Role::Feature), vec![0.0, 1.0]),
        digest(&schema("x", true, Role::Feature), vec![0.0, 1.0]),
        digest(&schema("x", false, Role::Target), vec![0.0, 1.0]),
    ];
    assert!(!others.contains(&base));
    let nan = |bits| digest(&plain, vec![f64::from_bits(bits), 1.0]);
    assert_eq!(nan(0x7ff8_0000_0000_0000), nan(0xffff_ffff_0000_0001));
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let (_directory, store) = store();
    let schema = Schema::new(vec![Field::new("x", DataType::Float64)]).unwrap();
    let staging = store.stage();
    let mut writer = staging.create_table(&schema).unwrap();
    let batch = |name: &str, column: ArrayRef| RecordBatch::try_from_iter([(name, column)]).unwrap();
    let floats = |values: Vec<Option<f64>>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
    writer.write(&batch("x", floats(vec![Some(1.0); 10]))).unwrap();
    let other = writer.write(&batch("y", floats(vec![Some(1.0)])));
    assert!(matches!(other, Err(StoreError::BatchMismatch { .. })));
    let other = writer.write(&batch("x", Arc::new(Int64Array::from(vec![1]))));
    assert!(matches!(other, Err(StoreError::BatchMismatch { .. })));
    let null = writer.write(&batch("x", floats(vec![Some(1.0), None]))).unwrap_err();
    assert_eq!(null.to_string(), "column `x`, row 11: there is a null in a column that is not nullable");
}

// invariant: as `a_damaged_blob_or_document_is_never_served`
#[test]
fn a_cut_or_edited_file_is_an_error_and_never_a_panic() {
    let (_directory, store) = store();
    let digest = write(&store, &all_types(), &[rows(0..300)]).digest();
    let path = store.path(ArtifactKind::Table, &digest);
    let whole = fs::read(&path).unwrap();
    let with = |bytes: &[u8]| {
        replace(&path, bytes);
        let table = store.open_table(&digest)?;
        for batch in table.batches(None) {
            batch?.columns().iter().for_each(|column| column.to_data().validate_full().unwrap());
        }
        table.verify()
    };
    for length in (0..whole.len()).step_by(97) {
        assert!(with(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    for position in (0..whole.len()).step_by(3) {
        let mut edited = whole.clone();
        edited[position] ^= 0x55;
        // Padding may change without harm. Every other change is found by structure or digest.
        if let Err(error) = with(&edited) {
            assert!(
                matches!(error, StoreError::Damaged { .. } | StoreError::DigestDiffers { .. }),
                "byte {position}: {error}"
            );
        }
    }
    let value = whole.windows(8).position(|bytes| bytes == (151.0_f64 / 3.0).to_le_bytes()).unwrap();
    let mut edited = whole.clone();
    edited[value] ^= 1;
    assert!(matches!(with(&edited), Err(StoreError::DigestDiffers { .. })));
    with(&whole).unwrap();
}

/// Writes a new file and renames it: a mapped file never changes.
fn replace(path: &Path, bytes: &[u8]) {
    let aside = path.with_extension("aside");
    fs::write(&aside, bytes).unwrap();
    fs::rename(aside, path).unwrap();
}

#[test]
fn exports_hold_the_same_rows() {
    let (directory, store) = store();
    let table = write(&store, &all_types(), &[rows(0..10_000)]);

    let parquet = directory.path().join("table.parquet");
    export_parquet(&table, &parquet).unwrap();
    let file = fs::File::open(&parquet).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let read: Vec<String> = reader.build().unwrap().flat_map(|batch| cells(&batch.unwrap())).collect();
    assert_eq!(read, all_cells(&table));

    let csv = directory.path().join("table.csv");
    export_csv(&table, &csv, Formulas::Kept).unwrap();
    let text = fs::read_to_string(&csv).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("boolean,int64,float64,utf8,categorical,timestamp"));
    assert_eq!(lines.next(), Some("true,-50,0,,red,1970-01-01T00:00:00Z"));
    assert_eq!(lines.next(), Some("false,-49,0.3333333333333333,ä,green,1970-01-01T00:00:00.000001Z"));
    assert_eq!(lines.nth(1), Some(",,,,,"));
    assert_eq!(text.lines().count(), 10_001);
}

#[test]
fn text_that_a_spreadsheet_would_run_is_quoted_on_request() {
    let (directory, store) = store();
    let fields = vec![Field::new("=cmd|' /C calc'!A0", DataType::Utf8), Field::new("number", DataType::Int64)];
    let texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "a=b", ""];
    let batch = RecordBatch::try_new(
        Schema::new(fields.clone()).unwrap().to_arrow(),
        vec![Arc::new(StringArray::from(texts.to_vec())), Arc::new(Int64Array::from(vec![-1; texts.len()]))],
    )
    .unwrap();
    let table = write(&store, &Schema::new(fields).unwrap(), &[batch]);
    let export = |formulas| {
        let csv = directory.path().join("table.csv");
        export_csv(&table, &csv, formulas).unwrap();
        fs::read_to_string(&csv).unwrap()
    };
    assert_eq!(
        export(Formulas::Quoted),
        "'=cmd|' /C calc'!A0,number\n'=1+1,-1\n'+1,-1\n'-1,-1\n'@SUM(A1),-1\n'\tx,-1\na=b,-1\n,-1\n"
    );
    assert_eq!(
        export(Formulas::Kept),
        "=cmd|' /C calc'!A0,number\n=1+1,-1\n+1,-1\n-1,-1\n@SUM(A1),-1\n\tx,-1\na=b,-1\n,-1\n"
    );
}

// A group of rows is in memory until it is written.
#[test]
fn few_long_rows_are_a_group_of_an_exported_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table.parquet");
    let schema = Schema::new(vec![Field::new("note", DataType::Utf8)]).unwrap();
    let mut writer = ParquetExport::new(ExportFile::create(&path).unwrap(), &schema, &[]).unwrap();
    // Texts that do not become shorter when they are compressed.
    let mut state = 7_u64;
    let mut character = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + (state >> 58) as u8)
    };
    let long: String = (0..1 << 20).map(|_| character()).collect();
    for piece in 0..20 {
        let text = |row: usize| [&long[(piece * 8 + row) * 101..], &long[..(piece * 8 + row) * 101]].concat();
        let texts: StringArray = (0..8).map(|row| Some(text(row))).collect();
        writer.write(&RecordBatch::try_new(schema.to_arrow(), vec![Arc::new(texts)]).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    let file = fs::File::open(&path).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let groups: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups.iter().sum::<i64>(), 160);
    assert!(groups.iter().all(|rows| *rows <= 96), "{groups:?}");
}

#[test]
fn a_failed_export_leaves_no_file() {
    let (directory, store) = store();
    let table = write(&store, &all_types(), &[rows(0..10)]);
    let missing = directory.path().join("missing").join("table.csv");
    let error = export_csv(&table, &missing, Formulas::Kept).unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    assert!(!missing.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // invariant: A table's digest does not depend on how its rows arrived.
    #[test]
    fn batch_sizes_slices_and_category_numbers_do_not_change_the_digest(
        cuts in prop::collection::vec(1usize..4000, 1..12),
        padding in 0usize..20,
    ) {
        let (_directory, store) = store();
        let total = 9000;
        let expected = write(&store, &all_types(), &[rows(0..total)]).digest();
        let (mut batches, mut start) = (Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            let end = (start + cut).min(total);
            // Each batch is a slice of a larger one, whose categories are numbered from its own
            // first row.
            let first = start.saturating_sub(padding);
            batches.push(rows(first..end + padding).slice(start - first, end - start));
            start = end;
            if start == total {
                break;
            }
        }
        prop_assert_eq!(write(&store, &all_types(), &batches).digest(), expected);
    }
}

#[test]
fn the_categories_of_a_table_have_a_total_and_cost_what_escaping_makes_of_them() {
    let (_directory, store) = store();
    let staging = store.stage();
    let field = |name: &str| Field::new(name, DataType::Categorical).with_nullable(false);
    let schema = Schema::new(vec![field("a"), field("b")]).unwrap();
    let mut writer = staging.create_table(&schema).unwrap();
    let column = |row: u32| {
        // A mebibyte each, which takes six in the file's footer.
        let text = format!("{row}{}", "\u{1}".repeat(1 << 20));
        let array: DictionaryArray<Int32Type> = [Some(text.as_str())].into_iter().collect();
        Arc::new(array) as ArrayRef
    };
    for row in 0..45 {
        let batch = RecordBatch::try_new(schema.to_arrow(), vec![column(row), column(row)]).unwrap();
        writer.write(&batch).unwrap();
    }
    assert!(writer.finishing_bytes() > (4 * 500) << 20, "{}", writer.finishing_bytes());
    match writer.finish() {
        Err(StoreError::TextTooLong { problem, .. }) => {
            assert!(problem.contains("categories of all columns take more than 512 MiB"), "{problem}");
        }
        other => panic!("{other:?}"),
    }
}
