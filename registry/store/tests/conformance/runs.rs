//! Runs read back as they were recorded, are found by what is known of them, and end once.

use serde_json::json;
use stagewright_store::{NewRun, RunStatus, StoreError};

use crate::world::{World, new_run, nobody, pairs};

pub(crate) fn a_run_is_read_back_as_it_was_recorded(world: &World) {
    let registry = world.registry.acting_as("ada");
    let id = registry.begin_run(&new_run("churn")).unwrap();
    assert_eq!(id.as_str().len(), 32);
    let running = registry.run(id.as_str()).unwrap();
    assert_eq!((running.status, running.seed, running.ended_ms), (RunStatus::Running, u64::MAX, None));
    assert_eq!((running.parameters, running.tags), (new_run("").parameters, new_run("").tags));
    assert_eq!((running.config, running.manifest.as_str()), (json!({"seed": 1}), "[pipeline]"));
    assert_eq!((running.actor.as_str(), running.name.as_str()), ("ada", &id.as_str()[..8]));
    assert_eq!((running.pipeline.as_str(), running.experiment.as_str()), ("churn", "churn"));
    assert_eq!((running.error, running.deleted_ms, running.metrics), (None, None, vec![]));

    registry.finish_run(&id, RunStatus::Failed, Some(&json!({"stage": "training"}))).unwrap();
    let failed = registry.run(&id.as_str()[..12]).unwrap();
    assert_eq!((failed.status, failed.error), (RunStatus::Failed, Some(json!({"stage": "training"}))));
    assert!(failed.ended_ms.unwrap() >= failed.started_ms);
}

pub(crate) fn of_a_repeated_parameter_or_tag_the_last_counts(world: &World) {
    let twice = pairs(&[("b", "1"), ("a", "1"), ("B", "3"), ("b", "2")]);
    let run = NewRun { name: "mine".into(), parameters: twice.clone(), tags: twice, ..new_run("churn") };
    let run = world.registry.run(world.registry.begin_run(&run).unwrap().as_str()).unwrap();
    // Sorted by bytes, whatever the server's locale.
    let sorted = pairs(&[("B", "3"), ("a", "1"), ("b", "2")]);
    assert_eq!((run.name.as_str(), run.parameters, run.tags), ("mine", sorted.clone(), sorted));
}

pub(crate) fn a_run_ends_once(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    registry.finish_run(&id, RunStatus::Finished, None).unwrap();
    let again = registry.finish_run(&id, RunStatus::Failed, None).unwrap_err();
    assert_eq!(again.to_string(), format!("run `{id}` is finished, not running"));
    assert_eq!(registry.run(id.as_str()).unwrap().status, RunStatus::Finished);
    assert!(matches!(registry.finish_run(&nobody(), RunStatus::Failed, None), Err(StoreError::NoRun { .. })));
}

pub(crate) fn if_many_end_a_run_at_once_one_does(world: &World) {
    let id = world.registry.begin_run(&new_run("churn")).unwrap();
    let end = || world.registry.finish_run(&id, RunStatus::Finished, None).is_ok();
    let ended = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(end)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|ended| *ended).count()
    });
    assert_eq!(ended, 1);
}

pub(crate) fn runs_are_found_by_prefix_pipeline_and_age(world: &World) {
    let registry = &world.registry;
    let with_id = |id: &str, pipeline| NewRun { run_id: Some(id.parse().unwrap()), ..new_run(pipeline) };
    let (first, second) = ("aa00000000000000000000000000000f", "aa10000000000000000000000000000f");
    registry.begin_run(&with_id(first, "churn")).unwrap();
    registry.begin_run(&with_id(second, "other")).unwrap();
    assert!(matches!(registry.begin_run(&with_id(first, "churn")), Err(StoreError::RunExists { .. })));
    assert_eq!(registry.run("aa1").unwrap().run_id.as_str(), second);
    assert_eq!(registry.run(first).unwrap().pipeline, "churn");
    assert!(matches!(registry.run("aa"), Err(StoreError::AmbiguousRun { count: 2, .. })));
    for unknown in ["", "ab", "zz", "%", "AA1", "aa00000000000000000000000000000ff"] {
        assert!(matches!(registry.run(unknown), Err(StoreError::NoRun { .. })), "{unknown}");
    }
    assert_eq!(registry.last_run("churn").unwrap().unwrap().run_id.as_str(), first);
    assert_eq!(registry.last_run("nothing").unwrap(), None);
    assert_eq!(listed(world), [second, first]);
    assert_eq!(registry.list_runs(1).unwrap().len(), 1);
}

pub(crate) fn a_deleted_run_is_listed_no_more_until_it_is_restored(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    let running = registry.delete_run(&id, true).unwrap_err();
    assert_eq!(running.to_string(), format!("run `{id}` is running\nhint: stop it first"));
    registry.finish_run(&id, RunStatus::Finished, None).unwrap();
    registry.delete_run(&id, true).unwrap();
    assert_eq!(listed(world), [""; 0]);
    assert_eq!(registry.last_run("churn").unwrap(), None);
    assert!(registry.run(id.as_str()).unwrap().deleted_ms.is_some());
    assert!(matches!(registry.metric_history(&id, "loss"), Err(StoreError::NoRun { .. })));
    registry.delete_run(&id, false).unwrap();
    assert_eq!(listed(world), [id.as_str()]);
    assert!(matches!(registry.delete_run(&nobody(), true), Err(StoreError::NoRun { .. })));
}

pub(crate) fn parts_of_many_runs_do_not_mix(world: &World) {
    let begin = |number: usize| {
        let own = pairs(&[("number", &number.to_string())]);
        let run = NewRun { parameters: own.clone(), tags: own, ..new_run("churn") };
        world.registry.begin_run(&run).unwrap()
    };
    let ids: Vec<_> = (0..12).map(begin).collect();
    for (run, (number, id)) in world.registry.list_runs(12).unwrap().iter().rev().zip(ids.iter().enumerate()) {
        assert_eq!((&run.run_id, &run.parameters), (id, &pairs(&[("number", &number.to_string())])));
        assert_eq!(run.tags, run.parameters);
    }
}

fn listed(world: &World) -> Vec<String> {
    world.registry.list_runs(10).unwrap().into_iter().map(|run| run.run_id.to_string()).collect()
}
