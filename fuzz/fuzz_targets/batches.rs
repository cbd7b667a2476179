#![no_main]
//! Arbitrary bytes against arbitrary fields are refused, or are valid Arrow that crosses back to a
//! guest unchanged.

use arbitrary::Arbitrary;
use arrow_array::Array as _;
use libfuzzer_sys::fuzz_target;
use stagewright_store::packed::{batch_bytes, parse, write};
use stagewright_store::{DataType, Field, Schema};

#[derive(Arbitrary, Debug)]
struct Sent {
    rows: u16,
    fields: Vec<(u8, bool)>,
    pieces: Vec<Piece>,
}

/// A part of a batch. Structured input reaches the checks of text and codes.
#[derive(Arbitrary, Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Words(Vec<u64>),
    Numbers(Vec<i32>),
    /// Text with matching offsets.
    Strings(Vec<String>),
}

fn data_type(number: u8) -> DataType {
    let all = [
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8,
        DataType::Categorical,
        DataType::Timestamp,
    ];
    all[usize::from(number) % all.len()]
}

fn bytes(pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |piece: &mut dyn Iterator<Item = u8>| {
        bytes.extend(piece);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    };
    for piece in pieces {
        match piece {
            Piece::Bytes(piece) => put(&mut piece.iter().copied()),
            Piece::Words(words) => put(&mut words.iter().flat_map(|word| word.to_le_bytes())),
            Piece::Numbers(numbers) => put(&mut numbers.iter().flat_map(|number| number.to_le_bytes())),
            Piece::Strings(strings) => {
                let ends = strings.iter().scan(0, |end, string| {
                    *end += string.len() as i32;
                    Some(*end)
                });
                put(&mut std::iter::once(0).chain(ends).flat_map(i32::to_le_bytes));
                put(&mut strings.iter().flat_map(|string| string.bytes()));
            }
        }
    }
    bytes
}

fuzz_target!(|sent: Sent| {
    let field = |(index, &(number, nullable)): (usize, &(u8, bool))| {
        Field::new(format!("c{index}"), data_type(number)).with_nullable(nullable)
    };
    let schema = Schema::new(sent.fields.iter().enumerate().map(field).collect()).expect("names differ");
    let rows = usize::from(sent.rows);
    let batch = match parse(rows, bytes(&sent.pieces), &schema) {
        Ok(batch) => batch,
        Err(fault) => {
            assert!(!fault.to_string().is_empty());
            return;
        }
    };
    assert_eq!(batch.num_rows(), rows);
    for column in batch.columns() {
        column.to_data().validate_full().expect("what is accepted is valid");
    }
    let out = write(&batch, &schema).expect("columns of the schema");
    assert_eq!(batch_bytes(&batch, &schema), Ok(out.len()));
    let again = parse(rows, out.clone(), &schema).expect("what the host sends, it accepts");
    assert_eq!(write(&again, &schema).expect("columns of the schema"), out, "another crossing changes nothing");
});
