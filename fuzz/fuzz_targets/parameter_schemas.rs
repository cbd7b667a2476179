#![no_main]
//! Any JSON as a component's schema of its parameters, and any values as the parameters: the check
//! ends within its steps, and what it says is a page at most.
//!
//! Before the first NUL stands the schema, after it the parameters: as JSON, and as the TOML of a
//! pipeline file.

use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stagewright_manifest::{Manifest, Overrides, World, check_cost};

/// Steps that a check may take.
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
    // The section's own table takes whatever may follow `training.parameters =`.
    let set = vec![format!("components.train-boosted.parameters.fuzzed={parameters}")];
    let overrides = Overrides { set, ..Overrides::default() };
    let Ok(manifest) = Manifest::parse("pipeline.toml", MANIFEST.to_owned(), PathBuf::new(), &overrides) else {
        return;
    };
    let problems = manifest.check_parameters(manifest.stage(World::Training), &schema);
    assert!(problems.len() <= 300, "{}", problems.len());
    for problem in &problems {
        // Names of parameters are the file's own, and may be as long as they like.
        assert!(problem.message.len() <= 20_000 + 8 * parameters.len());
    }
    if !problems.is_empty() {
        assert!(!manifest.error(problems).render().is_empty());
    }
});
