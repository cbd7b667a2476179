//! Versions are whole when they are registered, numbered without gaps, and never given the same number twice.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use serde_json::json;
use stagewright_store::{
    ArtifactKind, DataType, Digest, Field, LifecycleStage, NewVersion, Reference, Schema, StoreError, Verdict,
};

use crate::world::{World, new_run, pairs, reference, unnumbered, version};

pub(crate) fn a_version_is_read_back_as_it_was_registered(world: &World) {
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    let references = vec![
        reference("model", world.blob(b"model")),
        Reference { needed: false, ..reference("report", world.blob(b"report")) },
    ];
    let new = NewVersion {
        run_id: Some(run.clone()),
        contents: json!({"signature": {"rows": 1.5}, "list": [null, "ä"]}),
        references: references.clone(),
        metrics: vec![("brier".into(), f64::NAN), ("roc_auc".into(), 0.9), ("z".into(), f64::NEG_INFINITY)],
        parameters: pairs(&[("depth", "3")]),
        tags: pairs(&[("a", "1"), ("b", "2")]),
    };
    let registry = world.registry.acting_as("ada");
    assert_eq!(registry.create_version(&world.artifacts, "churn", &new, &unnumbered).unwrap(), 1);
    let found = registry.version("churn", 1).unwrap();
    assert_eq!((found.model.as_str(), found.version, found.actor.as_str()), ("churn", 1, "ada"));
    assert_eq!((found.run_id.as_ref(), &found.contents), (Some(&run), &new.contents));
    assert_eq!((&found.references, &found.parameters, &found.tags), (&references, &new.parameters, &new.tags));
    assert_eq!((found.verdict, found.stage, found.stage_ms), (None, LifecycleStage::None, None));
    assert!(found.metrics[0].1.is_nan());
    assert_eq!(found.metrics[1..], new.metrics[1..]);
    assert_eq!(format!("{:?}", registry.versions("churn").unwrap()), format!("[{found:?}]"));
    let digests = references.iter().map(|reference| reference.digest).collect();
    assert_eq!(registry.reachable().unwrap(), digests);
}

pub(crate) fn a_version_without_one_of_its_artifacts_is_not_registered(world: &World) {
    let missing = Digest::of(b"nobody stored this");
    let problem = refused(world, reference("training-component", missing));
    let text = format!(
        "a version of model `churn` cannot be registered without its training-component: blob `{missing}` is not in \
         the store `{}`",
        world.artifacts.directory().display()
    );
    assert_eq!(problem.to_string(), text);
}

pub(crate) fn a_version_with_a_truncated_artifact_is_not_registered(world: &World) {
    for reference in [blob(world), table(world), document(world)] {
        let path = world.artifacts.path(reference.kind, &reference.digest);
        let bytes = fs::read(&path).unwrap();
        damage(&path, &bytes[..bytes.len() - 1]);
        refused(world, reference);
    }
}

pub(crate) fn a_version_with_a_flipped_byte_in_an_artifact_is_not_registered(world: &World) {
    for reference in [blob(world), table(world), document(world)] {
        let path = world.artifacts.path(reference.kind, &reference.digest);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        damage(&path, &bytes);
        refused(world, reference);
    }
}

pub(crate) fn a_version_whose_artifact_is_restored_is_registered(world: &World) {
    let reference = blob(world);
    let path = world.artifacts.path(reference.kind, &reference.digest);
    let bytes = fs::read(&path).unwrap();
    damage(&path, b"else");
    refused(world, reference.clone());
    damage(&path, &bytes);
    let whole = NewVersion { references: vec![reference], ..version() };
    assert_eq!(world.registry.create_version(&world.artifacts, "churn", &whole, &unnumbered).unwrap(), 1);
}

pub(crate) fn numbers_are_consecutive_and_not_given_again(world: &World) {
    let registry = &world.registry;
    assert_eq!([world.unjudged("churn"), world.unjudged("churn"), world.unjudged("other")], [1, 2, 1]);
    registry.set_alias("churn", "candidate", None, Some(2)).unwrap();
    registry.delete_version("churn", 2, "wrong data").unwrap();
    assert_eq!(registry.alias("churn", "candidate").unwrap(), None);
    assert_eq!(registry.model("churn").unwrap().latest_version, 2);
    assert_eq!(world.unjudged("churn"), 3);
    assert_eq!(registry.versions("churn").unwrap().iter().map(|it| it.version).collect::<Vec<_>>(), [1, 3]);
    assert!(matches!(registry.version("churn", 2), Err(StoreError::NoVersion { version: 2, .. })));
    assert!(matches!(registry.delete_version("churn", 2, ""), Err(StoreError::NoVersion { .. })));
    assert!(matches!(registry.versions("nothing"), Err(StoreError::NoModel { .. })));
    assert!(matches!(registry.version("nothing", 1), Err(StoreError::NoModel { .. })));
    let deleted = registry.audit_of("churn", Some(2)).unwrap().pop().unwrap();
    assert_eq!((deleted.action.as_str(), deleted.reason.as_str()), ("version.deleted", "wrong data"));
}

