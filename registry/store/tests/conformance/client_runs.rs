//! Runs of clients: they belong to no process, end when their client says so, and may begin again.

use stagewright_store::{
    MetricPoint, NewClientRun, OpenMode, Run, RunStatus, RunUpdate, StoreError, TrackingError,
};

use crate::world::{World, new_run, nobody, pairs};

/// Begins a run of a client in an experiment of this name.
pub(crate) fn begun(world: &World, experiment: &str) -> Run {
    let id = match world.registry.experiment(experiment).unwrap() {
        Some(found) => found.id,
        None => world.registry.create_experiment(experiment, &[]).unwrap(),
    };
    world.registry.begin_client_run(&NewClientRun { experiment_id: id, ..NewClientRun::default() }).unwrap()
}

pub(crate) fn a_run_of_a_client_is_read_back_as_it_was_begun(world: &World) {
    let registry = world.registry.acting_as("server");
    let experiment = registry.create_experiment_at("demo", Some("s3://bucket/demo/"), &[]).unwrap();
    let new = NewClientRun {
        experiment_id: experiment,
        name: "gentle-owl-7".into(),
        user: "ada".into(),
        started_ms: Some(17),
        tags: pairs(&[("b", "1"), ("a", "2"), ("b", "3")]),
    };
    let run = registry.begin_client_run(&new).unwrap();
    assert_eq!(registry.run(run.run_id.as_str()).unwrap(), run);
    assert_eq!((run.name.as_str(), run.actor.as_str(), run.started_ms), ("gentle-owl-7", "ada", 17));
    assert_eq!(run.tags, pairs(&[("a", "2"), ("b", "3")]));
    assert_eq!((run.experiment_id, run.experiment.as_str(), run.pipeline.as_str()), (experiment, "demo", ""));
    assert_eq!((run.is_client, run.status, run.ended_ms), (true, RunStatus::Running, None));
    assert_eq!(run.artifact_uri, format!("s3://bucket/demo/{}/artifacts", run.run_id));
    let nameless = NewClientRun { experiment_id: experiment, ..NewClientRun::default() };
    let nameless = registry.begin_client_run(&nameless).unwrap();
    assert_eq!((nameless.name.as_str(), nameless.actor.as_str()), (&nameless.run_id.as_str()[..8], "server"));
    let lost = registry.begin_client_run(&NewClientRun { experiment_id: 4711, ..NewClientRun::default() });
    assert!(matches!(lost, Err(StoreError::NoExperiment { .. })));
    registry.delete_experiment("demo", true).unwrap();
    let late = registry.begin_client_run(&NewClientRun { experiment_id: experiment, ..NewClientRun::default() });
    assert!(matches!(late, Err(StoreError::ExperimentDeleted { .. })));
}

// invariant: No restart of a server ends a run that a client logs.
pub(crate) fn a_run_of_a_client_outlives_every_process(world: &World) {
    let run = begun(world, "demo");
    let reopened = world.reopened_as(OpenMode::Full).unwrap();
    assert_eq!(reopened.run(run.run_id.as_str()).unwrap().status, RunStatus::Running);
}

pub(crate) fn a_client_ends_its_run_and_begins_it_again(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let status = |status, ended_ms| RunUpdate { status: Some(status), ended_ms, name: None };
    let ended = registry.update_run(&run.run_id, &status(RunStatus::Finished, Some(99))).unwrap();
    assert_eq!((ended.status, ended.ended_ms), (RunStatus::Finished, Some(99)));
    let again = registry.update_run(&run.run_id, &status(RunStatus::Running, None)).unwrap();
    assert_eq!((again.status, again.ended_ms), (RunStatus::Running, Some(99)));
    let named = RunUpdate { name: Some("new".into()), ..RunUpdate::default() };
    assert_eq!(registry.update_run(&run.run_id, &named).unwrap().name, "new");
    assert_eq!(registry.run(run.run_id.as_str()).unwrap().name, "new");
    assert!(matches!(registry.update_run(&nobody(), &named), Err(StoreError::NoRun { .. })));
    // It is deleted while it runs, and nothing is logged to it then.
    registry.delete_run(&run.run_id, true).unwrap();
    assert!(matches!(registry.update_run(&run.run_id, &named), Err(StoreError::NoRun { .. })));
    registry.delete_run(&run.run_id, false).unwrap();
    registry.log_metric(&run.run_id, &MetricPoint { name: "loss".into(), ..MetricPoint::default() }).unwrap();
}

