//! Requests that somebody damaged, or made to be expensive: they become rows or a fault, the rows
//! are as many as another reader finds, and memory stays within bounds.
//!
//! One test in a file of its own, because memory is counted for all threads of the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use stagewright_data::{DecodedRequest, RequestDecoder, RequestFault, RequestOptions, Signature};
use stagewright_store::{DataType, Field, Role};

/// Bytes that are allocated and not freed, the most of them so far, and all that were allocated.
static HELD: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);
static TOTAL: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with counters.
struct Counted;

// SAFETY: each call is the system allocator's, with the same arguments.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() as u64;
        TOTAL.fetch_add(size, Ordering::Relaxed);
        PEAK.fetch_max(HELD.fetch_add(size, Ordering::Relaxed) + size, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `GlobalAlloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The memory of a request beside the bytes that grow with it.
const ROOM: u64 = 1 << 20;

/// The memory that a byte of a request may take: a cell of two bytes becomes a number, a fault of a
/// row names it.
const BY_BYTE: u64 = 16;

type Decoded = Result<DecodedRequest, RequestFault>;

/// Decodes a body of this length, within the memory for it.
fn decode(bytes: usize, decode: impl FnOnce() -> Decoded) -> Decoded {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let decoded = decode();
    let took = PEAK.load(Ordering::Relaxed) - before;
    assert!(took <= ROOM + BY_BYTE * bytes as u64, "{took} bytes for {bytes}: {:?}", decoded.map(|it| it.rows()));
    decoded
}

fn signature() -> Signature {
    let fields = vec![
        Field::new("n", DataType::Int64),
        Field::new("x", DataType::Float64).with_nullable(true),
        Field::new("c", DataType::Categorical).with_nullable(true),
        Field::new("t", DataType::Utf8).with_nullable(true),
        Field::new("id", DataType::Utf8).with_role(Role::Identifier),
    ];
    Signature::new(fields).expect("five names").with_null_values(["", "NA"])
}

fn decoder() -> RequestDecoder {
    RequestDecoder::new(&signature(), RequestOptions { key: Some("id".to_owned()), ..RequestOptions::default() })
}

const JSON: &str = r#"[{"n": 1, "x": 0.5, "c": "a", "t": "b\u00e9", "id": "C-1"}, {"id": 7.50, "t": null, "c": [1, {"a": 2}], "x": 1e3, "n": 2, "more": {}}, {"n": 3, "x": "NA", "c": true, "t": "", "id": null}]"#;
const WRAPPED: &str =
    r#"{"id": 1, "rows": [{"n": 1, "x": 0.5, "c": "a", "t": "b"}, {"n": 2, "x": 0, "c": "", "t": []}]}"#;
const LINES: &str =
    "{\"n\": 1, \"x\": 0.5, \"c\": \"a\", \"t\": \"b\"}\n{\"n\": 2, \"x\": 1, \"c\": \"a\", \"t\": \"b\"}\n";
const CSV: &str = "n,x,c,t,id\r\n1,0.5,a,\"b, \"\"c\"\"\",C-1\r\n\r\n2,,NA,d,\n3,1e3,\"a\nb\",d,C-3";
const NAMES: &str = r#"["id", "t", "c", "x", "n", "more"]"#;
const CELLS: &str =
    r#"[["C-1", "b", "a", 0.5, 1, {}], [7.50, null, [1, {"a": 2}], 1e3, 2, 0], [null, "", true, "NA", 3, []]]"#;

fn arrow(kind: usize) -> Vec<u8> {
    let texts = ["a", "a text of more than twelve bytes", "b"];
    let c: ArrayRef = match kind % 3 {
        0 => Arc::new(StringArray::from(texts.to_vec())),
        1 => Arc::new(StringViewArray::from(texts.to_vec())),
        _ => Arc::new(texts.into_iter().collect::<DictionaryArray<Int32Type>>()),
    };
    let columns: [(&str, ArrayRef); 5] = [
        ("n", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("x", Arc::new(Float64Array::from(vec![Some(0.5), None, Some(1.0)]))),
        ("c", c),
        ("t", Arc::new(StringArray::from(vec![Some("b"), None, Some("d")]))),
        ("id", Arc::new(StringArray::from(vec!["C-1", "C-2", ""]))),
    ];
    stream(&vec![batch(columns.to_vec()); 2])
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let options = IpcWriteOptions::default();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).expect("a schema");
    batches.iter().for_each(|batch| writer.write(batch).expect("memory"));
    writer.into_inner().expect("memory")
}

/// A change of some bytes: where, how many are removed, what comes in their place, and whether what
/// is removed comes back elsewhere.
type Change = (Index, usize, Vec<u8>, Option<Index>);

fn change() -> impl Strategy<Value = Change> {
    let byte = prop_oneof![4 => select(b"0129-+.eE,:[]{}\"\\ntu \r\n".to_vec()), 1 => any::<u8>()];
    let removed = prop_oneof![4 => 0..3_usize, 1 => 0..60_usize];
    (any::<Index>(), removed, prop::collection::vec(byte, 0..3), prop::option::weighted(0.2, any::<Index>()))
}

fn changed(body: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut body = body.to_vec();
    for (at, removed, with, again) in changes {
        let at = at.index(body.len() + 1);
        let removed = at..body.len().min(at + removed);
        let cut: Vec<u8> = body.splice(removed, with.iter().copied()).collect();
        if let Some(again) = again {
            let again = again.index(body.len() + 1);
            body.splice(again..again, cut);
        }
    }
    body
}

/// The bytes that a length or a number in a stream consists of, and so small numbers.
fn damaged(body: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut body = body.to_vec();
    for (at, number, with, _) in changes {
        let at = at.index(body.len());
        body[at] = with.first().copied().unwrap_or(*number as u8);
    }
    body
}

/// Counts the rows of JSON with `serde_json`; `None` if it does not read the text.
fn json_rows(body: &[u8]) -> Option<usize> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let values = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    let mut rows = 0;
    for value in values {
        rows += match value.ok()? {
            Value::Array(elements) => elements.len(),
            Value::Object(members) if ["n", "x", "c", "t"].iter().all(|name| !members.contains_key(*name)) => {
                members.get("rows").and_then(Value::as_array).map_or(1, Vec::len)
            }
            _ => 1,
        };
    }
    Some(rows)
}

/// Checks a result of which another reader finds this many rows, if it can read the body at all.
fn check(decoded: Decoded, rows: impl FnOnce() -> Option<usize>) {
    match decoded {
        Ok(decoded) => {
            assert_eq!(decoded.batch.num_columns(), 4);
            if let Some(rows) = rows() {
                assert_eq!(decoded.rows(), rows);
            }
            assert!((0..=decoded.rows()).all(|row| decoded.key(row) != Some("")));
        }
        Err(RequestFault::Host(message)) => panic!("{message}"),
        Err(RequestFault::Rows { errors, .. }) => assert!(!errors.is_empty()),
        Err(_) => {}
    }
}

/// Runs 5,000 cases, always the same.
fn cases<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, test: impl Fn(T)) {
    let config = Config { cases: 5_000, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let run = TestRunner::new_with_rng(config, rng).run(strategy, |case| {
        test(case);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
}

fn mutated() {
    let decoder = decoder();
    let changes = || prop::collection::vec(change(), 1..5);
    let accepted = AtomicU64::new(0);
    let count = |decoded: Decoded| {
        accepted.fetch_add(u64::from(decoded.is_ok()), Ordering::Relaxed);
        decoded
    };
    cases(&(select(vec![JSON, WRAPPED, LINES]), changes()), |(body, changes)| {
        let body = changed(body.as_bytes(), &changes);
        check(count(decode(body.len(), || decoder.json(&body))), || json_rows(&body));
    });
    cases(&changes(), |changes| {
        let body = changed(CSV.as_bytes(), &changes);
        let rows = || {
            let mut reader = csv::ReaderBuilder::new().from_reader(&body[..]);
            reader.records().collect::<Result<Vec<_>, _>>().ok().map(|rows| rows.len())
        };
        check(count(decode(body.len(), || decoder.csv(&body))), rows);
    });
    cases(&(changes(), changes(), any::<bool>()), |(changes, others, both)| {
        let cells = changed(CELLS.as_bytes(), &changes);
        let names = if both { changed(NAMES.as_bytes(), &others) } else { NAMES.as_bytes().to_vec() };
        let (Ok(names), Ok(cells)) = (String::from_utf8(names), String::from_utf8(cells)) else { return };
        let rows = || serde_json::from_str::<Vec<Value>>(&cells).ok().map(|rows| rows.len());
        check(count(decode(names.len() + cells.len(), || decoder.json_split(&names, &cells))), rows);
    });
    let streams: Vec<Vec<u8>> = (0..3).map(arrow).collect();
    cases(&(0..3_usize, changes()), |(kind, changes)| {
        let body = damaged(&streams[kind], &changes);
        let rows = || {
            // Arrow's reader panics on some of them.
            let read = || StreamReader::try_new(&body[..], None)?.map(|rows| Ok(rows?.num_rows())).sum();
            let read: Result<Result<usize, arrow_schema::ArrowError>, _> = std::panic::catch_unwind(read);
            read.ok()?.ok()
        };
        check(count(decode(body.len(), || decoder.arrow_stream(&body))), rows);
    });
    let accepted = accepted.into_inner();
    assert!((2_000..18_000).contains(&accepted), "{accepted} of 20,000 were accepted");
}

/// Bodies that would take many times their size as trees, lists of parts, or converted again.
fn expensive() {
    let decoder = decoder();
    let row = |value: &str, id: &str| format!("{{\"n\": 1, \"x\": 1, \"t\": \"\", \"c\": {value}, \"id\": {id}}}");
    let many = |part: &str, bytes: usize| part.repeat(bytes / part.len());
    let mut bodies = Vec::new();
    for part in ["{\"\":{}},", "[],", "0,", "{\"\":0},", "[[[[]]]],"] {
        for bytes in [60_000, 2 << 20] {
            let nested = format!("[{}0]", many(part, bytes));
            bodies.push(row(&nested, "1"));
            bodies.push(row("1", &nested));
            bodies.push(row(&format!("\"\", \"more\": {nested}"), "1"));
        }
    }
    for body in &bodies {
        let _ = decode(body.len(), || decoder.json(body.as_bytes()));
    }
    // A deep value of the longest that is read.
    let deep = format!("{}{}", many("{\"\":", 120 * 4), many("}", 120));
    let deep = format!("[{}0]", many(&format!("{deep}, ").replace(":}", ":0}"), 60_000));
    assert!(decode(deep.len(), || decoder.json(row(&deep, "1").as_bytes())).is_ok());
    for (names, rows) in [
        (NAMES.to_owned(), format!("[[{}0]]", many("0,", 2 << 20))),
        (format!("[{}\"\"]", many("\"\",", 2 << 20)), "[]".to_owned()),
    ] {
        assert!(decode(names.len() + rows.len(), || decoder.json_split(&names, &rows)).is_err());
    }
    let long_keys = format!("[{}]", vec![row("1", &format!("\"{}\"", "k".repeat(1024))); 5_000].join(","));
    assert!(decode(long_keys.len(), || decoder.json(long_keys.as_bytes())).is_ok());

    // A long dictionary, from which each of many batches takes a row.
    let texts: ArrayRef = Arc::new((0..100_000).map(|text| Some(format!("text {text:020}"))).collect::<StringArray>());
    let one_row = |row: i32| {
        let c = DictionaryArray::<Int32Type>::new(vec![row].into(), Arc::clone(&texts));
        batch(vec![
            ("n", Arc::new(Int64Array::from(vec![1]))),
            ("x", Arc::new(Float64Array::from(vec![1.0]))),
            ("c", Arc::new(c)),
            ("t", Arc::new(StringArray::from(vec!["b"]))),
        ])
    };
    let body = stream(&(0..500).map(one_row).collect::<Vec<_>>());
    assert!(body.len() < 8 << 20, "the dictionary is sent once");
    let before = TOTAL.load(Ordering::Relaxed);
    let decoded = decode(body.len(), || decoder.arrow_stream(&body)).expect("rows");
    let took = TOTAL.load(Ordering::Relaxed) - before;
    assert_eq!(decoded.rows(), 500);
    assert!(took < 64 << 20, "{took} bytes were allocated for a dictionary of {}", body.len());
}

// invariant: A damaged or expensive request becomes rows or a fault, in bounded memory.
#[test]
fn mutated_and_expensive_requests_are_rows_or_faults_in_bounded_memory() {
    mutated();
    expensive();
}
