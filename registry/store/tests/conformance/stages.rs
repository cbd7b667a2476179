//! Stages are recorded in one transaction, while their run is running.

use serde_json::json;
use stagewright_store::{
    ArtifactKind, ArtifactRecord, Digest, InputRecord, LogLine, MetricRecord, RunStatus, StageRecord, StoreError,
};

use crate::world::{World, new_run, nobody};

pub(crate) fn stage() -> StageRecord {
    StageRecord {
        name: "training".into(),
        component: "train-boosted".into(),
        digest: Digest::of(b"component"),
        status: "finished".into(),
        started_ms: 1,
        ended_ms: 2,
        wall_ms: 1.5,
        cpu_ms: 1.25,
        peak_memory_bytes: 1 << 40,
        rows_in: 10,
        rows_out: 0,
        bytes_in: 80,
        bytes_out: 7,
        copies_bytes: 160,
        error: Some(json!({"kind": "none", "text": "\0"})),
        inputs: vec![InputRecord { name: "train".into(), digest: Digest::of(b"table") }],
        outputs: vec![
            ArtifactRecord {
                name: "model".into(),
                kind: ArtifactKind::Blob,
                digest: Digest::of(b"model"),
                media_type: "application/octet-stream".into(),
                rows: None,
                bytes: 7,
            },
            ArtifactRecord {
                name: "scores".into(),
                kind: ArtifactKind::Table,
                digest: Digest::of(b"scores"),
                media_type: "application/vnd.apache.arrow.file".into(),
                rows: Some(3),
                bytes: 24,
            },
        ],
        metrics: vec![
            MetricRecord { name: "loss".into(), value: 0.5, step: 0 },
            MetricRecord { name: "loss".into(), value: f64::INFINITY, step: 1 },
        ],
        logs: vec![LogLine { level: "info".into(), message: "round 1\0".into() }],
        invocation: Some(json!({"step": "training", "learning rate": 0.05, "text": "\0"})),
        walls: Some(vec!["wasm".into(), "seccomp".into()]),
        key: Some(Digest::of(b"key")),
        cached_from: None,
        dropped: 3,
    }
}

pub(crate) fn a_stage_is_read_back_as_it_was_recorded(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    let unknown = StageRecord { invocation: None, walls: None, key: None, cached_from: Some(id.clone()), ..stage() };
    let second = StageRecord { name: "evaluation".into(), metrics: vec![], ..unknown };
    registry.record_stage(&id, &stage(), &[]).unwrap();
    registry.record_stage(&id, &second, &[]).unwrap();
    assert_eq!(registry.stages(&id).unwrap(), [stage(), second]);
    let artifacts = registry.artifacts(3).unwrap();
    assert_eq!(artifacts[0], (id.clone(), "evaluation".into(), stage().outputs[0].clone()));
    assert_eq!(artifacts[2], (id.clone(), "training".into(), stage().outputs[0].clone()));
    assert_eq!(artifacts.len(), 3);
    assert_eq!(registry.stages(&nobody()).unwrap(), []);
}

pub(crate) fn metrics_of_a_stage_become_the_runs_under_its_name(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    registry.record_stage(&id, &stage(), &[("roc_auc".into(), 0.9), ("brier".into(), f64::NAN)]).unwrap();
    let metrics = registry.run(id.as_str()).unwrap().metrics;
    let named: Vec<_> = metrics.iter().map(|it| (it.name.as_str(), it.value.to_string(), it.step)).collect();
    let text = |text: &str| text.to_owned();
    assert_eq!(named, [
        ("brier", text("NaN"), 0),
        ("roc_auc", text("0.9"), 0),
        ("training.loss", text("inf"), 1)
    ]);
    assert_eq!(registry.metric_history(&id, "training.loss").unwrap().len(), 2);
    // The host's results are not the stage's metrics.
    assert_eq!(registry.stages(&id).unwrap(), [stage()]);
}

pub(crate) fn a_metric_that_is_nan_comes_back_as_nan(world: &World) {
    let id = world.registry.begin_run(&new_run("churn")).unwrap();
    let metrics = vec![MetricRecord { name: "roc_auc".into(), value: f64::NAN, step: 0 }];
    world.registry.record_stage(&id, &StageRecord { metrics, ..stage() }, &[]).unwrap();
    assert!(world.registry.stages(&id).unwrap()[0].metrics[0].value.is_nan());
}

pub(crate) fn counts_beyond_the_databases_saturate(world: &World) {
    let id = world.registry.begin_run(&new_run("churn")).unwrap();
    let vast = StageRecord { peak_memory_bytes: u64::MAX, wall_ms: f64::INFINITY, cpu_ms: f64::NAN, ..stage() };
    world.registry.record_stage(&id, &vast, &[]).unwrap();
    let found = &world.registry.stages(&id).unwrap()[0];
    assert_eq!((found.peak_memory_bytes, found.wall_ms, found.cpu_ms), (i64::MAX as u64, 0.0, 0.0));
}

