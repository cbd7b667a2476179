//! Streams that Arrow's writer wrote, and damaged ones.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int8Type, Int32Type, UInt16Type};
use arrow_array::{
    Array as _, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, LargeBinaryArray,
    LargeStringArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt64Array,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_ipc::writer::{DictionaryHandling, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema as ArrowSchema};
use proptest::prelude::*;
use stagewright_store::{DataType, Field};

use crate::request_decoder::{DecodedRequest, RequestDecoder, RequestFault, RequestOptions, UnknownFields};
use crate::signature::Signature;
use crate::source::arrow_ipc::columns::Columns;
use crate::source::arrow_ipc::messages::{Framed, Messages};

/// Nullable columns `x` of this type and `n` of int64.
fn decoder(data_type: DataType, options: RequestOptions) -> RequestDecoder {
    let fields = vec![Field::new("x", data_type).with_nullable(true), Field::new("n", DataType::Int64)];
    RequestDecoder::new(&Signature::new(fields).unwrap(), options)
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap()
}

/// A stream of `x`, beside a column `n` of numbers and one that nobody asked for.
fn of(x: ArrayRef) -> Vec<u8> {
    let mut list = ListBuilder::new(Int32Builder::new());
    (0..x.len()).for_each(|_| list.append_value([Some(1), None]));
    let n = Int8Array::from_iter_values((0..x.len()).map(|row| row as i8));
    let columns = vec![("list", Arc::new(list.finish()) as ArrayRef), ("x", x), ("n", Arc::new(n))];
    stream(&[batch(columns)], IpcWriteOptions::default())
}

/// Decodes `x` to a type and compares it with values in JSON.
fn compare(x: ArrayRef, data_type: DataType, values: &[&str]) {
    let decoder = decoder(data_type, RequestOptions::default());
    let rows: Vec<String> =
        values.iter().enumerate().map(|(row, value)| format!("{{\"n\": {row}, \"x\": {value}}}")).collect();
    let expected = decoder.json(rows.join(" ").as_bytes()).unwrap();
    let stream = of(Arc::clone(&x));
    let found = decoder.arrow_stream(&stream).unwrap_or_else(|fault| panic!("{}: {fault}", x.data_type()));
    assert_eq!(found.batch, expected.batch, "{}", x.data_type());
    // The bytes of a request lie anywhere.
    let moved = [&[0][..], &stream].concat();
    assert_eq!(decoder.arrow_stream(&moved[1..]).unwrap().batch, expected.batch, "{}", x.data_type());
}

fn unreadable(result: Result<DecodedRequest, RequestFault>) -> String {
    match result {
        Err(RequestFault::Unreadable { message }) => {
            let begin = "the body is not an Arrow stream that can be read: ";
            message.strip_prefix(begin).unwrap_or_else(|| panic!("{message}")).to_owned()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn arrow_values_become_what_the_same_values_of_other_sources_become() {
    use DataType::{Boolean, Categorical, Float64, Int64, Timestamp, Utf8};
    compare(Arc::new(Int64Array::from(vec![Some(i64::MIN), None])), Int64, &["-9223372036854775808", "null"]);
    compare(Arc::new(UInt8Array::from(vec![255, 0])), Int64, &["255", "0"]);
    compare(Arc::new(UInt64Array::from(vec![u64::MAX])), Utf8, &["18446744073709551615"]);
    compare(Arc::new(Float64Array::from(vec![0.1, f64::NAN])), Float64, &["0.1", "\"NaN\""]);
    compare(Arc::new(Float32Array::from(vec![0.5])), Float64, &["0.5"]);
    compare(Arc::new(Float64Array::from(vec![3.0])), Int64, &["3"]);
    compare(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), Boolean, &["true", "null", "false"]);
    compare(Arc::new(Int32Array::from(vec![1, 0])), Boolean, &["1", "0"]);
    compare(Arc::new(NullArray::new(2)), Utf8, &["null", "null"]);
    compare(Arc::new(Date32Array::from(vec![19_728])), Timestamp, &["\"2024-01-06\""]);
    compare(Arc::new(TimestampSecondArray::from(vec![1])), Timestamp, &["\"1970-01-01T00:00:01Z\""]);
    let zoned = TimestampNanosecondArray::from(vec![-1]).with_timezone("+01:00");
    compare(Arc::new(zoned), Timestamp, &["\"1969-12-31T23:59:59.999999Z\""]);
    let decimals = Decimal128Array::from(vec![12_345, -50]).with_precision_and_scale(10, 2).unwrap();
    compare(Arc::new(decimals), Float64, &["123.45", "-0.5"]);
    for data_type in [Utf8, Categorical] {
        let texts = [Some("a"), None, Some("a long text of more than twelve bytes é"), Some("a"), Some("")];
        let expected = ["\"a\"", "null", "\"a long text of more than twelve bytes é\"", "\"a\"", "\"\""];
        let bytes = || texts.iter().map(|text| text.map(str::as_bytes)).collect::<Vec<_>>();
        let dictionary: DictionaryArray<Int8Type> = texts.into_iter().collect();
        let arrays: [ArrayRef; 7] = [
            Arc::new(StringArray::from_iter(texts)),
            Arc::new(LargeStringArray::from_iter(texts)),
            Arc::new(StringViewArray::from_iter(texts)),
            Arc::new(BinaryArray::from_iter(bytes())),
            Arc::new(LargeBinaryArray::from_iter(bytes())),
            Arc::new(BinaryViewArray::from_iter(bytes())),
            Arc::new(dictionary),
        ];
        arrays.into_iter().for_each(|array| compare(array, data_type, &expected));
    }
    let numbers = DictionaryArray::<UInt16Type>::new(vec![1, 0].into(), Arc::new(Float64Array::from(vec![1.5, 2.0])));
    compare(Arc::new(numbers), Float64, &["2", "1.5"]);
    compare(Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab", b"cd"].iter()).unwrap()), Utf8, &["\"ab\"", "\"cd\""]);
}

#[test]
fn the_extension_for_uuids_is_known() {
    let uuid = FixedSizeBinaryArray::try_from_iter(std::iter::once([0x1f; 16])).unwrap();
    let name = ("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
    let metadata = HashMap::from([name]);
    let x = ArrowField::new("x", ArrowType::FixedSizeBinary(16), false).with_metadata(metadata);
    let schema = ArrowSchema::new(vec![x, ArrowField::new("n", ArrowType::Int64, false)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(uuid), Arc::new(Int64Array::from(vec![1]))];
    let stream = stream(&[RecordBatch::try_new(schema.into(), columns).unwrap()], IpcWriteOptions::default());
    let decoder = decoder(DataType::Utf8, RequestOptions::default());
    let expected = decoder.json(br#"{"n": 1, "x": "1f1f1f1f-1f1f-1f1f-1f1f-1f1f1f1f1f1f"}"#).unwrap();
    assert_eq!(decoder.arrow_stream(&stream).unwrap().batch, expected.batch);
}

#[test]
fn batches_follow_each_other_with_dictionaries_of_their_own() {
    let dictionary =
        |texts: [&str; 2]| -> ArrayRef { Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()) };
    let numbers = |first: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![first, first + 1])) };
    let batches = [
        batch(vec![("n", numbers(0)), ("x", dictionary(["a", "b"]))]),
        batch(vec![("n", numbers(2)), ("x", dictionary(["c", "a"]))]),
    ];
    let decoder = decoder(DataType::Categorical, RequestOptions { key: Some("x".to_owned()), ..Default::default() });
    let found = decoder.arrow_stream(&stream(&batches, IpcWriteOptions::default())).unwrap();
    let expected = decoder.csv(b"n,x\n0,a\n1,b\n2,c\n3,a\n").unwrap();
    assert_eq!(found.batch, expected.batch);
    assert_eq!([0, 1, 2, 3, 4].map(|row| found.key(row)), [Some("a"), Some("b"), Some("c"), Some("a"), None]);
    assert_eq!(decoder.arrow_stream(&stream(&[batches[0].slice(0, 0)], IpcWriteOptions::default())).unwrap().rows(), 0);

    let longer = |texts: &[&str]| -> ArrayRef {
        let keys = (0..texts.len()).map(|key| key as i32).collect::<Vec<_>>();
        Arc::new(DictionaryArray::<Int32Type>::new(keys.into(), Arc::new(StringArray::from(texts.to_vec()))))
    };
    let batches = [
        batch(vec![("n", numbers(0)), ("x", longer(&["a", "b"]))]),
        batch(vec![("n", Arc::new(Int64Array::from(vec![1, 2, 3]))), ("x", longer(&["a", "b", "c"]))]),
    ];
    let deltas = IpcWriteOptions::default().with_dictionary_handling(DictionaryHandling::Delta);
    let message = unreadable(decoder.arrow_stream(&stream(&batches, deltas)));
    assert_eq!(message, "a dictionary is sent in parts: write it without delta dictionaries");
}

#[test]
fn faults_name_rows_and_columns() {
    let decoder =
        decoder(DataType::Int64, RequestOptions { unknown_fields: UnknownFields::Refuse, ..Default::default() });
    let numbers = || -> ArrayRef { Arc::new(Int64Array::from(vec![Some(1), None])) };
    let texts = || -> ArrayRef { Arc::new(StringArray::from(vec!["1.5", "x"])) };
    let rows = batch(vec![("x", texts()), ("n", numbers())]);
    let told = |stream: &[u8]| match decoder.arrow_stream(stream) {
        Err(RequestFault::Rows { errors, .. }) => {
            errors.into_iter().map(|it| format!("{} {}: {}", it.row, it.field.unwrap(), it.message)).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        told(&stream(&[rows.clone(), rows], IpcWriteOptions::default())),
        [
            "0 x: `1.5` is not an int64: it has a fraction",
            "1 x: `x` is not an int64",
            "1 n: the value is missing, and an int64 is needed",
            "2 x: `1.5` is not an int64: it has a fraction",
            "3 x: `x` is not an int64",
            "3 n: the value is missing, and an int64 is needed",
        ]
    );
    let rows = batch(vec![("X", texts()), ("n", numbers())]);
    assert_eq!(
        told(&stream(&[rows], IpcWriteOptions::default())),
        [
            "0 X: the model has no field of this name; leave it out",
            "0 x: the field is absent, and an int64 is needed, or null"
        ]
    );
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1)]);
    list.append_null();
    let rows = batch(vec![("x", Arc::new(list.finish())), ("n", numbers())]);
    let found = told(&stream(&[rows], IpcWriteOptions::default()));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("0 x: values of the Arrow type List("), "{found:?}");
    let binary: ArrayRef = Arc::new(BinaryArray::from_vec(vec![b"1", b"\xff"]));
    let found = told(&stream(
        &[batch(vec![("x", binary), ("n", Arc::new(Int64Array::from(vec![1, 2])))])],
        IpcWriteOptions::default(),
    ));
    assert_eq!(found, ["1 x: the value is binary, which tables do not hold"]);
}

