//! Parsing a batch takes memory in proportion to its bytes, whatever it claims to contain.
//!
//! One test in a file of its own, because memory is counted for all threads of the process.

use stagewright_store::{BatchProblem, DataType, Field, MAX_BATCH_BYTES, Schema, packed};

/// Returns the most bytes of address space that this process has had.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}

/// Returns a column of no rows and these categories.
fn categories(ends: impl ExactSizeIterator<Item = i32>, text: &[u8]) -> Vec<u8> {
    let mut bytes = (ends.len() as u64).to_le_bytes().to_vec();
    bytes.extend(std::iter::once(0).chain(ends).flat_map(i32::to_le_bytes));
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(text);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    assert!(bytes.len() <= MAX_BATCH_BYTES, "{}", bytes.len());
    bytes
}

// invariant: as `spoilt_bytes_are_refused_or_are_a_batch`
#[test]
fn a_guests_count_of_categories_reserves_no_more_than_their_bytes_can_hold() {
    let schema = Schema::new(vec![Field::new("x", DataType::Categorical)]).unwrap();
    let parse = |what: &str, bytes: Vec<u8>| {
        let before = peak();
        let parsed = packed::parse(0, bytes, &schema);
        let took = peak() - before;
        assert!(took <= 2 * MAX_BATCH_BYTES as u64, "{what} took {} MiB", took >> 20);
        parsed.map(|_| ()).map_err(|fault| fault.problem)
    };
    // As many as fit into a batch, all without text.
    let count = MAX_BATCH_BYTES / 4 - 4;
    let twice = parse("empty categories", categories((0..count).map(|_| 0), b""));
    assert_eq!(twice, Err(BatchProblem::CategoryTwice { first: 0, second: 1 }));
    // As many as could differ by their number, of which two are equal.
    let count = MAX_BATCH_BYTES / 5 - 8;
    let twice = parse("short categories", categories((0..count).map(|number| number as i32 + 1), &vec![b'a'; count]));
    assert_eq!(twice, Err(BatchProblem::CategoryTwice { first: 0, second: 1 }));
    // As many as do differ.
    let count = 1_000_000;
    let digits = |number: usize| [number / 10_000, number / 100 % 100, number % 100].map(|digit| digit as u8);
    let text: Vec<u8> = (0..count).flat_map(digits).collect();
    let ends = (0..count).map(|number| 3 * (number as i32 + 1));
    assert_eq!(parse("a million categories", categories(ends, &text)), Ok(()));
}
