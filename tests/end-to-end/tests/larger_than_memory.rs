//! Tables and models larger than the memory of the stages that read and make them pass in pieces.

use serde_json::Value;
use stagewright_end_to_end::{Place, least_pipeline};

const LIMIT: u64 = 20 << 20;

/// Returns a stage's part of the run's JSON.
fn stage<'a>(run: &'a Value, name: &str) -> &'a Value {
    let mut stages = run["stages"].as_array().expect("stages").iter();
    stages.find(|stage| stage["name"] == name).unwrap_or_else(|| panic!("stage `{name}` did not run"))
}

/// Returns the logical bytes of an artifact of the last run.
fn bytes(place: &Place, stage: &str, artifact: &str) -> u64 {
    let list = place.run(&["artifacts", "list", "--json"]).expect(0).json();
    let found = |row: &&Value| row["stage"] == stage && row["artifact"]["name"] == artifact;
    let row = list.as_array().and_then(|rows| rows.iter().find(found));
    row.and_then(|row| row["artifact"]["bytes"].as_u64()).unwrap_or_else(|| panic!("{artifact} is not in {list}"))
}

#[track_caller]
fn stayed_within(run: &Value, name: &str) {
    let peak = stage(run, name)["peak_memory_bytes"].as_u64().expect("a peak");
    assert!((1..=LIMIT).contains(&peak), "stage `{name}` used {peak} bytes");
}

// invariant: Tables and models may be larger than the memory of the stages that read and write
// them.
#[test]
fn a_table_larger_than_a_stage_may_use_passes_through_ingestion_validation_and_transformation() {
    let place = Place::new();
    let stages = ["ingestion", "validation", "transformation"];
    let limits = stages.map(|stage| format!("{stage}.limits.memory=20 MiB"));
    let mut arguments = vec!["--until", "transformation"];
    limits.iter().for_each(|limit| arguments.extend(["--set", limit]));
    let run = place.churn(150_000, &arguments).expect(0).json();
    stages.iter().for_each(|stage| stayed_within(&run, stage));
    assert!(bytes(&place, "ingestion", "table") > LIMIT);
    assert!(bytes(&place, "transformation", "features-train") > LIMIT);
}

// invariant: as
// `a_table_larger_than_a_stage_may_use_passes_through_ingestion_validation_and_transformation`
#[test]
fn a_model_larger_than_a_stage_may_use_passes_through_training_the_store_and_prediction() {
    let place = Place::new();
    let manifest = place.write("large.toml", least_pipeline("large-model")).display().to_string();
    let limit = "training.limits.memory=20 MiB";
    let arguments = ["run", &manifest, "--json", "--set", limit, "--set", "training.bytes=67108867"];
    let run = place.run(&arguments).expect(0).json();
    stayed_within(&run, "training");
    assert_eq!(bytes(&place, "training", "model"), 67_108_867);
    // The evaluation asks the model, which another instance reads from the store. Prediction starts
    // from the registry.
    stayed_within(&run, "evaluation");
    let rows = place.write("rows.csv", "x\n1\n2\n").display().to_string();
    let predicted = place.run(&["predict", "least", "--input", &rows, "--json"]).expect(0).json();
    assert_eq!(predicted["predictions"].as_array().map(Vec::len), Some(2), "{predicted}");
}
