//! Arrow IPC files and streams as sources: what Arrow's writer wrote is read exactly, and bytes
//! that nobody would write are errors.

mod both;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::Array as _;
use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray, Float32Array,
    Float64Array, Int64Array, LargeStringArray, NullArray, RecordBatch, StringArray, StringViewArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;
use stagewright_data::{DataError, InferenceOptions, Interrupt, Signature, Source, Strictness, infer, open};
use stagewright_store::{DataType, Field};
use tempfile::TempDir;

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn as_file(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn as_stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn put(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn read(source: &Source, signature: &Signature) -> Result<RecordBatch, DataError> {
    let read = || {
        let mut cursor = open(source, signature, Strictness::Ingest, &Interrupt::never())?;
        let schema = cursor.schema().to_arrow();
        let mut batches = Vec::new();
        while let Some(batch) = cursor.next(usize::MAX)? {
            batches.push(batch);
        }
        Ok(concat_batches(&schema, &batches).unwrap())
    };
    both::alike(read(), source, signature)
}

fn read_bytes(bytes: &[u8], signature: &Signature) -> Result<RecordBatch, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = put(&folder, "t.arrow", bytes);
    read(&Source::new(format!("arrow:{}", path.display()).parse().unwrap()), signature)
}

fn of(name: &str, data_type: DataType) -> Signature {
    Signature::new(vec![Field::new(name, data_type).with_nullable(true)]).unwrap()
}

/// Columns of all kinds, of this many rows.
fn all_kinds(rows: usize) -> RecordBatch {
    let words: Vec<Option<String>> = (0..rows).map(|row| (row % 5 != 0).then(|| "é".repeat(row % 7))).collect();
    let keys: Vec<Option<&str>> = (0..rows).map(|row| (row % 4 != 0).then_some(["a", "b", "c"][row % 3])).collect();
    let mut list = ListBuilder::new(Int32Builder::new());
    (0..rows).for_each(|_| list.append_value([Some(1), None]));
    let uuids = FixedSizeBinaryArray::try_from_iter((0..rows).map(|row| [row as u8; 16])).unwrap();
    batch(vec![
        ("unread", Arc::new(list.finish())),
        ("boolean", Arc::new((0..rows).map(|row| (row % 3 > 0).then_some(row % 2 == 0)).collect::<BooleanArray>())),
        (
            "int64",
            Arc::new((0..rows).map(|row| (row % 3 > 0).then_some(i64::MAX - row as i64)).collect::<Int64Array>()),
        ),
        ("uint64", Arc::new((0..rows).map(|row| Some(u64::MAX - row as u64)).collect::<UInt64Array>())),
        ("float32", Arc::new((0..rows).map(|row| Some(row as f32 / 3.0)).collect::<Float32Array>())),
        ("float64", Arc::new((0..rows).map(|row| Some(row as f64 / 3.0)).collect::<Float64Array>())),
        ("utf8", Arc::new(words.iter().map(Option::as_deref).collect::<StringArray>())),
        ("large", Arc::new(words.iter().map(Option::as_deref).collect::<LargeStringArray>())),
        ("view", Arc::new(words.iter().map(Option::as_deref).collect::<StringViewArray>())),
        ("small", Arc::new(keys.iter().copied().collect::<DictionaryArray<Int8Type>>())),
        ("dictionary", Arc::new(keys.into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("date", Arc::new((0..rows).map(|row| Some(row as i32 - 10)).collect::<Date32Array>())),
        ("time", Arc::new((0..rows).map(|row| Some(row as i64 * 1_234_567_891)).collect::<TimestampNanosecondArray>())),
        (
            "decimal",
            Arc::new(
                (0..rows)
                    .map(|row| Some(row as i128 * 12_345))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(20, 3)
                    .unwrap(),
            ),
        ),
        ("null", Arc::new(NullArray::new(rows))),
        ("bytes", Arc::new(uuids)),
    ])
}

fn kinds() -> Signature {
    let field = |(name, data_type): (&str, DataType)| Field::new(name, data_type).with_nullable(true);
    let fields = [
        ("boolean", DataType::Boolean),
        ("int64", DataType::Int64),
        ("uint64", DataType::Utf8),
        ("float32", DataType::Float64),
        ("float64", DataType::Float64),
        ("utf8", DataType::Utf8),
        ("large", DataType::Categorical),
        ("view", DataType::Utf8),
        ("small", DataType::Categorical),
        ("dictionary", DataType::Utf8),
        ("date", DataType::Timestamp),
        ("time", DataType::Timestamp),
        ("decimal", DataType::Utf8),
        ("null", DataType::Float64),
    ];
    Signature::new(fields.map(field).to_vec()).unwrap()
}

// invariant: as `json_and_csv_give_the_same_batch`
#[test]
fn files_and_streams_give_the_rows_of_parquet() {
    let folder = tempfile::tempdir().unwrap();
    let rows = all_kinds(20_011);
    let small = rows.project(&(1..15).collect::<Vec<_>>()).unwrap();
    let parquet = folder.path().join("t.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&parquet).unwrap(), small.schema(), None).unwrap();
    writer.write(&small).unwrap();
    writer.close().unwrap();
    let expected = read(&Source::new(format!("parquet:{}", parquet.display()).parse().unwrap()), &kinds()).unwrap();
    let halves = [rows.slice(0, 9_999), rows.slice(9_999, rows.num_rows() - 9_999)];
    for batches in [&[rows.clone()][..], &halves] {
        assert_eq!(read_bytes(&as_file(batches), &kinds()).unwrap(), expected);
        assert_eq!(read_bytes(&as_stream(batches), &kinds()).unwrap(), expected);
    }
}

#[test]
fn a_signature_is_proposed_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let rows = all_kinds(50).project(&[2, 4, 10, 11]).unwrap();
    let path = put(&folder, "t.arrow", &as_file(&[rows]));
    let source = Source::new(format!("arrow:{}", path.display()).parse().unwrap());
    let proposed = infer(&source, &InferenceOptions::default(), &Interrupt::never()).unwrap().signature;
    let types: Vec<DataType> = proposed.fields.fields().iter().map(|field| field.data_type).collect();
    assert_eq!(types, [DataType::Int64, DataType::Float64, DataType::Categorical, DataType::Timestamp]);
}

#[test]
fn a_long_text_that_many_rows_repeat_takes_little_memory() {
    let text = "x".repeat(1 << 20);
    let values: DictionaryArray<Int32Type> = std::iter::repeat_n(text.as_str(), 3000).collect();
    let bytes = as_file(&[batch(vec![("t", Arc::new(values))])]);
    let folder = tempfile::tempdir().unwrap();
    let path = put(&folder, "t.arrow", &bytes);
    let source = Source::new(format!("arrow:{}", path.display()).parse().unwrap());
    let mut cursor = open(&source, &of("t", DataType::Utf8), Strictness::Ingest, &Interrupt::never()).unwrap();
    let batch = cursor.next(usize::MAX).unwrap().unwrap();
    assert!((1..=16).contains(&batch.num_rows()), "{}", batch.num_rows());
}

#[test]
fn what_is_not_read_is_an_error_with_a_hint() {
    let rows = all_kinds(20);
    let list =
        read_bytes(&as_file(std::slice::from_ref(&rows)), &of("unread", DataType::Utf8)).unwrap_err().to_string();
    assert!(list.starts_with("column `unread`: values of the Arrow type List") && list.contains("\nhint: "), "{list}");
    let binary =
        read_bytes(&as_file(std::slice::from_ref(&rows)), &of("bytes", DataType::Float64)).unwrap_err().to_string();
    assert!(binary.contains("column `bytes`, data row 1"), "{binary}");
    let file = as_file(std::slice::from_ref(&rows));
    let cases: [(Vec<u8>, &str); 6] = [
        (Vec::new(), "it is empty"),
        (file[..file.len() - 3].to_vec(), "does not end as one"),
        (file[..12].to_vec(), "does not end as one"),
        (as_stream(&[rows])[..200].to_vec(), "it ends within the message that begins at byte 0"),
        (b"a,b\n1,2\n3,4\n".to_vec(), "no message begins at byte 0"),
        (b"PAR1 and so on".to_vec(), "it is a Parquet file"),
    ];
    for (bytes, part) in cases {
        let error = read_bytes(&bytes, &of("utf8", DataType::Utf8)).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("\nhint: "), "{error}");
    }
    // An Arrow file under another kind of address is recognised.
    let folder = tempfile::tempdir().unwrap();
    let path = put(&folder, "t.csv", &file);
    let csv = Source::new(format!("csv:{}", path.display()).parse().unwrap());
    let error = read(&csv, &of("utf8", DataType::Utf8)).unwrap_err().to_string();
    assert!(error.contains("it is an Arrow file\nhint: write `arrow:"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // invariant: A damaged Arrow file is rows or an error, and never a panic.
    #[test]
    fn damaged_bytes_are_rows_or_an_error(at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), is_file: bool) {
        let rows = all_kinds(40);
        let mut bytes = if is_file { as_file(&[rows]) } else { as_stream(&[rows]) };
        for (index, byte) in at {
            let place = index.index(bytes.len());
            bytes[place] = byte;
        }
        let folder = tempfile::tempdir().unwrap();
        let path = put(&folder, "t.arrow", &bytes);
        let source = Source::new(format!("arrow:{}", path.display()).parse().unwrap());
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        if let Ok(mut cursor) = open(&source, &kinds(), Strictness::Ingest, &Interrupt::at(until)) {
            for _ in 0..50 {
                match cursor.next(usize::MAX) {
                    Ok(Some(batch)) => prop_assert!(batch.num_rows() > 0),
                    _ => break,
                }
            }
        }
    }
}

/// Returns a file that pyarrow's `feather.write_feather` wrote.
fn feather(name: &str) -> Vec<u8> {
    fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

#[test]
fn a_feather_file_of_zstd_is_read_and_one_of_lz4_says_what_to_do() {
    let field = |(name, data_type): (&str, DataType)| Field::new(name, data_type).with_nullable(true);
    let fields = [("n", DataType::Int64), ("x", DataType::Float64), ("t", DataType::Utf8), ("c", DataType::Utf8)];
    let signature = Signature::new(fields.map(field).to_vec()).unwrap();
    let bytes = feather("zstd.feather");
    let rows = read_bytes(&bytes, &signature).unwrap();
    let numbers: Int64Array = (0..3000_i64).map(|row| (row % 7 != 0).then_some(row * 1_000_003)).collect();
    let texts: StringArray = (0..3000).map(|row| (row % 5 != 0).then(|| format!("text {row}"))).collect();
    let letters: StringArray = (0..3000).map(|row| Some(["a", "b", "ccc"][row % 3])).collect();
    assert_eq!(rows.num_rows(), 3000);
    assert_eq!(rows.column(0).to_data(), numbers.into_data());
    assert_eq!(
        rows.column(1).to_data(),
        Float64Array::from_iter_values((0..3000).map(|row| f64::from(row) / 8.0)).into_data()
    );
    assert_eq!(rows.column(2).to_data(), texts.into_data());
    assert_eq!(rows.column(3).to_data(), letters.into_data());
    let error = read_bytes(&feather("lz4.feather"), &signature).unwrap_err().to_string();
    assert!(error.contains("compressed with LZ4, which is not read: write it with zstd"), "{error}");
    for place in (200..bytes.len() - 400).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0xff;
        let _ = read_bytes(&damaged, &signature);
    }
}
