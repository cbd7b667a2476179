//! The host writes and reads the example batch in docs/types.md.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use stagewright_store::{DataType, Field, Schema, packed};

const DOCUMENT: &str = include_str!("../../../docs/types.md");

/// Returns the bytes of the example: each line has pairs of digits, then words.
fn documented() -> Vec<u8> {
    let (_, block) = DOCUMENT.split_once("```batch\n").expect("the example begins");
    let (block, _) = block.split_once("```").expect("the example ends");
    let byte = |word: &str| (word.len() == 2).then(|| u8::from_str_radix(word, 16).ok()).flatten();
    block.lines().flat_map(|line| line.split_whitespace().map_while(byte)).collect()
}

fn example() -> (Schema, RecordBatch) {
    let fields = vec![
        Field::new("age", DataType::Int64).with_nullable(true),
        Field::new("plan", DataType::Categorical).with_nullable(false),
        Field::new("note", DataType::Utf8).with_nullable(false),
    ];
    let schema = Schema::new(fields).expect("a schema");
    let plan: DictionaryArray<Int32Type> = ["basic", "plus", "basic"].into_iter().collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(41), None, Some(7)])),
        Arc::new(plan),
        Arc::new(StringArray::from(vec!["hi", "", "né"])),
    ];
    let batch = RecordBatch::try_new(schema.to_arrow(), columns).expect("a batch");
    (schema, batch)
}

#[test]
fn the_documented_batch_is_what_is_written_and_what_is_read() {
    let (schema, batch) = example();
    assert_eq!(documented().len(), 112);
    assert_eq!(packed::write(&batch, &schema).expect("columns of the schema"), documented());
    assert_eq!(packed::parse(3, documented(), &schema).expect("a batch"), batch);
}