#[test]
fn a_small_stream_cannot_stand_for_many_rows_or_much_text() {
    let options = RequestOptions { max_rows: 1_000, max_bytes: 1 << 20, ..RequestOptions::default() };
    let decoder = |data_type| decoder(data_type, options.clone());
    let claimed =
        batch(vec![("x", Arc::new(NullArray::new(1 << 40)) as ArrayRef), ("n", Arc::new(NullArray::new(1 << 40)))]);
    let stream_of = |rows: RecordBatch| stream(&[rows], IpcWriteOptions::default());
    let fault = |result: Result<DecodedRequest, RequestFault>| result.map(|decoded| decoded.rows());
    let too_many = Err(RequestFault::TooManyRows { max: 1_000 });
    let too_large = Err(RequestFault::TooLarge { max: 1 << 20 });
    assert_eq!(fault(decoder(DataType::Utf8).arrow_stream(&stream_of(claimed))), too_many);

    let n = || -> ArrayRef { Arc::new(Int64Array::from(vec![7; 1_000])) };
    let long = "x".repeat(100_000);
    let keys = vec![0; 1_000];
    let values: [ArrayRef; 2] =
        [Arc::new(StringArray::from(vec![&*long])), Arc::new(StringViewArray::from_iter_values([&*long]))];
    for values in values {
        let dictionary = DictionaryArray::<Int32Type>::new(keys.clone().into(), values);
        let rows = batch(vec![("x", Arc::new(dictionary)), ("n", n())]);
        for data_type in [DataType::Utf8, DataType::Categorical] {
            assert_eq!(fault(decoder(data_type).arrow_stream(&stream_of(rows.clone()))), too_large);
        }
    }
    let one = StringViewArray::from_iter_values([&*long]);
    let views = ScalarBuffer::from(vec![one.views()[0]; 1_000]);
    let many = StringViewArray::try_new(views, one.data_buffers().to_vec(), None).unwrap();
    let rows = batch(vec![("x", Arc::new(many)), ("n", n())]);
    assert!(stream_of(rows.clone()).len() < 1 << 18);
    assert_eq!(fault(decoder(DataType::Utf8).arrow_stream(&stream_of(rows))), too_large);
}