pub(crate) fn semantic_numbers_are_given_from_the_version_before(world: &World) {
    let number = |before: Option<(&serde_json::Value, &str)>| {
        Some(before.map_or_else(|| "1.0.0".to_owned(), |(contents, number)| format!("{number}+{}", contents["n"])))
    };
    for n in 0..3 {
        let new = NewVersion { contents: json!({"n": n}), ..version() };
        world.registry.create_version(&world.artifacts, "churn", &new, &number).unwrap();
    }
    let numbers: Vec<_> = world.registry.versions("churn").unwrap().into_iter().map(|it| it.semantic_version).collect();
    assert_eq!(numbers, ["1.0.0", "1.0.0+0", "1.0.0+0+1"].map(|number| Some(number.to_owned())));
}

pub(crate) fn a_verdict_is_given_once_with_its_reason(world: &World) {
    let registry = &world.registry;
    assert!(matches!(registry.tag_verdict("churn", 1, Verdict::Approved, ""), Err(StoreError::NoModel { .. })));
    world.unjudged("churn");
    assert!(matches!(registry.tag_verdict("churn", 2, Verdict::Approved, ""), Err(StoreError::NoVersion { .. })));
    registry.tag_verdict("churn", 1, Verdict::Rejected, "roc_auc 0.7 < 0.8").unwrap();
    let again = registry.tag_verdict("churn", 1, Verdict::Approved, "").unwrap_err();
    assert_eq!(again.to_string(), "version 1 of model `churn` is rejected already");
    let found = registry.version("churn", 1).unwrap();
    assert_eq!((found.verdict, found.reason.as_deref()), (Some(Verdict::Rejected), Some("roc_auc 0.7 < 0.8")));
    assert!(found.judged_ms.unwrap() >= found.created_ms);
}

pub(crate) fn tags_and_descriptions_of_versions_are_changed(world: &World) {
    let registry = &world.registry;
    world.unjudged("churn");
    registry.describe_version("churn", 1, "the first").unwrap();
    registry.tag_version("churn", 1, "note", Some("a")).unwrap();
    registry.tag_version("churn", 1, "note", Some("b")).unwrap();
    let found = registry.version("churn", 1).unwrap();
    assert_eq!((found.description.as_str(), found.tags), ("the first", pairs(&[("note", "b")])));
    registry.tag_version("churn", 1, "note", None).unwrap();
    assert!(matches!(registry.tag_version("churn", 1, "note", None), Err(StoreError::NoTag { .. })));
    assert!(matches!(registry.tag_version("churn", 9, "note", Some("")), Err(StoreError::NoVersion { .. })));
}

/// The version with this reference is refused, and nothing of it is left.
fn refused(world: &World, reference: Reference) -> StoreError {
    let new = NewVersion { references: vec![reference], ..version() };
    let problem = world.registry.create_version(&world.artifacts, "churn", &new, &unnumbered).unwrap_err();
    assert!(matches!(problem, StoreError::Incomplete { .. }), "{problem}");
    assert!(matches!(world.registry.model("churn"), Err(StoreError::NoModel { .. })));
    assert_eq!(world.registry.audit_entries(1).unwrap(), []);
    problem
}

fn blob(world: &World) -> Reference {
    reference("model", world.blob(&[7; 1000]))
}

fn document(world: &World) -> Reference {
    let staging = world.artifacts.stage();
    let digest = staging.put_document("application/json", b"{\"report\": true}".to_vec()).unwrap().digest();
    staging.publish().unwrap();
    Reference { kind: ArtifactKind::Document, ..reference("report", digest) }
}

fn table(world: &World) -> Reference {
    let schema = Schema::new(vec![Field::new("x", DataType::Float64)]).unwrap();
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..1000).map(f64::from)));
    let staging = world.artifacts.stage();
    let mut writer = staging.create_table(&schema).unwrap();
    writer.write(&RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap()).unwrap();
    let digest = writer.finish().unwrap().digest();
    staging.publish().unwrap();
    Reference { kind: ArtifactKind::Table, ..reference("train", digest) }
}

/// Artifacts are read-only files; whoever owns the directory replaces them all the same.
fn damage(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}
