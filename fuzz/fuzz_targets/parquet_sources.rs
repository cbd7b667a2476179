#![no_main]
//! Any bytes as a Parquet file that a pipeline reads: rows in batches of bounded size, or an error.

#[path = "../common/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| reading::read(bytes, "parquet:FILE"));