// The text under a null takes no memory, so it does not count.
#[test]
fn texts_under_nulls_do_not_count() {
    let decoder = decoder(DataType::Utf8, RequestOptions { max_bytes: 1 << 20, ..RequestOptions::default() });
    let long = "x".repeat(100_000);
    let one = StringViewArray::from_iter_values([&*long]);
    let views = ScalarBuffer::from(vec![one.views()[0]; 1_000]);
    let nulls = NullBuffer::from((0..1_000).map(|row| row % 500 == 7).collect::<Vec<_>>());
    let masked = StringViewArray::try_new(views, one.data_buffers().to_vec(), Some(nulls)).unwrap();
    let found = decoder.arrow_stream(&stream_of_numbered(Arc::new(masked))).unwrap().batch;
    assert_eq!((found.column(0).null_count(), found.column(0).as_string::<i32>().value(7).len()), (998, 100_000));
    // The same in a dictionary, of which two values are used.
    let dictionary = DictionaryArray::<Int32Type>::new(
        vec![7, 0, 507].into(),
        Arc::new({
            let views = ScalarBuffer::from(vec![one.views()[0]; 1_000]);
            let nulls = NullBuffer::from((0..1_000).map(|row| row % 500 == 7).collect::<Vec<_>>());
            StringViewArray::try_new(views, one.data_buffers().to_vec(), Some(nulls)).unwrap()
        }),
    );
    let found = decoder.arrow_stream(&stream_of_numbered(Arc::new(dictionary))).unwrap().batch;
    assert_eq!(found.column(0).null_count(), 1);
}

