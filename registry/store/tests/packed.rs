//! Batches as bytes: what is written reads back; damaged bytes are refused or valid.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use stagewright_store::packed::{batch_bytes, column_bytes, held_bytes, parse, rows_within};
use stagewright_store::{BatchFault, BatchProblem, CANONICAL_NAN, DataType, Field, MAX_BATCH_BYTES, Schema, packed};

/// Returns the bytes of a batch of the schema's columns.
fn write(batch: &RecordBatch, schema: &Schema) -> Vec<u8> {
    packed::write(batch, schema).expect("columns of the schema")
}

/// Marsaglia's xorshift64: the same numbers in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 0
    }

    fn of<T: Copy>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())]
    }
}

const TYPES: [DataType; 6] =
    [DataType::Boolean, DataType::Int64, DataType::Float64, DataType::Utf8, DataType::Categorical, DataType::Timestamp];

const WORDS: [&str; 6] = ["", "a", "ä", "No internet service", "Yes", "日本"];

fn array(draws: &mut Draws, rows: usize, field: &Field) -> ArrayRef {
    let has_nulls = field.nullable && draws.flag();
    let valid: Vec<bool> = (0..rows).map(|_| !has_nulls || draws.below(3) > 0).collect();
    let integers: Vec<Option<i64>> = valid.iter().map(|valid| valid.then(|| draws.below(1000) as i64 - 500)).collect();
    match field.data_type {
        DataType::Boolean => Arc::new(valid.iter().map(|valid| valid.then(|| draws.flag())).collect::<BooleanArray>()),
        DataType::Int64 => Arc::new(Int64Array::from(integers)),
        DataType::Timestamp => Arc::new(TimestampMicrosecondArray::from(integers).with_timezone("UTC")),
        DataType::Float64 => {
            let numbers = [f64::NAN, -0.0, f64::from_bits(0xfff8_0000_0000_beef), 1.5, f64::INFINITY];
            Arc::new(valid.iter().map(|valid| valid.then(|| draws.of(&numbers))).collect::<Float64Array>())
        }
        DataType::Utf8 => Arc::new(valid.iter().map(|valid| valid.then(|| draws.of(&WORDS))).collect::<StringArray>()),
        DataType::Categorical => {
            let count = 1 + draws.below(20);
            let categories: StringArray = (0..count).map(|number| Some(format!("c{number}"))).collect();
            let codes: Int32Array = valid.iter().map(|valid| valid.then(|| draws.below(count) as i32)).collect();
            Arc::new(DictionaryArray::<Int32Type>::try_new(codes, Arc::new(categories)).expect("codes of categories"))
        }
    }
}

fn schema(fields: Vec<Field>) -> Schema {
    Schema::new(fields).expect("distinct names")
}

fn batch(schema: &Schema, arrays: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.to_arrow(), arrays, &options).expect("columns of these types")
}

fn random(draws: &mut Draws) -> (Schema, RecordBatch) {
    let (columns, rows) = (draws.below(6), draws.below(40));
    let field = |number| Field::new(format!("c{number}"), draws.of(&TYPES)).with_nullable(draws.flag());
    let schema = schema((0..columns).map(field).collect());
    // Slices must be resolved.
    let skip = draws.below(10);
    let arrays = schema.fields().iter().map(|field| array(draws, rows + skip, field).slice(skip, rows)).collect();
    let batch = batch(&schema, arrays, rows);
    (schema, batch)
}

/// Returns the logical values of a column, with the canonical NaN.
fn cells(array: &ArrayRef) -> Vec<Option<String>> {
    let cell = |row| match DataType::from_arrow(array.data_type()).expect("a column of a table") {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            let number = if number.is_nan() { CANONICAL_NAN } else { number };
            format!("{:x}", number.to_bits())
        }
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Categorical => {
            let array = array.as_dictionary::<Int32Type>();
            array.values().as_string::<i32>().value(array.keys().value(row) as usize).to_owned()
        }
        DataType::Timestamp => array.as_primitive::<TimestampMicrosecondType>().value(row).to_string(),
    };
    (0..array.len()).map(|row| array.is_valid(row).then(|| cell(row))).collect()
}

