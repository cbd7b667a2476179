//! Parquet files: every date, time and decimal is read exactly or is a fault; damaged files are
//! faults.

mod both;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    Array, ArrayRef, Date32Array, Date64Array, Decimal128Array, DurationMicrosecondArray, FixedSizeBinaryArray,
    Float64Array, Int64Array, ListArray, NullArray, RecordBatch, StringArray, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_schema::{DataType as ArrowType, Field as ArrowField};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType};
use parquet::data_type::{Int96, Int96Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use proptest::prelude::*;
use stagewright_data::{DataError, InferenceOptions, Interrupt, Signature, Source, Strictness, infer, open};
use stagewright_store::{DataType, Field};
use tempfile::TempDir;

/// The first and last microsecond of a timestamp: those of the years -9999 and 9999.
const FIRST: i64 = -377_705_116_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;
const DAY: i64 = 86_400_000_000;

fn write(folder: &TempDir, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    write_with(folder, columns, WriterProperties::new())
}

fn write_with(folder: &TempDir, columns: Vec<(&str, ArrayRef)>, properties: WriterProperties) -> PathBuf {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)));
    let batch = batch.unwrap();
    let path = folder.path().join("table.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

/// Writes a file with one column `t` of INT96: days since 1970 and nanoseconds in them.
fn write_int96(folder: &TempDir, times: &[(i32, u64)]) -> PathBuf {
    let column = Type::primitive_type_builder("t", PhysicalType::INT96).with_repetition(Repetition::REQUIRED);
    let column = Arc::new(column.build().unwrap());
    let schema = Arc::new(Type::group_type_builder("schema").with_fields(vec![column]).build().unwrap());
    let path = folder.path().join("int96.parquet");
    let properties = Arc::new(WriterProperties::builder().set_dictionary_enabled(false).build());
    let mut writer = SerializedFileWriter::new(File::create(&path).unwrap(), schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<Int96> = times
        .iter()
        .map(|(days, nanoseconds)| {
            let mut value = Int96::new();
            let julian = days.wrapping_add(2_440_588);
            value.set_data(*nanoseconds as u32, (nanoseconds >> 32) as u32, julian as u32);
            value
        })
        .collect();
    column.typed::<Int96Type>().write_batch(&values, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    path
}

fn source(path: &Path) -> Source {
    Source::new(format!("parquet:{}", path.display()).parse().unwrap())
}

fn read(path: &Path, name: &str, data_type: DataType) -> Result<ArrayRef, DataError> {
    let signature = Signature::new(vec![Field::new(name, data_type)]).unwrap().with_null_values(Vec::<String>::new());
    let whole = || {
        let mut cursor = open(&source(path), &signature, Strictness::Ingest, &Interrupt::never())?;
        let batch = cursor.next(1 << 16)?.expect("the file has rows");
        assert!(cursor.next(1)?.is_none());
        Ok(batch)
    };
    let batch = both::alike(whole(), &source(path), &signature)?;
    Ok(Arc::clone(batch.column(0)))
}

fn times(path: &Path) -> Result<Vec<i64>, DataError> {
    Ok(read(path, "t", DataType::Timestamp)?.as_primitive::<TimestampMicrosecondType>().values().to_vec())
}

fn texts(path: &Path, name: &str) -> Result<Vec<Option<String>>, DataError> {
    Ok(read(path, name, DataType::Utf8)?.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect())
}

/// Returns the microseconds; `None` outside of the calendar.
fn exact(value: i64, factor: i64) -> Option<i64> {
    let microseconds = i128::from(value) * i128::from(factor);
    i64::try_from(microseconds).ok().filter(|it| (FIRST..=LAST).contains(it))
}

/// Checks that a single time is read as expected: the value, or a fault with column, row and value.
fn check(path: &Path, value: impl std::fmt::Display, expected: Option<i64>) {
    match (times(path), expected) {
        (Ok(found), Some(expected)) => assert_eq!(found, [expected], "{value}"),
        (Err(DataError::Fault(fault)), None) => {
            assert_eq!((fault.column.as_deref(), fault.row), (Some("t"), Some(0)));
            let shown = fault.value.clone().unwrap_or_default();
            assert!(shown.starts_with(&value.to_string()) && fault.message.contains("9999"), "{fault}");
        }
        (found, expected) => panic!("{value}: read as {found:?}, and it is {expected:?}"),
    }
}

/// Values in units of `factor` microseconds: arbitrary ones, those near the ends of the calendar,
/// and those that writers use for infinities.
fn unit_values(factor: i64) -> impl Strategy<Value = i64> {
    let near = |end: i64| (-3_i64..=3).prop_map(move |by| end / factor + by);
    prop_oneof![
        any::<i64>(),
        FIRST / factor..=LAST / factor,
        near(FIRST),
        near(LAST),
        prop_oneof![Just(i64::MAX), Just(i64::MIN), Just(i64::MIN + 1), Just(i64::MAX - 1)],
        near(i64::MAX),
        near(i64::MIN + 3 * factor),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    // invariant: A date, time or decimal in a Parquet file decodes exactly or is a fault. Values
    // written by pyarrow decode as pyarrow reads them.
    #[test]
    fn a_date_is_its_midnight_or_a_fault(days in prop_oneof![
        any::<i32>(), -4_371_600..=2_932_900, Just(i32::MAX), Just(i32::MIN), 2_932_890..=2_932_900, -4_371_590..=-4_371_580,
    ]) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, vec![("t", Arc::new(Date32Array::from(vec![days])))]);
        check(&path, days, exact(days.into(), DAY));
    }

    #[test]
    fn a_date_in_milliseconds_is_exact_or_a_fault(value in unit_values(1000)) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(&folder, vec![("t", Arc::new(Date64Array::from(vec![value])))]);
        check(&path, value, exact(value, 1000));
    }

    // invariant: as `a_date_is_its_midnight_or_a_fault`
    #[test]
    fn a_timestamp_of_any_unit_is_exact_or_a_fault(
        seconds in unit_values(1_000_000), milliseconds in unit_values(1000), microseconds in unit_values(1), nanoseconds: i64,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let file = |array: ArrayRef| write(&folder, vec![("t", array)]);
        let utc = |array: TimestampMicrosecondArray| array.with_timezone("UTC");
        check(&file(Arc::new(TimestampSecondArray::from(vec![seconds]))), seconds, exact(seconds, 1_000_000));
        check(&file(Arc::new(TimestampMillisecondArray::from(vec![milliseconds]))), milliseconds, exact(milliseconds, 1000));
        check(&file(Arc::new(utc(vec![microseconds].into()))), microseconds, exact(microseconds, 1));
        check(&file(Arc::new(TimestampNanosecondArray::from(vec![nanoseconds]))), nanoseconds, Some(nanoseconds.div_euclid(1000)));
    }

    // invariant: as `a_date_is_its_midnight_or_a_fault`
    #[test]
    fn an_int96_is_exact_or_a_fault(days in prop_oneof![
        any::<i32>(), -4_371_600..=2_932_900, 2_932_890..=2_932_900, 106_751..=106_753, Just(i32::MAX), Just(i32::MIN),
    ], nanoseconds in 0_u64..86_400_000_000_000) {
        let folder = tempfile::tempdir().unwrap();
        let path = write_int96(&folder, &[(days, nanoseconds)]);
        // The file counts days from the year -4713.
        let days = i64::from(days.wrapping_add(2_440_588)) - 2_440_588;
        let microseconds = i128::from(days) * i128::from(DAY) + i128::from(nanoseconds / 1000);
        let expected = i64::try_from(microseconds).ok().filter(|it| (FIRST..=LAST).contains(it));
        let seconds = days * 86_400 + i64::try_from(nanoseconds / 1_000_000_000).unwrap();
        check(&path, seconds, expected);
    }

    // invariant: as `a_date_is_its_midnight_or_a_fault`
    #[test]
    fn a_decimal_keeps_all_digits(unscaled in prop_oneof![any::<i128>(), (-1000_i128..1000)], scale in 0_i8..=38) {
        let limit = 10_i128.pow(38);
        let unscaled = unscaled % limit;
        let folder = tempfile::tempdir().unwrap();
        let array = Decimal128Array::from(vec![unscaled]).with_precision_and_scale(38, scale).unwrap();
        let path = write(&folder, vec![("d", Arc::new(array))]);
        let text = texts(&path, "d").unwrap()[0].clone().unwrap();
        let digits: String = text.chars().filter(|letter| *letter != '.').collect();
        prop_assert_eq!(digits.parse::<i128>().unwrap(), unscaled, "{}", text);
        let decimals = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
        prop_assert_eq!(decimals, usize::try_from(scale).unwrap());
        let whole = read(&path, "d", DataType::Int64);
        let divisor = 10_i128.checked_pow(u32::try_from(scale).unwrap()).unwrap();
        let expected = (unscaled % divisor == 0).then(|| i64::try_from(unscaled / divisor).ok()).flatten();
        prop_assert_eq!(whole.ok().map(|it| it.as_primitive::<arrow_array::types::Int64Type>().value(0)), expected);
    }
}

#[test]
fn int96_of_the_last_day_is_itself_and_one_beyond_is_a_fault_of_its_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = write_int96(&folder, &[(2_932_896, 7_200_000_000_000), (0, 0), (-719_162, 0)]);
    assert_eq!(times(&path).unwrap(), [253_402_221_600_000_000, 0, -62_135_596_800_000_000]);
    let path = write_int96(&folder, &[(0, 0), (2_932_897, 0)]);
    let error = times(&path).unwrap_err().to_string();
    assert_eq!(error, "column `t`, data row 2: `253402300800 seconds since 1970` lies outside the years -9999 to 9999");
}