/// A stream of `x` and row numbers.
fn stream_of_numbered(x: ArrayRef) -> Vec<u8> {
    let n: ArrayRef = Arc::new(Int64Array::from_iter_values(0..x.len() as i64));
    stream(&[batch(vec![("x", x), ("n", n)])], IpcWriteOptions::default())
}

#[test]
fn the_texts_of_a_column_count_as_many_bytes_as_they_have() {
    let seen = |x: ArrayRef| {
        let data_type = x.data_type().clone();
        let bytes = Buffer::from_vec(stream_of_numbered(x));
        let mut messages = Messages::new(&bytes);
        messages.next().unwrap().expect("a schema");
        let Framed { message, body } = messages.next().unwrap().expect("rows");
        let types = [data_type.clone(), ArrowType::Int64];
        let rows = message.header_as_record_batch().unwrap();
        let columns = Columns::locate(rows, &body, message.version(), types.iter()).unwrap();
        (columns.seen_bytes(0, &data_type).unwrap(), columns.seen_bytes(1, &ArrowType::Int64).unwrap())
    };
    let texts = [Some("a"), None, Some("a long text of more than twelve bytes")];
    let bytes = || texts.iter().map(|text| text.map(str::as_bytes)).collect::<Vec<_>>();
    let arrays: [ArrayRef; 6] = [
        Arc::new(StringArray::from_iter(texts)),
        Arc::new(LargeStringArray::from_iter(texts)),
        Arc::new(StringViewArray::from_iter(texts)),
        Arc::new(BinaryArray::from_iter(bytes())),
        Arc::new(LargeBinaryArray::from_iter(bytes())),
        Arc::new(BinaryViewArray::from_iter(bytes())),
    ];
    for array in arrays {
        assert_eq!(seen(Arc::clone(&array)), (38, 0), "{}", array.data_type());
    }
    assert_eq!(seen(Arc::new(FixedSizeBinaryArray::try_from_iter([b"ab", b"cd"].iter()).unwrap())), (4, 0));
}

