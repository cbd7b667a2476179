#![no_main]
//! Arbitrary bytes as CSV in dialects, and as a file whose dialect is looked for. The result is
//! rows in batches of bounded size, a proposal, or an error.

#[path = "../common/reading.rs"]
mod reading;

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use stagewright_data::{InferenceOptions, Interrupt, Source, propose};

const DIALECTS: [&str; 4] = [
    "?delimiter=;&decimal=,&thousands=.&date-formats=%d.%m.%Y&true-words=ja&null-words=-",
    "?quote='&comment=#&encoding=latin-1",
    "?encoding=utf-16le&quote=none",
    "?encoding=windows-1252&thousands=space",
];

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    match DIALECTS.get(usize::from(*first) % 5) {
        Some(dialect) => reading::read(rest, &format!("csv:FILE{dialect}")),
        None => {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("any.csv");
            std::fs::write(&path, rest).expect("room");
            let source = Source::new(format!("csv:{}", path.display()).parse().expect("an address"));
            let options = InferenceOptions { find_dialect: true, ..InferenceOptions::default() };
            let _ = propose(&source, &options, &Interrupt::at(Instant::now() + Duration::from_secs(2)));
        }
    }
});
