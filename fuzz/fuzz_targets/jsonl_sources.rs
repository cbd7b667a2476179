#![no_main]
//! Arbitrary bytes as JSON lines: plain, and what they unpack to. The result is rows in batches of
//! bounded size, or an error.

#[path = "../common/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    let compression = ["none", "gzip", "zstd"][usize::from(*first) % 3];
    reading::read(rest, &format!("jsonl:FILE?compression={compression}"));
});
