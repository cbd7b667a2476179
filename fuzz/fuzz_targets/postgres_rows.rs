#![no_main]
//! Arbitrary bytes as kept rows of PostgreSQL, behind a description of three columns and alone. The
//! result is rows in batches of bounded size, or an error.

#[path = "../common/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;
use stagewright_data::SourceUri;

const COLUMNS: &[u8] = br#"{"columns":[{"name":"a","type":"jsonb","held":"jsonb"},{"name":"b","type":"numeric","held":"numeric"},{"name":"c","type":"uuid","held":"uuid"}]}"#;

fuzz_target!(|bytes: &[u8]| {
    let uri = |path| SourceUri::PostgresRows { path };
    reading::read_at(bytes, uri);
    let length = (COLUMNS.len() as u32).to_le_bytes();
    let rows = [b"stagewright postgresql rows 1\n", &length[..], COLUMNS, bytes].concat();
    reading::read_at(&rows, uri);
});