#[test]
fn a_batch_comes_back_with_the_values_that_it_had_and_takes_the_bytes_that_were_counted() {
    let mut draws = Draws(88_172_645_463_325_252);
    for case in 0..20_000 {
        let (schema, batch) = random(&mut draws);
        let bytes = write(&batch, &schema);
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(batch_bytes(&batch, &schema).expect("columns of the schema"), bytes.len(), "{case}");
        let crossed = parse(batch.num_rows(), bytes.clone(), &schema).unwrap_or_else(|fault| panic!("{case}: {fault}"));
        for (before, after) in batch.columns().iter().zip(crossed.columns()) {
            after.to_data().validate_full().expect("valid");
            assert_eq!(cells(after), cells(before), "{case}");
        }
        assert_eq!(write(&crossed, &schema), bytes, "{case}: another crossing changes nothing");
    }
}

/// Damages the bytes, or the claimed number of rows.
/// Splits a batch at some places.
fn split(draws: &mut Draws, batch: &RecordBatch) -> Vec<RecordBatch> {
    let (mut parts, mut done) = (Vec::new(), 0);
    while done < batch.num_rows() {
        let rows = draws.below(batch.num_rows() - done + 1);
        parts.push(batch.slice(done, rows));
        done += rows;
    }
    parts
}

#[test]
fn several_batches_are_written_as_one() {
    let mut draws = Draws(11);
    let mut bytes = vec![7; 100];
    for _ in 0..2_000 {
        let (schema, whole) = random(&mut draws);
        let rows =
            packed::write_into(std::slice::from_ref(&whole), &schema, &mut bytes).expect("columns of the schema");
        assert_eq!((rows, &bytes), (whole.num_rows(), &write(&whole, &schema)));
        let parts = split(&mut draws, &whole);
        let rows = packed::write_into(&parts, &schema, &mut bytes).expect("columns of the schema");
        assert_eq!(rows, whole.num_rows());
        let joined = parse(rows, bytes.clone(), &schema).expect("a batch");
        let values = |batch: &RecordBatch| batch.columns().iter().map(cells).collect::<Vec<_>>();
        let canonical = parse(rows, write(&whole, &schema), &schema).expect("a batch");
        assert_eq!(values(&joined), values(&canonical));
        for (array, field) in canonical.columns().iter().zip(schema.fields()) {
            let same = joined.column_by_name(&field.name).expect("a column");
            // The order of categories is another; everything else is the same to the bit.
            assert!(field.data_type == DataType::Categorical || array.to_data() == same.to_data(), "{field:?}");
        }
    }
}

