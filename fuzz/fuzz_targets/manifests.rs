#![no_main]
//! Arbitrary text as a pipeline file, with an argument that changes it. The result is a manifest
//! whose configuration can be written, or problems that can be shown.

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use stagewright_manifest::{Manifest, Overrides};

fuzz_target!(|text: &str| {
    // The text after the first NUL is a `--set`, because TOML has no NUL.
    let (file, set) = text.split_once('\0').map_or((text, None), |(file, set)| (file, Some(set)));
    let overrides = Overrides { set: set.map(str::to_owned).into_iter().collect(), ..Overrides::default() };
    match Manifest::parse("pipeline.toml", file.to_owned(), PathBuf::new(), &overrides) {
        Ok(manifest) => assert!(manifest.effective().is_object()),
        Err(error) => assert!(!error.render().is_empty()),
    }
});
