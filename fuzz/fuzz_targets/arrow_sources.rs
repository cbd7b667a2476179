#![no_main]
//! Arbitrary bytes as an Arrow IPC file or stream. The result is rows in batches of bounded size,
//! or an error.

#[path = "../common/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reading::read(bytes, "arrow:FILE"));