#[test]
fn a_matrix_is_checked_where_it_is_as_it_is_parsed() {
    let field = |number| Field::new(format!("f{number}"), DataType::Float64).with_nullable(false);
    let schema = schema((0..3).map(field).collect());
    assert!(packed::is_matrix(&schema));
    let numbers = [1.0, -0.0, f64::from_bits(0xfff8_0000_0000_beef), f64::INFINITY, f64::NAN, 2.0];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    let parsed = parse(2, bytes.clone(), &schema).expect("a batch");
    packed::check_matrix(2, &mut bytes, &schema).expect("a matrix");
    assert_eq!(bytes, write(&parsed, &schema));
    for (rows, length) in [(2, 47), (2, 40), (2, 56), (3, 48), (0, 8), (1 << 27, 48)] {
        let mut bytes = vec![0; length];
        let fault = packed::check_matrix(rows, &mut bytes, &schema).expect_err("another length");
        assert_eq!(Some(fault), parse(rows, bytes, &schema).err(), "{rows} rows in {length} bytes");
    }
    let rows = MAX_BATCH_BYTES / 24 + 1;
    let fault = packed::check_matrix(rows, &mut vec![0; rows * 24], &schema).expect_err("too large");
    assert!(matches!(fault.problem, BatchProblem::TooLarge { .. }), "{fault}");
    let nullable = Schema::new(vec![Field::new("f", DataType::Float64).with_nullable(true)]).expect("a name");
    assert!(!packed::is_matrix(&nullable));
    assert!(packed::check_matrix(1, &mut [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &nullable).is_err());
}

fn spoil(draws: &mut Draws, rows: &mut usize, bytes: &mut Vec<u8>) {
    match draws.below(5) {
        0 if !bytes.is_empty() => {
            let at = draws.below(bytes.len());
            bytes[at] ^= 1 << draws.below(8);
        }
        1 => bytes.truncate(draws.below(bytes.len() + 1)),
        2 => bytes.extend((0..draws.below(17)).map(|_| draws.below(256) as u8)),
        3 => *rows = draws.below(50),
        4 if bytes.len() >= 8 => {
            let at = draws.below(bytes.len() / 8) * 8;
            let word = draws.of(&[0, u64::MAX, 1 << 31, 0x7fff_ffff, 7 << 32]);
            bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        _ => {}
    }
}

// invariant: The host refuses a guest's batch or holds it as valid Arrow. Its memory for the batch
// is proportional to the batch's bytes.
#[test]
fn spoilt_bytes_are_refused_or_are_a_batch() {
    let mut draws = Draws(24_635_342_421_234_567);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..60_000 {
        let (schema, batch) = random(&mut draws);
        let (mut rows, mut bytes) = (batch.num_rows(), write(&batch, &schema));
        for _ in 0..1 + draws.below(3) {
            spoil(&mut draws, &mut rows, &mut bytes);
        }
        match parse(rows, bytes, &schema) {
            Err(fault) => {
                assert!(!fault.to_string().is_empty());
                refused += 1;
            }
            Ok(batch) => {
                batch.columns().iter().for_each(|column| column.to_data().validate_full().expect("valid"));
                let written = write(&batch, &schema);
                let again = parse(rows, written.clone(), &schema).expect("bytes of ours");
                assert_eq!(write(&again, &schema), written);
                taken += 1;
            }
        }
    }
    assert!(refused > 10_000 && taken > 1_000, "{refused} refused, {taken} taken");
}

/// Returns the refusal of two rows of a field, given as words of 8 bytes.
fn refusal(data_type: DataType, nullable: bool, words: &[u64]) -> (Option<usize>, BatchProblem) {
    let schema = schema(vec![Field::new("x", data_type).with_nullable(nullable)]);
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let fault = parse(2, bytes, &schema).expect_err("it is spoilt");
    let whole = matches!(fault.problem, BatchProblem::Trailing { .. });
    assert_eq!(fault.column.as_deref(), (!whole).then_some("x"), "{fault}");
    (fault.row, fault.problem)
}

/// Packs two numbers of 4 bytes into one word.
const fn pair(first: i32, second: i32) -> u64 {
    (first as u32 as u64) | (second as u32 as u64) << 32
}

// invariant: as `spoilt_bytes_are_refused_or_are_a_batch`
#[test]
fn every_refusal_names_what_is_wrong() {
    use BatchProblem as Problem;
    let (boolean, int, text, categorical) = (DataType::Boolean, DataType::Int64, DataType::Utf8, DataType::Categorical);
    assert!(matches!(refusal(int, false, &[1]), (None, Problem::Cut { piece: 16, found: 8 })));
    assert!(matches!(refusal(int, false, &[1, 2, 0]), (None, Problem::Trailing { bytes: 8 })));
    assert!(matches!(refusal(boolean, false, &[0x103]), (None, Problem::Padding)));
    assert!(matches!(refusal(int, true, &[0x103, 1, 2]), (None, Problem::Padding)));
    assert!(matches!(refusal(boolean, false, &[0b100]), (None, Problem::TrailingBits { bitmap: "value" })));
    assert!(matches!(refusal(int, true, &[0b111, 1, 2]), (None, Problem::TrailingBits { bitmap: "validity" })));
    // Strings: three offsets, then the text.
    let strings = |a, b, c, bytes: u64| refusal(text, false, &[pair(a, b), pair(c, 0), bytes]);
    assert!(matches!(strings(1, 1, 1, 0), (None, Problem::OffsetStart { what: "string", found: 1 })));
    assert!(matches!(strings(0, 2, 1, 0x6161), (Some(1), Problem::OffsetOrder { what: "string", index: 2 })));
    assert!(matches!(strings(0, i32::MIN, 1, 0x61), (Some(0), Problem::OffsetOrder { index: 1, .. })));
    assert!(matches!(strings(0, 1, 9, 0), (None, Problem::Cut { piece: 9, found: 8 })));
    assert!(matches!(refusal(text, false, &[pair(0, 1), pair(2, 1), 0x6161]), (None, Problem::Padding)));
    assert!(matches!(strings(0, 1, 2, 0x01_6161), (None, Problem::Padding)));
    assert!(matches!(strings(0, 1, 2, 0xff61), (Some(1), Problem::StringUtf8)));
    // Codes, the number of categories, their offsets, their text.
    let categories = |codes, count, offsets: &[u64]| {
        let words: Vec<u64> = [codes, count].into_iter().chain(offsets.iter().copied()).collect();
        refusal(categorical, false, &words)
    };
    assert!(matches!(categories(0, u64::MAX, &[]), (None, Problem::CategoryCount { count: -1 })));
    assert!(matches!(categories(0, i64::MAX as u64, &[]), (None, Problem::Cut { .. })));
    let spoilt = |offsets, text| categories(0, 2, &[offsets, pair(2, 0), text]);
    assert!(matches!(spoilt(pair(1, 1), 0x6261), (None, Problem::OffsetStart { what: "category", found: 1 })));
    assert!(matches!(spoilt(pair(0, 3), 0x6261), (None, Problem::OffsetOrder { what: "category", index: 2 })));
    assert!(matches!(spoilt(pair(0, -1), 0x6261), (None, Problem::OffsetOrder { what: "category", index: 1 })));
    assert!(matches!(spoilt(pair(0, 1), 0x01_6261), (None, Problem::Padding)));
    assert!(matches!(categories(0, 2, &[pair(0, 1), pair(2, 1), 0x6261]), (None, Problem::Padding)));
    assert!(matches!(categories(0, 2, &[pair(0, 1), pair(17, 0), 0x6261]), (None, Problem::Cut { piece: 17, .. })));
    let nullable = |codes| refusal(categorical, true, &[0b11, codes, 1, pair(0, 1), 0x61, 0]);
    assert!(matches!(nullable(0), (None, Problem::Trailing { bytes: 8 })));
    assert!(matches!(nullable(pair(0, 7)), (Some(1), Problem::Code { code: 7, categories: 1 })));
    let one = [pair(0, 1), 0x61];
    assert!(matches!(categories(pair(0, 1), 1, &one), (Some(1), Problem::Code { code: 1, categories: 1 })));
    assert!(matches!(categories(pair(-1, 0), 1, &one), (Some(0), Problem::Code { code: -1, .. })));
    let two = |text| [pair(0, 1), pair(2, 0), text];
    assert!(matches!(categories(0, 2, &two(0x6161)), (None, Problem::CategoryTwice { first: 0, second: 1 })));
    assert!(matches!(categories(0, 2, &two(0xff61)), (None, Problem::CategoryUtf8 { index: 1 })));
    let schema = schema(Vec::new());
    let rows = parse(usize::MAX, Vec::new(), &schema).expect_err("more rows than bits").problem;
    assert!(matches!(rows, Problem::TooManyRows { .. }));
    let bytes = vec![0; MAX_BATCH_BYTES + 1];
    let problem = parse(0, bytes, &schema).expect_err("too large").problem;
    assert!(matches!(problem, Problem::TooLarge { largest: None, .. }));
}

#[test]
fn four_bytes_after_an_odd_number_of_codes_are_padding() {
    let schema = schema(vec![Field::new("x", DataType::Categorical)]);
    let words = [pair(0, 7), 1, pair(0, 1), 0x61];
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let fault = parse(1, bytes, &schema).expect_err("a code too many");
    assert_eq!(fault, BatchFault { column: Some("x".into()), row: None, problem: BatchProblem::Padding });
}

#[test]
fn of_more_categories_than_bytes_two_are_empty() {
    let twice = |offsets: &[u64], text: &[u64]| {
        let count = offsets.len() as u64 * 2 - 1;
        let words: Vec<u64> = [0, count].iter().chain(offsets).chain(text).copied().collect();
        match refusal(DataType::Categorical, false, &words) {
            (None, BatchProblem::CategoryTwice { first, second }) => (first, second),
            other => panic!("{other:?}"),
        }
    };
    // "", "a", "": as many as may differ by their number; and "", "", "".
    assert_eq!(twice(&[pair(0, 0), pair(1, 1)], &[0x61]), (0, 2));
    assert_eq!(twice(&[pair(0, 0), pair(0, 0)], &[]), (0, 1));
    // "", "a", "b" differ.
    let schema = schema(vec![Field::new("x", DataType::Categorical)]);
    let words = [pair(2, 0), 3, pair(0, 0), pair(1, 2), 0x6261];
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(cells(parse(2, bytes, &schema).expect("all differ").column(0)), [Some("b".into()), Some(String::new())]);
}

#[test]
fn a_batch_that_is_too_large_names_its_largest_column() {
    let fields = [("n", DataType::Int64), ("c", DataType::Categorical), ("t", DataType::Utf8), ("u", DataType::Utf8)];
    let schema = schema(fields.map(|(name, data_type)| Field::new(name, data_type).with_nullable(true)).to_vec());
    let batch = |category: usize, t: usize, u: usize| {
        let category = StringArray::from(vec!["x".repeat(category)]);
        let codes = DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0]), Arc::new(category));
        let text = |length: usize| Arc::new(StringArray::from(vec!["x".repeat(length)])) as ArrayRef;
        let columns: Vec<ArrayRef> =
            vec![Arc::new(Int64Array::from(vec![1])), Arc::new(codes.expect("a code")), text(t), text(u)];
        write(&batch(&schema, columns, 1), &schema)
    };
    let named = |bytes: Vec<u8>| match parse(1, bytes, &schema).expect_err("too large").problem {
        BatchProblem::TooLarge { largest, .. } => largest.expect("a column"),
        other => panic!("{other}"),
    };
    assert_eq!(named(batch(9 << 20, 5, 5)), "c");
    assert_eq!(named(batch(5, 9 << 20, 5)), "t");
    assert_eq!(named(batch(3 << 20, 2 << 20, 4 << 20)), "u");
    // A column that does not fit counts the rest of the bytes.
    let mut cut = batch(5, 9 << 20, 5);
    cut.truncate(MAX_BATCH_BYTES + 1);
    assert_eq!(named(cut), "t");
    assert_eq!(named(vec![0xff; MAX_BATCH_BYTES + 1]), "c");
}