#[test]
fn null_columns_uuids_times_of_day_and_intervals_are_what_they_are_or_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let column = Type::primitive_type_builder("u", PhysicalType::FIXED_LEN_BYTE_ARRAY)
        .with_length(16)
        .with_logical_type(Some(LogicalType::Uuid))
        .with_repetition(Repetition::REQUIRED);
    let schema = Type::group_type_builder("schema").with_fields(vec![Arc::new(column.build().unwrap())]);
    let path = folder.path().join("uuid.parquet");
    let file = File::create(&path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema.build().unwrap()), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let value = parquet::data_type::FixedLenByteArray::from(b"0123456789abcdef".to_vec());
    column.typed::<parquet::data_type::FixedLenByteArrayType>().write_batch(&[value], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    assert_eq!(texts(&path, "u").unwrap(), [Some("30313233-3435-3637-3839-616263646566".to_owned())]);

    let bytes = FixedSizeBinaryArray::try_from_iter([b"abc"].into_iter()).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("nothing", Arc::new(NullArray::new(1))),
        ("clock", Arc::new(Time32MillisecondArray::from(vec![3_600_500]))),
        ("no clock", Arc::new(Time32MillisecondArray::from(vec![86_400_000]))),
        ("bytes", Arc::new(bytes)),
        ("span", Arc::new(DurationMicrosecondArray::from(vec![1]))),
    ];
    let path = write(&folder, columns);
    assert_eq!(texts(&path, "nothing").unwrap(), [None]);
    assert_eq!(texts(&path, "clock").unwrap(), [Some("01:00:00.500".to_owned())]);
    assert_eq!(texts(&path, "bytes").unwrap(), [Some("abc".to_owned())]);
    let error = texts(&path, "no clock").unwrap_err().to_string();
    assert!(error.starts_with("column `no clock`, data row 1: the value has no text"), "{error}");
}

