#![no_main]
//! Arbitrary JSON as a component's parameter schema, and arbitrary values as its parameters. The
//! check ends within its number of steps, and its message has at most a page.
//!
//! The schema precedes the first NUL. The parameters follow it, as JSON and as the TOML of a
//! pipeline file.

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stagewright_manifest::{Manifest, Overrides, World, check_cost};

/// The number of steps that a check may take.
const MOST_STEPS: u64 = 10_000_000;

const MANIFEST: &str = include_str!("../../host/manifest/tests/fixtures/whole.toml");

fuzz_target!(|text: &str| {
    let (schema, parameters) = text.split_once('\0').unwrap_or((text, "{}"));
    let Ok(schema) = serde_json::from_str::<Value>(schema) else { return };
    if let Ok(parameters) = serde_json::from_str::<Value>(parameters) {
        match check_cost(&schema, &parameters) {
            Ok((steps, violations)) => assert!(steps <= MOST_STEPS && violations <= 100),
            Err(reason) => assert!(!reason.is_empty() && reason.len() < 2000, "{reason}"),
        }
    }
    // The section's own table accepts any text after `training.parameters =`.
    let set = vec![format!("components.train-boosted.parameters.fuzzed={parameters}")];
    let overrides = Overrides { set, ..Overrides::default() };
    let Ok(manifest) = Manifest::parse("pipeline.toml", MANIFEST.to_owned(), PathBuf::new(), &overrides) else {
        return;
    };
    let problems = manifest.check_parameters(manifest.stage(World::Training), &schema);
    assert!(problems.len() <= 300, "{}", problems.len());
    for problem in &problems {
        // Parameter names come from the file and may have any length.
        assert!(problem.message.len() <= 20_000 + 8 * parameters.len());
    }
    if !problems.is_empty() {
        assert!(!manifest.error(problems).render().is_empty());
    }
});
