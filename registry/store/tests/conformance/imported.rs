//! A record of another server keeps its identifiers, numbers, times and states, and is there
//! once.

use stagewright_store::{
    Digest, ForeignState, ImportedClientRun, ImportedKind, ImportedLoggedModel, ImportedVersion, LifecycleStage,
    LoggedModelStatus, MetricPoint, NewModel, Remote, RunId, RunStatus, RunUpdate, StoreError, TrackingError,
};

use crate::client_files::uploaded;
use crate::world::{World, pairs};

const SOURCE: &str = "http://elsewhere:5000";

fn run_id(digit: char) -> RunId {
    digit.to_string().repeat(32).parse().unwrap()
}

fn version(number: u32) -> ImportedVersion {
    ImportedVersion {
        number,
        source: "s3://bucket/model".into(),
        location: "mlflow-artifacts:/0/model".into(),
        run_id: Some(run_id('a')),
        run_link: None,
        model_id: None,
        description: format!("number {number}"),
        tags: pairs(&[("k", "v")]),
        user: "their user".into(),
        stage: LifecycleStage::None,
        created_ms: 1_000,
        updated_ms: 2_000,
    }
}

pub(crate) fn an_identifier_is_reserved_once_and_marked_as_whole(world: &World) {
    let registry = &world.registry;
    let remote = Remote { source: SOURCE, kind: ImportedKind::Run, id: "theirs" };
    assert_eq!(registry.imported(remote).unwrap(), None);
    let reserved = registry.reserve_import(remote, "ours").unwrap();
    assert_eq!((reserved.local.as_str(), reserved.digest), ("ours", None));
    assert_eq!(registry.reserve_import(remote, "other").unwrap(), reserved);
    // Neither another kind nor another server is the same record.
    for other in [Remote { kind: ImportedKind::Model, ..remote }, Remote { source: "http://other", ..remote }] {
        assert_eq!(registry.imported(other).unwrap(), None);
    }
    let digest = Digest::of(b"what was read");
    registry.finish_import(remote, digest).unwrap();
    assert_eq!(registry.imported(remote).unwrap().unwrap().digest, Some(digest));
    let long = "x".repeat(100_001);
    assert!(matches!(registry.reserve_import(remote, &long), Err(StoreError::BadKeyValue { .. })));
}

pub(crate) fn an_imported_run_has_its_own_identifier_and_times(world: &World) {
    let registry = &world.registry;
    registry.ensure_default_experiment().unwrap();
    let new = ImportedClientRun {
        run_id: run_id('a'),
        experiment_id: 0,
        name: "of others".into(),
        user: "ada".into(),
        started_ms: 1_000,
    };
    assert!(registry.import_client_run(&new).unwrap());
    let again = ImportedClientRun { name: "again".into(), ..new.clone() };
    assert!(!registry.import_client_run(&again).unwrap());
    let point = MetricPoint { name: "loss".into(), value: 0.5, step: 3, at_ms: Some(1_500), ..Default::default() };
    for _ in 0..2 {
        let points = std::slice::from_ref(&point);
        registry.log_client_batch(&new.run_id, points, &pairs(&[("p", "1")]), &pairs(&[("t", "2")])).unwrap();
    }
    let update = RunUpdate { status: Some(RunStatus::Failed), ended_ms: Some(2_000), name: None };
    registry.update_run(&new.run_id, &update).unwrap();
    let run = registry.run(new.run_id.as_str()).unwrap();
    assert_eq!((run.name.as_str(), run.actor.as_str(), run.is_client), ("of others", "ada", true));
    assert_eq!((run.status, run.started_ms, run.ended_ms), (RunStatus::Failed, 1_000, Some(2_000)));
    assert_eq!((run.parameters, run.tags), (pairs(&[("p", "1")]), pairs(&[("t", "2")])));
    assert_eq!(registry.metric_history(&new.run_id, "loss").unwrap().len(), 1);
    let nowhere = ImportedClientRun { run_id: run_id('b'), experiment_id: 99, ..new };
    assert!(matches!(registry.import_client_run(&nowhere), Err(StoreError::NoExperiment { .. })));
}