/// Writes a file with columns of many kinds, several pages, and two row groups.
fn varied(folder: &TempDir) -> PathBuf {
    let numbers: Vec<i64> = (0..300).collect();
    let words: Vec<Option<String>> = (0..300).map(|row| (row % 7 != 0).then(|| format!("word {}", row % 11))).collect();
    let lists = ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>(
        (0..300_i64).map(|row| Some(vec![Some(row), None])),
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from(numbers.clone()))),
        ("x", Arc::new(Float64Array::from_iter_values(numbers.iter().map(|&n| n as f64 / 7.0)))),
        ("w", Arc::new(StringArray::from(words))),
        ("t", Arc::new(TimestampMillisecondArray::from(numbers.clone()))),
        ("d", Arc::new(Date32Array::from_iter_values(numbers.iter().map(|&n| n as i32)))),
        (
            "m",
            Arc::new(
                Decimal128Array::from_iter_values(numbers.iter().map(|&n| i128::from(n)))
                    .with_precision_and_scale(25, 3)
                    .unwrap(),
            ),
        ),
        ("l", Arc::new(lists)),
    ];
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(200))
        .set_data_page_row_count_limit(64)
        .set_write_batch_size(64)
        .set_compression(Compression::SNAPPY)
        .build();
    write_with(folder, columns, properties)
}

/// Reads as much as possible of a file. It must return.
fn read_all(path: &Path) -> Result<u64, DataError> {
    Ok(infer(&source(path), &InferenceOptions::default(), &Interrupt::never())?.rows)
}

// invariant: A damaged Parquet file is an error and never a panic.
#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(varied(&folder)).unwrap();
    let path = folder.path().join("damaged.parquet");
    let footer = whole.len() - 8 - u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    // xorshift (Marsaglia 2003): the same damage in every run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut refused = 0;
    for number in 0..4000 {
        let mut bytes = whole.clone();
        // Most damage goes to the footer, which everything else depends on.
        let from = if number % 4 == 0 { 4 } else { footer };
        for _ in 0..=random(3) {
            let at = from + random(whole.len() - 8 - from);
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = random(256) as u8,
                2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                _ => {
                    let length = random(6).min(whole.len() - 8 - at);
                    bytes[at..at + length].fill([0, 0xff][random(2)]);
                }
            }
        }
        fs::write(&path, &bytes).unwrap();
        let read = std::panic::catch_unwind(|| read_all(&path));
        refused += usize::from(read.unwrap_or_else(|_| panic!("damage {number} panics")).is_err());
    }
    assert!(refused > 1000, "{refused}");
    for cut in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..cut]).unwrap();
        assert!(read_all(&path).is_err(), "{cut}");
    }
}

