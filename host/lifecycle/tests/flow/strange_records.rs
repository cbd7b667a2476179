//! Forged records, as in a registry that others can write, or in an imported run.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_lifecycle::reproduce::{ReproduceError, reproduce};
use stagewright_store::StageRecord;

use crate::fake::Script;
use crate::reproducing::{again, compared};

/// Collects the JSON pointers of all values in a value.
fn places(value: &Value, place: &str, found: &mut Vec<String>) {
    found.push(place.to_owned());
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                places(member, &format!("{place}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                places(value, &format!("{place}/{at}"), found);
            }
        }
        _ => {}
    }
}

/// Returns other values for a value.
fn strange(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(_) => {
            [json!(0), json!(1), json!(u64::MAX), json!(i64::MIN), json!(1e308), json!(-0.5), json!(1_u64 << 40)]
                .into_iter()
                .collect()
        }
        Value::String(_) => {
            vec![json!(""), json!("\u{1F600}"), json!("../../x"), json!("\u{0}"), json!("x".repeat(1 << 16))]
        }
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Array(values) => {
            let twice: Vec<_> = values.iter().chain(values).cloned().collect();
            vec![json!([]), json!(twice), json!([u64::MAX, u64::MAX]), json!([0, 0])]
        }
        Value::Object(_) => vec![json!({})],
        Value::Null => vec![json!([u64::MAX]), json!([0, 0, 1]), json!(u64::MAX), json!("x")],
    }
}

/// The fake stages panic on other names, and on parameters that their own tests do not write.
fn is_the_fakes(place: &str) -> bool {
    place.ends_with("/name") || place.contains("/parameters") || place == "/work/champion/features"
}

// invariant: A malformed run record is refused or harmless in `reproduce`. Provenance derives
// inputs from digests, not from a step's claim.
#[test]
fn a_record_that_nobody_would_write_is_refused_or_harmless() {
    let (bed, ended) = compared();
    let mut tried = 0;
    for record in &ended.stages {
        let invocation = record.invocation.clone().expect("an invocation");
        let mut found = Vec::new();
        places(&invocation, "", &mut found);
        for place in found.into_iter().filter(|place| !is_the_fakes(place)) {
            for value in strange(invocation.pointer(&place).expect("a value")) {
                let mut changed = invocation.clone();
                *changed.pointer_mut(&place).expect("a value") = value.clone();
                let told: String = value.to_string().chars().take(40).collect();
                let told = format!("{} {place} = {told}", record.name);
                let stages = [StageRecord { invocation: Some(changed), ..record.clone() }];
                let means = again(&bed, Script::default());
                let begin = Instant::now();
                let result = std::panic::catch_unwind(AssertUnwindSafe(|| reproduce(&stages, &means)));
                let result = result.unwrap_or_else(|_| panic!("{told}"));
                if let Err(ReproduceError::Stage(fault)) = result {
                    assert!(!fault.to_string().contains("panicked"), "{told}: {fault}");
                }
                assert!(begin.elapsed() < Duration::from_secs(20), "{told}");
                tried += 1;
            }
        }
    }
    assert!(tried > 1_000, "{tried}");
}