pub(crate) fn an_imported_logged_model_has_its_own_identifier_and_times(world: &World) {
    let registry = &world.registry;
    registry.ensure_default_experiment().unwrap();
    let new = ImportedLoggedModel {
        model_id: "m-theirs".into(),
        experiment_id: 0,
        name: "model".into(),
        model_type: None,
        // It need not be here.
        source_run: Some(run_id('c')),
        parameters: pairs(&[("p", "1")]),
        tags: pairs(&[("t", "2")]),
        created_ms: 1_000,
    };
    assert!(registry.import_logged_model(&new).unwrap());
    assert!(!registry.import_logged_model(&new).unwrap());
    registry.end_imported_model("m-theirs", LoggedModelStatus::Ready, Some("done"), 2_000).unwrap();
    let found = registry.logged_model("m-theirs").unwrap();
    assert_eq!((found.status, found.created_ms, found.updated_ms), (LoggedModelStatus::Ready, 1_000, 2_000));
    assert_eq!((found.source_run, found.parameters, found.tags), (new.source_run, new.parameters, new.tags));
    registry.delete_logged_model("m-theirs").unwrap();
    let again =
        ImportedLoggedModel { name: "again".into(), parameters: vec![], tags: vec![], ..new_of(&found.model_id) };
    // What was deleted here does not come back.
    assert!(!registry.import_logged_model(&again).unwrap());
}

fn new_of(model_id: &str) -> ImportedLoggedModel {
    ImportedLoggedModel {
        model_id: model_id.into(),
        experiment_id: 0,
        name: "model".into(),
        model_type: None,
        source_run: None,
        parameters: vec![],
        tags: vec![],
        created_ms: 1_000,
    }
}

pub(crate) fn an_imported_version_has_its_own_number_stage_and_times_and_is_pinned(world: &World) {
    let registry = &world.registry;
    let new = NewModel { description: "of others".into(), tags: pairs(&[("team", "growth")]) };
    registry.import_foreign_model("model", &new, (1_000, 3_000), SOURCE).unwrap();
    registry.import_foreign_model("without versions", &new, (1_000, 3_000), SOURCE).unwrap();
    let model = registry.model("model").unwrap();
    assert_eq!((model.is_foreign, model.created_ms, model.updated_ms), (true, 1_000, 3_000));
    uploaded(world, "0/model/MLmodel", b"a model");
    let third = ImportedVersion { stage: LifecycleStage::Production, ..version(3) };
    assert!(registry.import_foreign_version("model", &third, SOURCE).unwrap());
    assert!(!registry.import_foreign_version("model", &version(3), SOURCE).unwrap());
    let found = registry.version("model", 3).unwrap();
    assert_eq!((found.stage, found.stage_ms), (LifecycleStage::Production, Some(2_000)));
    assert_eq!((found.created_ms, found.updated_ms, found.actor.as_str()), (1_000, 2_000, "their user"));
    assert_eq!((found.description.as_str(), found.tags), ("number 3", pairs(&[("k", "v")])));
    assert_eq!(registry.foreign_state("model", 3).unwrap(), ForeignState::Verified);
    assert!(registry.import_foreign_version("model", &version(1), SOURCE).unwrap());
    let numbers: Vec<u32> = registry.versions("model").unwrap().iter().map(|version| version.version).collect();
    assert!(numbers.contains(&1) && numbers.contains(&3), "{numbers:?}");
    // The next version of a client follows all of them.
    let next = stagewright_store::NewForeignVersion { source: "s3://bucket/next".into(), ..Default::default() };
    assert_eq!(registry.create_foreign_version("model", &next).unwrap().version, 4);
    registry.end_imported_registered_model("model", 5_000).unwrap();
    assert_eq!(registry.model("model").unwrap().updated_ms, 5_000);
    let taken = registry.import_foreign_model("model", &new, (1, 1), SOURCE);
    assert!(matches!(taken, Err(StoreError::ModelExists { .. })));
    let bad = registry.import_foreign_model("a/b", &new, (1, 1), SOURCE);
    assert!(matches!(bad, Err(StoreError::Tracking(TrackingError::BadModelName { .. }))));
}
