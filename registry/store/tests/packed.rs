//! Batches as bytes: what is written is read, what is spoilt is refused or valid.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, DictionaryArray, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use stagewright_store::packed::{parse, write};
use stagewright_store::{BatchProblem, DataType, Field, Schema, check, raw_columns};

/// Marsaglia's xorshift64: the same draws in every run.
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

#[test]
fn a_batch_comes_back_as_the_check_of_its_columns_leaves_it() {
    let mut draws = Draws(88_172_645_463_325_252);
    for case in 0..20_000 {
        let (schema, batch) = random(&mut draws);
        let bytes = write(&batch, &schema);
        assert_eq!(bytes.len() % 8, 0);
        let crossed = parse(batch.num_rows(), bytes.clone(), &schema).unwrap_or_else(|fault| panic!("{case}: {fault}"));
        let columns = raw_columns(&batch).expect("columns");
        let checked = check(batch.num_rows(), columns, &schema).expect("a batch of ours");
        let shown = |batch: &RecordBatch| format!("{:?}", raw_columns(batch).expect("columns"));
        assert_eq!(shown(&crossed), shown(&checked), "{case}");
        assert_eq!(write(&crossed, &schema), bytes, "{case}: another crossing changes nothing");
    }
}

/// Spoils bytes, or the number of rows that they are said to have.
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

#[test]
fn spoilt_bytes_are_refused_or_are_a_batch() {
    let mut draws = Draws(246_353_424_212_345_67);
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

/// Two rows of a field: the bytes in words of 8, and what is refused.
fn refusal(data_type: DataType, nullable: bool, words: &[u64]) -> (Option<usize>, BatchProblem) {
    let schema = schema(vec![Field::new("x", data_type).with_nullable(nullable)]);
    let bytes = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let fault = parse(2, bytes, &schema).expect_err("it is spoilt");
    let whole = matches!(fault.problem, BatchProblem::Trailing { .. });
    assert_eq!(fault.column.as_deref(), (!whole).then_some("x"), "{fault}");
    (fault.row, fault.problem)
}

/// Two numbers of 4 bytes as one word.
const fn pair(first: i32, second: i32) -> u64 {
    (first as u32 as u64) | (second as u32 as u64) << 32
}

#[test]
fn every_refusal_names_what_is_wrong() {
    use BatchProblem as Problem;
    let (boolean, int, text, categorical) = (DataType::Boolean, DataType::Int64, DataType::Utf8, DataType::Categorical);
    assert!(matches!(refusal(int, false, &[1]), (None, Problem::Cut { piece: 16, found: 8 })));
    assert!(matches!(refusal(int, false, &[1, 2, 0]), (None, Problem::Trailing { bytes: 8 })));
    assert!(matches!(refusal(boolean, false, &[0x103]), (None, Problem::Padding)));
    assert!(matches!(refusal(boolean, false, &[0b100]), (None, Problem::TrailingBits { bitmap: "value" })));
    assert!(matches!(refusal(int, true, &[0b111, 1, 2]), (None, Problem::TrailingBits { bitmap: "validity" })));
    // Strings: three offsets, then the text.
    let strings = |a, b, c, bytes: u64| refusal(text, false, &[pair(a, b), pair(c, 0), bytes]);
    assert!(matches!(strings(1, 1, 1, 0), (None, Problem::OffsetStart { what: "string", found: 1 })));
    assert!(matches!(strings(0, 2, 1, 0x6161), (Some(1), Problem::OffsetOrder { what: "string", index: 2 })));
    assert!(matches!(strings(0, i32::MIN, 1, 0x61), (Some(0), Problem::OffsetOrder { index: 1, .. })));
    assert!(matches!(strings(0, 1, 9, 0), (None, Problem::Cut { piece: 9, found: 8 })));
    assert!(matches!(strings(0, 1, 2, 0xff61), (Some(1), Problem::StringUtf8)));
    // Codes, the number of categories, their offsets, their text.
    let categories = |codes, count, offsets: &[u64]| {
        let words: Vec<u64> = [codes, count].into_iter().chain(offsets.iter().copied()).collect();
        refusal(categorical, false, &words)
    };
    assert!(matches!(categories(0, u64::MAX, &[]), (None, Problem::CategoryCount { count: -1 })));
    assert!(matches!(categories(0, i64::MAX as u64, &[]), (None, Problem::Cut { .. })));
    let one = [pair(0, 1), 0x61];
    assert!(matches!(categories(pair(0, 1), 1, &one), (Some(1), Problem::Code { code: 1, categories: 1 })));
    assert!(matches!(categories(pair(-1, 0), 1, &one), (Some(0), Problem::Code { code: -1, .. })));
    let two = |text| [pair(0, 1), pair(2, 0), text];
    assert!(matches!(categories(0, 2, &two(0x6161)), (None, Problem::CategoryTwice { first: 0, second: 1 })));
    assert!(matches!(categories(0, 2, &two(0xff61)), (None, Problem::CategoryUtf8 { index: 1 })));
    let schema = schema(Vec::new());
    let rows = parse(usize::MAX, Vec::new(), &schema).expect_err("more rows than bits").problem;
    assert!(matches!(rows, Problem::TooManyRows { .. }));
    let bytes = vec![0; stagewright_store::MAX_BATCH_BYTES + 1];
    assert!(matches!(parse(0, bytes, &schema).expect_err("too large").problem, Problem::TooLarge { .. }));
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