pub(crate) fn a_client_ends_no_run_of_a_pipeline(world: &World) {
    let registry = &world.registry;
    let run = registry.begin_run(&new_run("churn")).unwrap();
    let ends = RunUpdate { status: Some(RunStatus::Finished), ..RunUpdate::default() };
    let refused = registry.update_run(&run, &ends).unwrap_err();
    assert!(matches!(&refused, StoreError::Tracking(TrackingError::RunOfPipeline { pipeline, .. }) if pipeline == "churn"));
    let named = RunUpdate { name: Some("mine".into()), ..RunUpdate::default() };
    let renamed = registry.update_run(&run, &named).unwrap();
    assert_eq!((renamed.name.as_str(), renamed.status, renamed.is_client), ("mine", RunStatus::Running, false));
    assert_eq!(renamed.artifact_uri, format!("mlflow-artifacts:/{}/{run}/artifacts", renamed.experiment_id));
    assert!(matches!(registry.delete_run(&run, true), Err(StoreError::RunRunning { .. })));
}

pub(crate) fn experiments_are_named_by_number(world: &World) {
    let registry = &world.registry;
    let id = registry.create_experiment_at("demo", None, &[]).unwrap();
    registry.create_experiment("taken", &[]).unwrap();
    assert_eq!(registry.experiment_numbered(id).unwrap().artifact_uri(), format!("mlflow-artifacts:/{id}"));
    registry.tag_experiment_numbered(id, "owner", Some("ada")).unwrap();
    registry.rename_experiment_numbered(id, "better").unwrap();
    let found = registry.experiment_numbered(id).unwrap();
    assert_eq!((found.name.as_str(), found.tags), ("better", pairs(&[("owner", "ada")])));
    registry.tag_experiment_numbered(id, "owner", None).unwrap();
    assert!(matches!(registry.tag_experiment_numbered(id, "owner", None), Err(StoreError::NoTag { .. })));
    assert!(matches!(registry.rename_experiment_numbered(id, "taken"), Err(StoreError::ExperimentExists { .. })));
    registry.rename_experiment_numbered(id, "better").unwrap();
    registry.delete_experiment_numbered(id, true).unwrap();
    assert!(registry.experiment_numbered(id).unwrap().deleted_ms.is_some());
    assert!(matches!(registry.rename_experiment_numbered(id, "new"), Err(StoreError::ExperimentDeleted { .. })));
    let tagged = registry.tag_experiment_numbered(id, "a", Some(""));
    assert!(matches!(tagged, Err(StoreError::ExperimentDeleted { .. })));
    registry.delete_experiment_numbered(id, false).unwrap();
    for refused in [registry.delete_experiment_numbered(99, true), registry.experiment_numbered(99).map(drop)] {
        assert!(matches!(refused, Err(StoreError::NoExperiment { .. })));
    }
}

pub(crate) fn the_default_experiment_has_the_number_0(world: &World) {
    let registry = &world.registry;
    registry.ensure_default_experiment().unwrap();
    registry.ensure_default_experiment().unwrap();
    let found = registry.experiment_numbered(0).unwrap();
    assert_eq!((found.name.as_str(), registry.experiments().unwrap().len()), ("Default", 1));
    assert!(registry.create_experiment("next", &[]).unwrap() > 0);
}

pub(crate) fn an_experiment_named_default_gets_the_number_0_with_all_that_belongs_to_it(world: &World) {
    let registry = &world.registry;
    let id = registry.create_experiment("Default", &pairs(&[("owner", "ada")])).unwrap();
    let run = begun(world, "Default");
    registry.ensure_default_experiment().unwrap();
    let found = registry.experiment_numbered(0).unwrap();
    assert_eq!((found.name.as_str(), found.tags), ("Default", pairs(&[("owner", "ada")])));
    assert!(matches!(registry.experiment_numbered(id), Err(StoreError::NoExperiment { .. })));
    // Files that it had are where they were.
    let moved = registry.run(run.run_id.as_str()).unwrap();
    assert_eq!((moved.experiment_id, moved.artifact_uri), (0, run.artifact_uri));
}

