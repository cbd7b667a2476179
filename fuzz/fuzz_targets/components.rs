#![no_main]
//! Arbitrary bytes as a component, which is neither compiled nor run. The result is its
//! description, in bounded lists of text that is safe to show, or an error.

use std::cell::OnceCell;
use std::fs;

use libfuzzer_sys::fuzz_target;
use stagewright_runtime::{Compiler, EngineOptions, Installation, Origin, Runtime, StubGrants};
use tempfile::TempDir;

thread_local! {
    static RUNTIME: OnceCell<(TempDir, Runtime)> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    RUNTIME.with(|runtime| {
        let (folder, runtime) = runtime.get_or_init(|| {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let installation = Installation::new(folder.path().join("cache"), Vec::new(), Compiler::Absent);
            let runtime = Runtime::open(installation, EngineOptions::default()).expect("a runtime");
            (folder, runtime)
        });
        let path = folder.path().join("any.wasm");
        fs::write(&path, bytes).expect("room");
        match runtime.inspect("any", &Origin::File(path), StubGrants::default()) {
            Ok(inspection) => {
                let shown = serde_json::to_string(&inspection.provenance).expect("JSON");
                assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
                assert!(shown.len() < 64 << 20, "{}", shown.len());
                assert!(inspection.imports.len() <= 10_000 && inspection.exports.len() <= 10_000);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
});
