//! What crosses the boundary: arbitrary columns never panic, what is accepted is valid Arrow, what is malformed is refused
//! with column and row.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray};
use proptest::prelude::*;
use stagewright_store::{
    BatchFault, BatchProblem as Problem, CANONICAL_NAN, DataType, Field, MAX_BATCH_BYTES, RawColumn, RawValues, Schema,
    batch_bytes, check, raw_columns, rows_within,
};

fn schema(data_type: DataType, nullable: bool) -> Schema {
    Schema::new(vec![Field::new("x", data_type).with_nullable(nullable)]).unwrap()
}

fn check_one(
    rows: usize,
    values: RawValues,
    validity: Option<Vec<u8>>,
    nullable: bool,
) -> Result<ArrayRef, BatchFault> {
    let schema = schema(values.data_type(), nullable);
    check(rows, vec![RawColumn { values, validity }], &schema).map(|batch| Arc::clone(batch.column(0)))
}

#[track_caller]
fn refused(rows: usize, values: RawValues, validity: Option<Vec<u8>>) -> (Option<usize>, Problem) {
    let fault = check_one(rows, values, validity, true).unwrap_err();
    assert_eq!(fault.column.as_deref(), Some("x"));
    (fault.row, fault.problem)
}

fn utf8(offsets: &[i32], bytes: &[u8]) -> RawValues {
    RawValues::Utf8 { offsets: offsets.to_vec(), bytes: bytes.to_vec() }
}

fn categorical(codes: &[i32], offsets: &[i32], bytes: &[u8]) -> RawValues {
    RawValues::Categorical { codes: codes.to_vec(), offsets: offsets.to_vec(), bytes: bytes.to_vec() }
}

#[test]
fn nan_payloads_become_canonical_and_negative_zero_stays() {
    let mut values = vec![1.5; 5000];
    values[3] = f64::from_bits(0xfff8_dead_beef_0001);
    values[4096] = f64::from_bits(0x7ff0_0000_0000_0001);
    values[4097] = -0.0;
    values[4098] = f64::NEG_INFINITY;
    let array = check_one(5000, RawValues::Float64(values), None, false).unwrap();
    let bits: Vec<u64> = array.as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits()).collect();
    assert_eq!(bits[3], CANONICAL_NAN.to_bits());
    assert_eq!(bits[4096], CANONICAL_NAN.to_bits());
    assert_eq!(bits[4097], (-0.0_f64).to_bits());
    assert_eq!(bits[4098], f64::NEG_INFINITY.to_bits());
    assert_eq!(bits[0], 1.5_f64.to_bits());
}

#[test]
fn what_stands_at_a_null_is_replaced_and_not_looked_at() {
    let numbers = check_one(3, RawValues::Int64(vec![7, 8, 9]), Some(vec![0b101]), true).unwrap();
    assert_eq!(numbers.as_primitive::<Int64Type>().values()[..], [7, 0, 9]);

    let text = check_one(3, utf8(&[0, 1, 3, 4], b"a\xff\xfeb"), Some(vec![0b101]), true).unwrap();
    assert_eq!(text.as_string::<i32>().value_data(), b"ab");

    let codes = check_one(3, categorical(&[1, 99, 0], &[0, 1, 2], b"ab"), Some(vec![0b101]), true).unwrap();
    assert_eq!(codes.as_dictionary::<Int32Type>().keys().values()[..], [1, 0, 0]);

    let none = check_one(2, categorical(&[5, 6], &[0], b""), Some(vec![0]), true).unwrap();
    assert_eq!(none.null_count(), 2);

    let bits = check_one(3, RawValues::Boolean(vec![0b111]), Some(vec![0b101]), true).unwrap();
    assert_eq!(bits.as_boolean().values().values(), [0b101]);
}

