#![no_main]
//! Arbitrary bytes as a pack: an archive of objects that are read as one table. The result is rows
//! in batches of bounded size, or an error.

#[path = "../common/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;
use stagewright_data::Source;

fuzz_target!(|bytes: &[u8]| {
    let [first, rest @ ..] = bytes else { return };
    let kind = ["csv", "jsonl", "arrow"][usize::from(*first) % 3];
    let source = |path: std::path::PathBuf| {
        let address = format!("{kind}:{}", path.display());
        Source::new(address.parse().expect("an address")).packed()
    };
    reading::read_source(rest, source);
});