#[test]
fn what_is_no_stream_is_told_as_such() {
    let decoder = decoder(DataType::Utf8, RequestOptions::default());
    let whole = of(Arc::new(StringArray::from(vec!["a", "b"])));
    assert_eq!(unreadable(decoder.arrow_stream(b"")), "it is empty");
    assert!(unreadable(decoder.arrow_stream(b"ARROW1\0\0")).starts_with("it is an Arrow file, and a stream is needed"));
    assert_eq!(unreadable(decoder.arrow_stream(b"{\"x\": 1, \"n\": 1}")), "no message begins at byte 0");
    assert_eq!(
        unreadable(decoder.arrow_stream(&[&whole[..], b"more"].concat())),
        "4 bytes follow the end of the stream"
    );
    // The end need not be marked.
    let end = whole.len() - 8;
    assert_eq!(decoder.arrow_stream(&whole[..end]).unwrap().rows(), 2);
    for length in 1..end {
        match decoder.arrow_stream(&whole[..length]) {
            Ok(decoded) => assert_eq!(decoded.rows(), 0, "the schema alone"),
            Err(RequestFault::Unreadable { message }) => assert!(message.contains("it ends within"), "{message}"),
            Err(fault) => panic!("{fault}"),
        }
    }
    assert!(unreadable(decoder.arrow_stream(&[0xff; 64])).starts_with("it ends within"));
}

#[test]
fn columns_that_are_not_read_may_hold_anything() {
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let nested = StructArray::from(vec![(Arc::new(ArrowField::new("a", ArrowType::Int32, true)), inner)]);
    let offsets = OffsetBuffer::new(vec![0, 1, 2].into());
    let field = Arc::new(ArrowField::new("item", nested.data_type().clone(), true));
    let list = arrow_array::ListArray::new(field, offsets, Arc::new(nested), None);
    let views = StringViewArray::from_iter_values(["a text that is longer than twelve bytes", "b"]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("list", Arc::new(list)),
        ("views", Arc::new(views)),
        ("x", Arc::new(StringArray::from(vec!["a", "b"]))),
        ("null", Arc::new(NullArray::new(2))),
        ("n", Arc::new(Int64Array::from(vec![1, 2]))),
    ];
    let decoder = decoder(DataType::Utf8, RequestOptions::default());
    let found = decoder.arrow_stream(&stream(&[batch(columns)], IpcWriteOptions::default())).unwrap();
    assert_eq!(found.batch, decoder.csv(b"x,n\na,1\nb,2\n").unwrap().batch);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    // invariant: A damaged Arrow stream is an error, or rows of bounded size.
    #[test]
    fn a_damaged_stream_is_rows_or_a_fault(
        kind in 0..4,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let texts = ["a", "a text of more than twelve bytes", "b"];
        let x: ArrayRef = match kind {
            0 => Arc::new(StringArray::from(texts.to_vec())),
            1 => Arc::new(StringViewArray::from(texts.to_vec())),
            2 => Arc::new(texts.into_iter().collect::<DictionaryArray<Int8Type>>()),
            _ => Arc::new(Float64Array::from(vec![Some(1.0), None, Some(2.0)])),
        };
        let mut stream = of(x);
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        if let Ok(decoded) = decoder(DataType::Categorical, RequestOptions::default()).arrow_stream(&stream) {
            prop_assert!(decoded.rows() <= 10_000);
            prop_assert_eq!(decoded.batch.num_columns(), 2);
        }
    }
}