#[test]
fn a_null_in_a_column_that_is_not_nullable_is_refused_with_its_row() {
    let fault = check_one(10, RawValues::Int64(vec![0; 10]), Some(vec![0xff, 0b01]), false).unwrap_err();
    assert_eq!(fault, BatchFault { column: Some("x".into()), row: Some(9), problem: Problem::Null });
    assert_eq!(fault.to_string(), "column `x`, row 9: a null stands in a column that is not nullable");
    assert!(check_one(10, RawValues::Int64(vec![0; 10]), Some(vec![0xff, 0b11]), false).is_ok());
}

#[test]
fn wrong_lengths_and_bitmaps_are_refused() {
    assert_eq!(refused(3, RawValues::Int64(vec![1, 2]), None), (None, Problem::ValueCount { found: 2, rows: 3 }));
    let size = Problem::BitmapSize { bitmap: "validity", found: 1, expected: 2 };
    assert_eq!(refused(9, RawValues::Float64(vec![0.0; 9]), Some(vec![0xff])), (None, size));
    let bits = Problem::TrailingBits { bitmap: "validity" };
    assert_eq!(refused(3, RawValues::Timestamp(vec![0; 3]), Some(vec![0xff])), (None, bits));
    assert_eq!(refused(3, RawValues::Boolean(vec![0x0f]), None), (None, Problem::TrailingBits { bitmap: "value" }));
    let size = Problem::BitmapSize { bitmap: "value", found: 2, expected: 1 };
    assert_eq!(refused(3, RawValues::Boolean(vec![1, 0]), None), (None, size));
}