pub(crate) fn a_run_that_has_ended_takes_no_more_stages(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    registry.finish_run(&id, RunStatus::Finished, None).unwrap();
    assert!(matches!(registry.record_stage(&id, &stage(), &[]), Err(StoreError::RunEnded { .. })));
    assert!(matches!(registry.record_stage(&nobody(), &stage(), &[]), Err(StoreError::NoRun { .. })));
    assert_eq!(registry.stages(&id).unwrap(), []);
}

// invariant: Garbage collection removes nothing that is in use or about to be recorded.
pub(crate) fn artifacts_of_deleted_runs_are_not_reachable(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    registry.record_stage(&id, &stage(), &[]).unwrap();
    registry.finish_run(&id, RunStatus::Finished, None).unwrap();
    // The component too: its compiled form is in the cache.
    let digests = [stage().digest, Digest::of(b"table"), Digest::of(b"model"), Digest::of(b"scores")];
    let expected = digests.into();
    assert_eq!(registry.reachable().unwrap(), expected);
    registry.delete_run(&id, true).unwrap();
    assert!(registry.reachable().unwrap().is_empty());
    // For some time, another run may be about to record them as its own.
    let late = |seconds| registry.reachable_of_late(std::time::Duration::from_secs(seconds)).unwrap();
    assert_eq!((late(3600), late(0)), (expected, [].into()));
}

pub(crate) fn what_only_runs_reach_is_listed_by_its_last_use(world: &World) {
    let registry = &world.registry;
    let output = |text: &str| ArtifactRecord { digest: Digest::of(text.as_bytes()), ..stage().outputs[0].clone() };
    let record = |run: &_, made: &[&str], read: &[&str], ended_ms| {
        let outputs = made.iter().map(|text| output(text)).collect();
        let inputs = read.iter().map(|text| InputRecord { name: "in".into(), digest: Digest::of(text.as_bytes()) });
        let stage = StageRecord { outputs, inputs: inputs.collect(), ended_ms, ..stage() };
        registry.record_stage(run, &stage, &[]).unwrap();
    };
    let run = registry.begin_run(&new_run("churn")).unwrap();
    record(&run, &["old", "read later"], &[], 10);
    record(&run, &["new"], &[], 30);
    record(&run, &["newest"], &["read later"], 40);
    let digests = |texts: &[&str]| texts.iter().map(|text| Digest::of(text.as_bytes())).collect::<Vec<_>>();
    assert_eq!(registry.least_recently_used().unwrap(), [], "the run is running");
    registry.finish_run(&run, RunStatus::Finished, None).unwrap();
    let mut last = digests(&["newest", "read later"]);
    last.sort_unstable_by_key(ToString::to_string);
    assert_eq!(registry.least_recently_used().unwrap(), [digests(&["old", "new"]), last].concat());
    // A run that uses it again makes it the most recently used. While that run is running, it is
    // not listed.
    let other = registry.begin_run(&new_run("churn")).unwrap();
    record(&other, &["old"], &[], 50);
    assert!(!registry.least_recently_used().unwrap().contains(&Digest::of(b"old")));
    registry.finish_run(&other, RunStatus::Failed, None).unwrap();
    assert_eq!(registry.least_recently_used().unwrap().last(), Some(&Digest::of(b"old")));
}

pub(crate) fn a_stage_is_found_by_its_key_while_its_run_is_not_deleted(world: &World) {
    let registry = &world.registry;
    let key = Digest::of(b"key");
    let found = || registry.stage_of_key(&key).unwrap().map(|(run, stage)| (run, stage.status, stage.cached_from));
    assert_eq!(found(), None);
    let (first, second) =
        (registry.begin_run(&new_run("churn")).unwrap(), registry.begin_run(&new_run("other")).unwrap());
    // Not a failed one, nor one of which something was dropped, nor one without a key.
    for stage in [
        StageRecord { status: "failed".into(), dropped: 0, ..stage() },
        stage(),
        StageRecord { key: None, dropped: 0, ..stage() },
    ] {
        registry.record_stage(&first, &stage, &[]).unwrap();
        assert_eq!(found(), None);
    }
    let whole = StageRecord { dropped: 0, ..stage() };
    registry.record_stage(&first, &whole, &[]).unwrap();
    let without = |stage: &StageRecord| StageRecord { invocation: None, ..stage.clone() };
    assert_eq!(registry.stage_of_key(&key).unwrap(), Some((first.clone(), without(&whole))));
    let cached = StageRecord { status: "cached".into(), cached_from: Some(first.clone()), ..whole.clone() };
    registry.record_stage(&second, &cached, &[]).unwrap();
    assert_eq!(registry.stage_of_key(&key).unwrap(), Some((second.clone(), without(&cached))));
    assert_eq!(registry.latest_stage("churn", "training").unwrap(), Some((first.clone(), whole)));
    assert_eq!(registry.latest_stage("churn", "evaluation").unwrap(), None);
    registry.finish_run(&second, RunStatus::Finished, None).unwrap();
    registry.delete_run(&second, true).unwrap();
    assert_eq!(found(), Some((first.clone(), "finished".into(), None)));
    registry.finish_run(&first, RunStatus::Finished, None).unwrap();
    registry.delete_run(&first, true).unwrap();
    assert_eq!(found(), None);
    assert_eq!(registry.latest_stage("churn", "training").unwrap(), None);
}
