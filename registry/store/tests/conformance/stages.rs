//! What a stage did is recorded whole, while its run runs.

use serde_json::json;
use stagewright_store::{
    ArtifactKind, ArtifactRecord, Digest, InputRecord, LogLine, MetricRecord, RunStatus, StageRecord, StoreError,
};

use crate::world::{World, new_run, nobody};

fn stage() -> StageRecord {
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
    }
}

pub(crate) fn a_stage_is_read_back_as_it_was_recorded(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    let unknown = StageRecord { invocation: None, walls: None, key: None, ..stage() };
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
    // What the host found is no word of the stage's.
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

pub(crate) fn artifacts_of_deleted_runs_are_not_reachable(world: &World) {
    let registry = &world.registry;
    let id = registry.begin_run(&new_run("churn")).unwrap();
    registry.record_stage(&id, &stage(), &[]).unwrap();
    registry.finish_run(&id, RunStatus::Finished, None).unwrap();
    // The component too: its compiled form is kept in the cache.
    let digests = [stage().digest, Digest::of(b"table"), Digest::of(b"model"), Digest::of(b"scores")];
    let expected = digests.into();
    assert_eq!(registry.reachable().unwrap(), expected);
    registry.delete_run(&id, true).unwrap();
    assert!(registry.reachable().unwrap().is_empty());
}