// invariant: A guest gets a null only where the field is nullable, and only batches of the columns
// that it was told.
#[test]
fn columns_that_are_not_the_schemas_are_not_written() {
    let one = |data_type, nullable| schema(vec![Field::new("x", data_type).with_nullable(nullable)]);
    let refused = |columns: Vec<ArrayRef>, schema: &Schema| {
        let named = columns.into_iter().enumerate().map(|(number, array)| (format!("c{number}"), array));
        let batch = RecordBatch::try_from_iter(named).expect("columns");
        let fault = packed::write(&batch, schema).expect_err("another schema");
        assert_eq!(batch_bytes(&batch, schema), Err(fault.clone()));
        assert_eq!(rows_within(&batch, schema, 0), Err(fault.clone()));
        (fault.column, fault.row, fault.problem)
    };
    let numbers = |numbers: &[Option<i64>]| Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef;
    let x = || Some("x".to_owned());
    let int = one(DataType::Int64, false);
    let nulls = numbers(&[Some(1), Some(2), None]);
    assert_eq!(refused(vec![nulls.clone()], &int), (x(), Some(2), BatchProblem::Null));
    let both = vec![numbers(&[Some(1)]), numbers(&[Some(2)])];
    assert_eq!(refused(both, &int), (None, None, BatchProblem::ColumnCount { found: 2, expected: 1 }));
    let found = BatchProblem::Type { found: "Int64".into(), expected: DataType::Float64 };
    assert_eq!(refused(vec![nulls], &one(DataType::Float64, true)), (x(), None, found));
    let categories = Arc::new(StringArray::from(vec![Some("a"), None]));
    let codes = DictionaryArray::<Int32Type>::try_new(Int32Array::from(vec![0, 1]), categories).expect("codes");
    let refusal = refused(vec![Arc::new(codes)], &one(DataType::Categorical, true));
    assert_eq!(refusal, (x(), None, BatchProblem::NullCategory));
}