#[test]
fn bad_offsets_are_refused() {
    let what = "string";
    assert_eq!(refused(1, utf8(&[], b""), None), (None, Problem::OffsetCount { what, found: 0, expected: 2 }));
    assert_eq!(refused(1, utf8(&[0], b""), None), (None, Problem::OffsetCount { what, found: 1, expected: 2 }));
    assert_eq!(refused(1, utf8(&[1, 1], b"a"), None), (None, Problem::OffsetStart { what, found: 1 }));
    assert_eq!(refused(2, utf8(&[0, 2, 1], b"a"), None), (Some(1), Problem::OffsetOrder { what, index: 2 }));
    assert_eq!(refused(2, utf8(&[0, -1, 1], b"a"), None), (Some(0), Problem::OffsetOrder { what, index: 1 }));
    assert_eq!(refused(1, utf8(&[0, 2], b"abc"), None), (None, Problem::OffsetEnd { what, found: 2, expected: 3 }));
    assert_eq!(refused(1, utf8(&[0, 9], b"abc"), None), (None, Problem::OffsetEnd { what, found: 9, expected: 3 }));
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_row() {
    assert_eq!(refused(2, utf8(&[0, 1, 2], b"a\xff"), None), (Some(1), Problem::StringUtf8));
    // Valid as a whole, but the second string begins inside a character.
    assert_eq!(refused(2, utf8(&[0, 1, 2], "ä".as_bytes()), None), (Some(0), Problem::StringUtf8));
    let category = Problem::CategoryUtf8 { index: 1 };
    assert_eq!(refused(1, categorical(&[0], &[0, 1, 2], b"a\xff"), None), (None, category));
}

#[test]
fn bad_codes_and_categories_are_refused() {
    let code = |code| Problem::Code { code, categories: 2 };
    assert_eq!(refused(2, categorical(&[1, 2], &[0, 1, 2], b"ab"), None), (Some(1), code(2)));
    assert_eq!(refused(2, categorical(&[-1, 0], &[0, 1, 2], b"ab"), None), (Some(0), code(-1)));
    let twice = Problem::CategoryTwice { first: 0, second: 2 };
    assert_eq!(refused(1, categorical(&[0], &[0, 1, 2, 3], b"aba"), None), (None, twice));
}

#[test]
fn a_batch_of_other_columns_or_too_many_bytes_is_refused() {
    let float = schema(DataType::Float64, false);
    let fault = check(1, vec![], &float).unwrap_err();
    assert_eq!(fault.problem, Problem::ColumnCount { found: 0, expected: 1 });

    let column = RawColumn { values: RawValues::Int64(vec![1]), validity: None };
    let fault = check(1, vec![column], &float).unwrap_err();
    assert_eq!(fault.problem, Problem::Type { found: DataType::Int64, expected: DataType::Float64 });

    let rows = MAX_BATCH_BYTES / 8 + 1;
    let column = RawColumn { values: RawValues::Float64(vec![0.0; rows]), validity: None };
    assert_eq!(check(rows, vec![column], &float).unwrap_err().problem, Problem::TooLarge { bytes: rows * 8 });

    let none = Schema::new(vec![]).unwrap();
    assert_eq!(check(5, vec![], &none).unwrap().num_rows(), 5);
    assert!(check(usize::MAX, vec![], &none).is_err());
}

#[test]
fn a_slice_of_a_table_with_many_categories_is_sent_with_those_that_it_uses() {
    let values: Vec<String> = (0..1000).map(|number| format!("category {number}")).collect();
    let array: arrow_array::DictionaryArray<Int32Type> = values.iter().map(String::as_str).collect();
    let batch = RecordBatch::try_from_iter([("x", Arc::new(array) as ArrayRef)]).unwrap().slice(500, 2);
    let columns = raw_columns(&batch).unwrap();
    let expected = categorical(&[0, 1], &[0, 12, 24], b"category 500category 501");
    assert_eq!(columns[0].values, expected);
}

#[test]
fn rows_that_fit_are_found_and_never_exceed_the_limit() {
    let text: Vec<String> = (0..100).map(|length| "x".repeat(length)).collect();
    let text: ArrayRef = Arc::new(StringArray::from(text));
    let numbers: ArrayRef = Arc::new(Float64Array::from(vec![1.0; 100]));
    let batch = RecordBatch::try_from_iter([("text", text), ("number", numbers)]).unwrap();
    for limit in [0, 10, 100, 1000, 5000, 100_000] {
        let rows = rows_within(&batch, limit).unwrap();
        let sent = |rows| raw_columns(&batch.slice(0, rows)).unwrap().iter().map(RawColumn::bytes).sum::<usize>();
        assert!(rows == 0 || sent(rows) <= limit, "{rows} rows in {limit} bytes");
        assert!(rows == 100 || sent(rows + 1) > limit, "{rows} rows in {limit} bytes");
        assert_eq!(sent(rows), batch_bytes(&batch, rows).unwrap());
    }
}

fn raw_values() -> impl Strategy<Value = RawValues> {
    let offsets = || prop::collection::vec(-1i32..9, 0..6);
    let bytes = || prop_oneof!["[a-cä]{0,5}".prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..8)];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..3).prop_map(RawValues::Boolean),
        prop::collection::vec(any::<i64>(), 0..6).prop_map(RawValues::Int64),
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..6).prop_map(RawValues::Float64),
        (offsets(), bytes()).prop_map(|(offsets, bytes)| RawValues::Utf8 { offsets, bytes }),
        (prop::collection::vec(-1i32..4, 0..6), offsets(), bytes())
            .prop_map(|(codes, offsets, bytes)| RawValues::Categorical { codes, offsets, bytes }),
        prop::collection::vec(any::<i64>(), 0..6).prop_map(RawValues::Timestamp),
    ]
}

