//! Limits hold from the start, wherever stages run. Each error names the limit and how to raise it,
//! and the next run works.

use stagewright_end_to_end::{Place, WALLS};

fn trips(limit: &str, word: &str) {
    WALLS.into_iter().for_each(|walls| trips_behind(walls, limit, word));
}

fn trips_behind(walls: &str, limit: &str, word: &str) {
    let place = Place::new().with_walls(walls);
    let stopped = place.churn(20_000, &["--set", limit]).expect(6);
    let error = &stopped.json()["error"];
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(word) && message.contains("limit"), "{message}");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains(&format!("limits.{word}"))), "{error}");
    // The stage that exceeded its limit shows nothing.
    let runs = place.run(&["runs", "show", "--json"]).expect(0).json();
    let last = runs["stages"].as_array().and_then(|stages| stages.last()).cloned().expect("a stage");
    assert_eq!(last["status"], "failed");
    assert_eq!(last["outputs"].as_array().map(Vec::len), Some(0));
    place.churn(3000, &[]).expect(0);
}

// invariant: A limit that is exceeded names itself and the key that raises it. The stage leaves
// nothing visible, and the next run works.
#[test]
fn memory() {
    trips("training.limits.memory=1 MiB", "memory");
}

// invariant: as `memory`
#[test]
fn cpu() {
    trips("training.limits.cpu=50 ms", "cpu");
}

// invariant: as `memory`
#[test]
fn wall() {
    trips("ingestion.limits.wall=10 ms", "wall");
}

// invariant: as `memory`
#[test]
fn output() {
    trips("ingestion.limits.output=100 KiB", "output");
}

#[test]
fn memory_that_grows_with_the_rows_is_limited_too() {
    // Enough memory for the instance itself with few rows.
    let place = Place::new();
    let limit = ["--set", "training.limits.memory=8 MiB", "--set", "gates.minimum.accuracy=0.5"];
    let few = place.churn(1000, &[&limit[..], &["--set", "gates.minimum.roc_auc=0.5"]].concat()).expect(0).json();
    let used = |run: &serde_json::Value| run["stages"][3]["peak_memory_bytes"].as_u64().expect("bytes");
    assert!(used(&few) < 8 << 20);
    let many = place.churn(150_000, &limit).expect(6).json();
    let message = many["error"]["message"].as_str().expect("a message");
    assert!(message.contains("training") && message.contains("memory"), "{message}");
}