#[test]
fn a_file_of_another_kind_is_named_as_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    for (bytes, words) in [
        (&b"a,b\n1,2\n"[..], "it is not a Parquet file\nhint: if it is text, write `csv:"),
        (b"\x1f\x8b\x08\0\0\0", "compressed with gzip"),
        (b"PAR1....PARX", "does not end as one"),
        (b"PAR1\0\0\0\0\0\0\0\0PARE", "its footer is encrypted"),
        (b"", "it is not a Parquet file"),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = read_all(&path).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_codec_that_is_not_read_is_named_with_what_to_do() {
    for (file, codec) in [("gzip", "gzip"), ("brotli", "brotli"), ("lz4", "LZ4")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{file}.parquet"));
        let error = read(&path, "d", DataType::Int64).unwrap_err().to_string();
        let (told, hint) = error.split_once("\nhint: ").unwrap();
        assert!(told.ends_with(&format!("column `d` is compressed with {codec}, which is not read")), "{error}");
        assert!(hint.contains("compression=\"zstd\""), "{error}");
    }
}

// invariant: as `a_date_is_its_midnight_or_a_fault`
/// Reads what pyarrow writes, and compares it with what pyarrow reads. Needs a Python with pyarrow,
/// named by `STAGEWRIGHT_PYTHON`.
#[test]
#[ignore = "needs pyarrow: STAGEWRIGHT_PYTHON names a Python that has it"]
fn every_time_and_decimal_that_pyarrow_writes_is_read_as_pyarrow_reads_it() {
    let python = std::env::var_os("STAGEWRIGHT_PYTHON").expect("STAGEWRIGHT_PYTHON names a Python with pyarrow");
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/write_parquet.py");
    let written = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    let mut compared = 0;
    let expected = fs::read_to_string(folder.path().join("expected.jsonl")).unwrap();
    for line in expected.lines() {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = folder.path().join(case["file"].as_str().unwrap());
        if case["kind"] == "refused" {
            let error = texts(&path, "d").unwrap_err().to_string();
            assert!(error.contains("column `d` is compressed with"), "{error}");
            continue;
        }
        let is_time = case["kind"] == "time";
        for (column, values) in case["columns"].as_object().unwrap() {
            for (row, value) in values.as_array().unwrap().iter().enumerate() {
                let one = folder.path().join(format!("{}.{row}", path.file_name().unwrap().to_str().unwrap()));
                compare(if one.exists() { &one } else { &path }, column, row, value, is_time);
                compared += 1;
            }
        }
    }
    assert!(compared > 500, "{compared}");
}

/// `value` is null where the calendar has no such time. The whole file is then refused.
fn compare(path: &Path, column: &str, row: usize, value: &serde_json::Value, is_time: bool) {
    let row = if path.extension().is_some_and(|ending| ending != "parquet") { 0 } else { row };
    let shown = format!("{} {column} row {row}: {value}", path.display());
    if is_time {
        match read(path, column, DataType::Timestamp) {
            Ok(array) => {
                assert_eq!(Some(array.as_primitive::<TimestampMicrosecondType>().value(row)), value.as_i64(), "{shown}")
            }
            Err(DataError::Fault(fault)) => assert!(value.is_null(), "{shown}: {fault}"),
            Err(error) => panic!("{shown}: {error}"),
        }
    } else {
        assert_eq!(texts(path, column).unwrap()[row].as_deref(), value.as_str(), "{shown}");
    }
}

#[test]
fn a_list_of_times_keeps_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let values = TimestampMillisecondArray::from(vec![0]);
    let field = Arc::new(ArrowField::new("item", values.data_type().clone(), true));
    let list = ListArray::new(field, arrow_buffer_offsets(), Arc::new(values), None);
    assert!(matches!(list.data_type(), ArrowType::List(_)));
    let path = write(&folder, vec![("l", Arc::new(list))]);
    assert_eq!(texts(&path, "l").unwrap(), [Some("[1970-01-01T00:00:00]".to_owned())]);
}

fn arrow_buffer_offsets() -> arrow_buffer::OffsetBuffer<i32> {
    arrow_buffer::OffsetBuffer::from_lengths([1])
}