#[test]
fn of_many_categories_a_batch_gets_those_that_it_uses() {
    let values: Vec<String> = (0..1000).map(|number| format!("category {number}")).collect();
    let array: DictionaryArray<Int32Type> = values.iter().map(String::as_str).collect();
    let schema = schema(vec![Field::new("x", DataType::Categorical)]);
    let rows = batch(&schema, vec![Arc::new(array)], 1000).slice(500, 2);
    let words = [pair(0, 1), 2, pair(0, 12), pair(24, 0)];
    let mut expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    expected.extend(b"category 500category 501");
    assert_eq!(write(&rows, &schema), expected);
    assert_eq!(batch_bytes(&rows, &schema).expect("columns of the schema"), expected.len());
}

#[test]
fn as_many_rows_fit_as_their_bytes_say() {
    let mut draws = Draws(5_318_008);
    for case in 0..2_000 {
        let (schema, batch) = random(&mut draws);
        let limit = draws.below(2_000);
        let rows = rows_within(&batch, &schema, limit).expect("columns of the schema");
        let sent = |rows| write(&batch.slice(0, rows), &schema).len();
        assert!(rows == 0 || sent(rows) <= limit, "{case}: {rows} rows in {limit} bytes");
        assert!(rows == batch.num_rows() || sent(rows + 1) > limit, "{case}: {rows} rows in {limit} bytes");
        let columns = column_bytes(&batch, &schema).expect("columns of the schema");
        assert_eq!(columns.iter().sum::<usize>(), sent(batch.num_rows()), "{case}");
    }
}