/// Well-formed columns of `rows` rows.
fn good_values(rows: usize) -> impl Strategy<Value = RawValues> {
    let numbers = move || prop::collection::vec(any::<i64>(), rows);
    let strings = |count| prop::collection::vec("[a-zäß€]{0,6}", count);
    let raw = |strings: Vec<String>| {
        let ends = strings.iter().scan(0, |end, it| {
            *end += it.len() as i32;
            Some(*end)
        });
        (std::iter::once(0).chain(ends).collect::<Vec<i32>>(), strings.concat().into_bytes())
    };
    prop_oneof![
        prop::collection::vec(any::<bool>(), rows).prop_map(|rows| RawValues::Boolean(bitmap(&rows))),
        numbers().prop_map(RawValues::Int64),
        numbers().prop_map(RawValues::Timestamp),
        prop::collection::vec(any::<u64>().prop_map(f64::from_bits), rows).prop_map(RawValues::Float64),
        strings(rows).prop_map(move |strings| {
            let (offsets, bytes) = raw(strings);
            RawValues::Utf8 { offsets, bytes }
        }),
        (prop::collection::btree_set("[a-zäß€]{0,6}", 1..5), prop::collection::vec(any::<u32>(), rows)).prop_map(
            move |(categories, codes)| {
                let count = categories.len() as u32;
                let codes = codes.into_iter().map(|code| (code % count) as i32).collect();
                let (offsets, bytes) = raw(categories.into_iter().collect());
                RawValues::Categorical { codes, offsets, bytes }
            }
        ),
    ]
}

fn bitmap(rows: &[bool]) -> Vec<u8> {
    let mut bits = vec![0; rows.len().div_ceil(8)];
    for (row, &set) in rows.iter().enumerate() {
        bits[row / 8] |= u8::from(set) << (row % 8);
    }
    bits
}

fn good_column() -> impl Strategy<Value = (usize, RawColumn)> {
    (0usize..40).prop_flat_map(|rows| {
        let validity = prop::option::of(prop::collection::vec(any::<bool>(), rows).prop_map(|rows| bitmap(&rows)));
        (Just(rows), good_values(rows), validity)
            .prop_map(|(rows, values, validity)| (rows, RawColumn { values, validity }))
    })
}

/// The logical values, one by one.
fn cells(array: &ArrayRef) -> Vec<Option<String>> {
    let cell = |row| match DataType::from_arrow(array.data_type()).unwrap() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:x}", array.as_primitive::<Float64Type>().value(row).to_bits()),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Categorical => {
            let array = array.as_dictionary::<Int32Type>();
            array.values().as_string::<i32>().value(array.keys().value(row) as usize).to_owned()
        }
        DataType::Timestamp => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| cell(row))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn arbitrary_columns_never_panic_and_what_is_accepted_is_valid_arrow(
        rows in 0usize..6,
        values in raw_values(),
        validity in prop::option::of(prop::collection::vec(any::<u8>(), 0..2)),
        nullable in any::<bool>(),
    ) {
        if let Ok(array) = check_one(rows, values, validity, nullable) {
            array.to_data().validate_full().unwrap();
            prop_assert_eq!(array.len(), rows);
            prop_assert!(nullable || array.null_count() == 0);
        }
    }

    #[test]
    fn well_formed_columns_are_accepted_and_sent_back_canonical((rows, column) in good_column()) {
        let schema = schema(column.values.data_type(), true);
        let batch = check(rows, vec![column], &schema).unwrap();
        batch.column(0).to_data().validate_full().unwrap();
        let sent = raw_columns(&batch).unwrap();
        let again = check(rows, sent.clone(), &schema).unwrap();
        prop_assert_eq!(cells(batch.column(0)), cells(again.column(0)));
        // By text, because NaN differs from itself.
        prop_assert_eq!(format!("{sent:?}"), format!("{:?}", raw_columns(&again).unwrap()));
    }

    #[test]
    fn a_slice_is_sent_as_if_it_had_always_been_alone((rows, column) in good_column(), cut in any::<(usize, usize)>()) {
        let schema = schema(column.values.data_type(), true);
        let batch = check(rows, vec![column], &schema).unwrap();
        let start = cut.0 % (rows + 1);
        let length = cut.1 % (rows - start + 1);
        let slice = batch.slice(start, length);
        let sent = raw_columns(&slice).unwrap();
        let alone = check(length, sent.clone(), &schema).unwrap();
        prop_assert_eq!(cells(slice.column(0)), cells(alone.column(0)));
        let bytes: usize = sent.iter().map(RawColumn::bytes).sum();
        prop_assert!(bytes <= batch_bytes(&slice, length).unwrap());
    }
}
