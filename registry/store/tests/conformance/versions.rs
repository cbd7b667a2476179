//! Versions are complete when they are registered, numbered without gaps, and no number is used
//! twice.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use serde_json::json;
use stagewright_store::{
    ArtifactKind, Registration, DataType, Digest, Field, LifecycleStage, NewVersion, Reference, RowMemory, Schema, StoreError,
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
        parts: Some(Digest::of(b"parts")),
        rows: None,
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
    assert_eq!((found.judged_against, found.parts), (None, new.parts));
    assert!(found.metrics[0].1.is_nan());
    assert_eq!(found.metrics[1..], new.metrics[1..]);
    assert_eq!(format!("{:?}", registry.versions("churn").unwrap()), format!("[{found:?}]"));
    let digests = references.iter().map(|reference| reference.digest).collect();
    assert_eq!(registry.reachable().unwrap(), digests);
}

// invariant: A version is registered completely or not at all.
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

// invariant: as `a_version_without_one_of_its_artifacts_is_not_registered`
pub(crate) fn a_version_with_a_truncated_artifact_is_not_registered(world: &World) {
    for reference in [blob(world), table(world), document(world)] {
        let path = world.artifacts.path(reference.kind, &reference.digest);
        let bytes = fs::read(&path).unwrap();
        damage(&path, &bytes[..bytes.len() - 1]);
        refused(world, reference);
    }
}

// invariant: as `a_version_without_one_of_its_artifacts_is_not_registered`
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

// invariant: as `sixty_four_writers_in_two_processes_get_consecutive_versions`
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

// invariant: as `sixty_four_writers_in_two_processes_get_consecutive_versions`
pub(crate) fn a_candidate_of_the_same_parts_is_no_new_version(world: &World) {
    let (registry, artifacts) = (&world.registry, &world.artifacts);
    let rows = |keys: &[u64]| Some(RowMemory::new(vec!["id".into()], keys.to_vec(), keys.to_vec()));
    let candidate = |model: &str, parts: &[u8], keys: &[u64]| {
        let new = NewVersion { parts: Some(Digest::of(parts)), rows: rows(keys), ..version() };
        let Registration { version, is_new } = registry.register_candidate(artifacts, model, &new, &unnumbered).unwrap();
        (version, is_new)
    };
    assert_eq!(candidate("churn", b"one", &[1, 2]), (1, true));
    assert_eq!(candidate("churn", b"two", &[1, 2]), (2, true));
    let head = registry.audit_head().unwrap();
    assert_eq!(candidate("churn", b"one", &[2, 1]), (1, false));
    assert_eq!(registry.audit_head().unwrap(), head, "nothing has changed");
    assert_eq!(candidate("churn", b"one", &[2, 3]), (1, false));
    assert_eq!(registry.row_memory("churn", 1).unwrap(), rows(&[1, 2, 3]));
    assert_eq!(registry.row_memory("churn", 2).unwrap(), rows(&[1, 2]));
    assert_eq!(registry.audit_entries(1).unwrap()[0].action, "version.rows-added");
    assert_eq!(candidate("other", b"one", &[7]), (1, true), "another model's version is another");
    assert_eq!(registry.version("churn", 2).unwrap().parts, Some(Digest::of(b"two")));
    // Without parts, no two versions count as the same.
    let unknown = || registry.register_candidate(artifacts, "churn", &version(), &unnumbered).unwrap();
    assert_eq!([unknown(), unknown()].map(|it| (it.version, it.is_new)), [(3, true), (4, true)]);
    registry.delete_version("churn", 1, "").unwrap();
    assert_eq!(candidate("churn", b"one", &[5]), (5, true));
    assert_eq!(registry.row_memory("churn", 5).unwrap(), rows(&[5]));
}

pub(crate) fn the_rows_that_a_version_learnt_from_are_kept(world: &World) {
    let registry = &world.registry;
    // Several chunks, with both ends of the range.
    let keys: Vec<u64> = (0..200_000).map(|number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    let contents = vec![u64::MAX, 0, 7, 7, 0];
    let rows = RowMemory::new(vec!["b".into(), "a".into()], keys.iter().chain(&keys[..10]).copied().collect(), contents);
    assert_eq!((rows.keys.len(), rows.contents.as_slice()), (200_000, &[0, 7, u64::MAX][..]));
    assert_eq!(rows.columns, ["a", "b"]);
    let new = NewVersion { rows: Some(rows.clone()), ..version() };
    registry.create_version(&world.artifacts, "churn", &new, &unnumbered).unwrap();
    assert_eq!(registry.row_memory("churn", 1).unwrap(), Some(rows));
    let bytes = world.rows("SELECT count(*), sum(length(hashes)) FROM row_memory_chunks WHERE kind = 'key'");
    assert_eq!(bytes, ["4|1600000"], "eight bytes a row");
    // No rows, and unknown rows, are different.
    let none = NewVersion { rows: Some(RowMemory::default()), ..version() };
    registry.create_version(&world.artifacts, "churn", &none, &unnumbered).unwrap();
    assert_eq!(registry.row_memory("churn", 2).unwrap(), Some(RowMemory::default()));
    world.unjudged("churn");
    assert_eq!(registry.row_memory("churn", 3).unwrap(), None);
    assert!(matches!(registry.row_memory("churn", 9), Err(StoreError::NoVersion { .. })));
    for version in 1..=3 {
        registry.delete_version("churn", version, "").unwrap();
    }
    assert_eq!(world.rows("SELECT count(*) FROM row_memory_chunks"), ["0"]);
    assert_eq!(world.rows("SELECT count(*) FROM row_memories"), ["0"]);
}

// invariant: A version whose training rows are unknown is never treated as having learnt from none.
pub(crate) fn rows_that_are_not_known_of_one_training_are_not_known_of_the_version(world: &World) {
    let registry = &world.registry;
    let rows = |columns: &[&str]| {
        Some(RowMemory::new(columns.iter().map(|it| (*it).to_owned()).collect(), vec![1], vec![2]))
    };
    let parts = |number: u8| Some(Digest::of(&[number]));
    let cases = [(rows(&["id"]), None), (None, rows(&["id"])), (rows(&["id"]), rows(&["other"])), (rows(&[]), rows(&["id"]))];
    for (number, (first, second)) in (0..).zip(cases) {
        let train = |rows: &Option<RowMemory>| {
            let new = NewVersion { parts: parts(number), rows: rows.clone(), ..version() };
            registry.register_candidate(&world.artifacts, "churn", &new, &unnumbered).unwrap().version
        };
        let trained = train(&first);
        assert_eq!(registry.row_memory("churn", trained).unwrap(), first);
        assert_eq!(train(&second), trained);
        assert_eq!(registry.row_memory("churn", trained).unwrap(), None, "{first:?} {second:?}");
    }
}

pub(crate) fn rows_are_hashed_with_a_key_of_the_registrys_own(world: &World) {
    let key = world.registry.row_hash_key().unwrap();
    assert_eq!(world.reopened().row_hash_key().unwrap(), key);
    let other = World::sqlite_of_its_own();
    assert_ne!(other.registry.row_hash_key().unwrap(), key);
    assert!(key.iter().any(|byte| *byte != 0));
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

/// Checks that a version with this reference is refused and leaves nothing. Returns the error.
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

/// Replaces an artifact's file. Artifacts are read-only, but the owner of the directory can.
fn damage(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}