#[test]
fn a_batch_holds_the_allocation_that_a_guest_sent_once() {
    let mut draws = Draws(77_777_777);
    for _ in 0..200 {
        let (schema, batch) = random(&mut draws);
        let mut bytes = write(&batch, &schema);
        bytes.shrink_to_fit();
        let length = bytes.len();
        let parsed = parse(batch.num_rows(), bytes, &schema).expect("bytes of ours");
        let has_columns = batch.num_columns() > 0;
        assert_eq!(held_bytes(&parsed), if has_columns { length } else { 0 });
        assert_eq!(held_bytes(&parsed.slice(0, 0)), held_bytes(&parsed), "a part keeps the whole");
    }
}

#[test]
fn what_stands_at_a_null_is_gone_and_nan_is_canonical() {
    let schema = schema(vec![Field::new("x", DataType::Float64).with_nullable(true)]);
    let words = [0b01, 0xfff8_0000_0000_beef, 0x4045_0000_0000_0000_u64];
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let batch = parse(2, bytes, &schema).expect("a batch");
    let words = [0b01, 0x7ff8_0000_0000_0000, 0_u64];
    let expected: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(write(&batch, &schema), expected);
    assert_eq!(batch.column(0).null_count(), 1);
}

#[test]
fn what_stands_at_a_null_is_not_looked_at() {
    let two = |data_type, words: &[u64]| {
        let schema = schema(vec![Field::new("x", data_type).with_nullable(true)]);
        let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let batch = parse(2, bytes, &schema).unwrap_or_else(|fault| panic!("{fault}"));
        (write(&batch, &schema), cells(batch.column(0)))
    };
    let packed = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // Text that is not UTF-8.
    let (bytes, cells) = two(DataType::Utf8, &[0b10, pair(0, 2), pair(3, 0), 0x61_feff]);
    assert_eq!((bytes, cells), (packed(&[0b10, pair(0, 0), pair(1, 0), 0x61]), vec![None, Some("a".into())]));
    // A code that names no category, and one without any categories.
    let (bytes, cells) = two(DataType::Categorical, &[0b01, pair(0, 99), 1, pair(0, 1), 0x61]);
    assert_eq!((bytes, cells), (packed(&[0b01, 0, 1, pair(0, 1), 0x61]), vec![Some("a".into()), None]));
    let (bytes, cells) = two(DataType::Categorical, &[0, pair(5, -6), 0, 0]);
    assert_eq!((bytes, cells), (packed(&[0, 0, 0, 0]), vec![None, None]));
    let (bytes, cells) = two(DataType::Boolean, &[0b01, 0b11]);
    assert_eq!((bytes, cells), (packed(&[0b01, 0b01]), vec![Some("true".into()), None]));
}

#[test]
fn a_string_that_begins_inside_a_character_is_refused() {
    // Valid as a whole: "ä" across two rows.
    let (row, problem) = refusal(DataType::Utf8, false, &[pair(0, 1), pair(2, 0), 0xa4c3]);
    assert!(matches!((row, problem), (Some(0), BatchProblem::StringUtf8)));
}

#[test]
fn nan_payloads_become_canonical_in_whatever_block_and_other_numbers_stay() {
    let mut values = vec![1.5; 5000];
    values[3] = f64::from_bits(0xfff8_dead_beef_0001);
    values[4096] = f64::from_bits(0x7ff0_0000_0000_0001);
    values[4097] = -0.0;
    values[4098] = f64::NEG_INFINITY;
    let schema = schema(vec![Field::new("x", DataType::Float64)]);
    let bytes = values.iter().flat_map(|value: &f64| value.to_le_bytes()).collect();
    let batch = parse(5000, bytes, &schema).expect("numbers");
    let expected = values.iter().map(|value| if value.is_nan() { CANONICAL_NAN } else { *value });
    let bits = batch.column(0).as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits());
    assert!(bits.eq(expected.map(f64::to_bits)));
}
