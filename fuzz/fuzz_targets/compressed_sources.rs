#![no_main]
//! Arbitrary bytes as compressed CSV. The result is rows in batches of bounded size, or an error.

#[path = "../common/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    let compression = ["gzip", "zstd"][usize::from(*first) % 2];
    reading::read(rest, &format!("csv:FILE?compression={compression}"));
});
