//! Runs and models: what was recorded is read back; versions are consecutive; aliases move by compare-and-set.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::json;
use stagewright_store::{
    ArtifactKind, ArtifactRecord, CHAMPION, Digest, Home, InputRecord, LogLine, MetricRecord, NewRun, NewVersion,
    Registry, RunId, RunStatus, StageRecord, StoreError, Verdict,
};
use tempfile::TempDir;

fn registry() -> (TempDir, Registry) {
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::open(directory.path().join("stagewright.db")).unwrap();
    (directory, registry)
}

fn new_run(pipeline: &str) -> NewRun {
    NewRun {
        run_id: None,
        pipeline: pipeline.into(),
        experiment: "churn".into(),
        seed: u64::MAX,
        manifest: "[pipeline]".into(),
        config: json!({"seed": 1}),
        parameters: vec![("training.learning_rate".into(), "0.1".into())],
    }
}

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
        error: Some(json!({"kind": "none"})),
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
        logs: vec![LogLine { level: "info".into(), message: "round 1".into() }],
    }
}

fn version() -> NewVersion {
    NewVersion { run_id: None, description: json!({"components": []}) }
}

#[test]
fn a_run_is_read_back_as_it_was_recorded() {
    let (_directory, registry) = registry();
    let id = registry.begin_run(&new_run("churn")).unwrap();
    assert_eq!(id.as_str().len(), 32);
    registry.record_stage(&id, &stage()).unwrap();
    let running = registry.run(id.as_str()).unwrap();
    assert_eq!((running.status, running.seed, running.ended_ms), (RunStatus::Running, u64::MAX, None));
    assert_eq!(running.parameters, new_run("churn").parameters);
    assert_eq!(running.config, json!({"seed": 1}));
    assert_eq!(registry.stages(&id).unwrap(), [stage()]);
    let artifacts = registry.artifacts(10).unwrap();
    assert_eq!(artifacts[0], (id.clone(), "training".into(), stage().outputs[0].clone()));
    assert_eq!(artifacts.len(), 2);

    registry.finish_run(&id, RunStatus::Failed, Some(&json!({"stage": "training"}))).unwrap();
    let failed = registry.run(&id.as_str()[..6]).unwrap();
    assert_eq!((failed.status, failed.error), (RunStatus::Failed, Some(json!({"stage": "training"}))));
    assert!(failed.ended_ms.unwrap() >= failed.started_ms);
}

#[test]
fn a_metric_that_is_nan_comes_back_as_nan() {
    let (_directory, registry) = registry();
    let id = registry.begin_run(&new_run("churn")).unwrap();
    let metrics = vec![MetricRecord { name: "roc_auc".into(), value: f64::NAN, step: 0 }];
    registry.record_stage(&id, &StageRecord { metrics, ..stage() }).unwrap();
    assert!(registry.stages(&id).unwrap()[0].metrics[0].value.is_nan());
}

#[test]
fn a_run_that_has_ended_takes_no_more_records() {
    let (_directory, registry) = registry();
    let id = registry.begin_run(&new_run("churn")).unwrap();
    registry.finish_run(&id, RunStatus::Finished, None).unwrap();
    assert!(matches!(registry.record_stage(&id, &stage()), Err(StoreError::RunEnded { .. })));
    assert!(matches!(registry.finish_run(&id, RunStatus::Failed, None), Err(StoreError::RunEnded { .. })));
    let nobody: RunId = "0123456789abcdef0123456789abcdef".parse().unwrap();
    assert!(matches!(registry.record_stage(&nobody, &stage()), Err(StoreError::NoRun { .. })));
    assert_eq!(registry.stages(&id).unwrap(), []);
}

#[test]
fn runs_are_found_by_prefix_pipeline_and_age() {
    let (_directory, registry) = registry();
    let with_id = |id: &str, pipeline| NewRun { run_id: Some(id.parse().unwrap()), ..new_run(pipeline) };
    let (first, second) = ("aa00000000000000000000000000000f", "aa10000000000000000000000000000f");
    registry.begin_run(&with_id(first, "churn")).unwrap();
    registry.begin_run(&with_id(second, "other")).unwrap();
    assert!(matches!(registry.begin_run(&with_id(first, "churn")), Err(StoreError::RunExists { .. })));
    assert_eq!(registry.run("aa1").unwrap().run_id.as_str(), second);
    assert_eq!(registry.run(first).unwrap().pipeline, "churn");
    assert!(matches!(registry.run("aa"), Err(StoreError::AmbiguousRun { count: 2, .. })));
    for unknown in ["", "ab", "zz", "%", "aa00000000000000000000000000000ff"] {
        assert!(matches!(registry.run(unknown), Err(StoreError::NoRun { .. })), "{unknown}");
    }
    assert_eq!(registry.last_run("churn").unwrap().unwrap().run_id.as_str(), first);
    assert_eq!(registry.last_run("nothing").unwrap(), None);
    let newest: Vec<_> = registry.list_runs(10).unwrap().into_iter().map(|run| run.run_id.to_string()).collect();
    assert_eq!(newest, [second, first]);
    assert_eq!(registry.list_runs(1).unwrap().len(), 1);
    assert_eq!(registry.experiments().unwrap(), ["churn"]);
}

#[test]
fn a_verdict_is_given_once() {
    let (_directory, registry) = registry();
    assert!(matches!(registry.tag_verdict("churn", 1, Verdict::Approved, ""), Err(StoreError::NoModel { .. })));
    assert_eq!(registry.create_version("churn", &version()).unwrap(), 1);
    assert!(matches!(registry.tag_verdict("churn", 2, Verdict::Approved, ""), Err(StoreError::NoVersion { .. })));
    registry.tag_verdict("churn", 1, Verdict::Rejected, "roc_auc 0.7 < 0.8").unwrap();
    let again = registry.tag_verdict("churn", 1, Verdict::Approved, "").unwrap_err();
    assert_eq!(again.to_string(), "version 1 of model `churn` is rejected already");
    let found = registry.version("churn", 1).unwrap();
    assert_eq!((found.verdict, found.reason.as_deref()), (Some(Verdict::Rejected), Some("roc_auc 0.7 < 0.8")));
}

#[test]
fn an_alias_moves_only_from_where_it_is_believed_to_be() {
    let (_directory, registry) = registry();
    for _ in 0..3 {
        let version = registry.create_version("churn", &version()).unwrap();
        registry.tag_verdict("churn", version, Verdict::Approved, "").unwrap();
    }
    assert_eq!(registry.alias("churn", "champion").unwrap(), None);
    registry.set_alias("churn", "champion", None, 1).unwrap();
    registry.set_alias("churn", "champion", Some(1), 2).unwrap();
    let moved = registry.set_alias("churn", "champion", Some(1), 3).unwrap_err();
    assert!(matches!(moved, StoreError::AliasMoved { expected: Some(1), actual: Some(2), .. }));
    assert!(registry.set_alias("churn", "champion", None, 3).is_err());
    assert_eq!(registry.alias("churn", "champion").unwrap(), Some(2));
    assert_eq!(registry.version("churn", 2).unwrap().aliases, ["champion"]);
    assert_eq!(registry.models().unwrap()[0].aliases, [("champion".to_owned(), 2)]);
    assert_eq!(registry.models().unwrap()[0].latest_version, 3);
    let moves: Vec<_> = registry.alias_moves("churn").unwrap().into_iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(moves, [(None, 1), (Some(1), 2)]);
}

#[test]
fn only_an_approved_version_becomes_champion() {
    let (_directory, registry) = registry();
    registry.create_version("churn", &version()).unwrap();
    let early = registry.set_alias("churn", "champion", None, 1).unwrap_err();
    assert_eq!(early.to_string(), "version 1 of model `churn` cannot become `champion`: it is not judged");
    registry.set_alias("churn", "candidate", None, 1).unwrap();
    registry.tag_verdict("churn", 1, Verdict::Rejected, "").unwrap();
    assert!(matches!(registry.set_alias("churn", "champion", None, 1), Err(StoreError::NotApproved { .. })));
    assert!(matches!(registry.set_alias("churn", "champion", None, 9), Err(StoreError::NoVersion { .. })));
    assert_eq!(registry.alias("churn", "champion").unwrap(), None);
    assert!(matches!(registry.versions("nothing"), Err(StoreError::NoModel { .. })));
    assert!(matches!(registry.version("nothing", 1), Err(StoreError::NoModel { .. })));
}

#[test]
fn names_are_identifiers() {
    let (_directory, registry) = registry();
    for bad in ["", "a/b", "a b", "ä", "a\n", &"x".repeat(129)] {
        assert!(matches!(registry.create_version(bad, &version()), Err(StoreError::BadName { .. })), "{bad}");
        assert!(matches!(registry.set_alias("churn", bad, None, 1), Err(StoreError::BadName { .. })), "{bad}");
    }
    registry.create_version(&"x".repeat(128), &version()).unwrap();
    registry.create_version("Churn_model-2.1", &version()).unwrap();
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let (directory, registry) = registry();
    let path = registry.path().to_owned();
    drop(registry);
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(Registry::open(&path), Err(StoreError::TooNew { found: 99, .. })));
    drop(directory);
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stagewright.db");
    std::fs::write(&path, "this is not a database, but long enough to look at".repeat(100)).unwrap();
    assert!(matches!(Registry::open(&path), Err(StoreError::Database { .. })));
}

#[test]
fn a_home_holds_artifacts_registry_and_cache() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    assert!(home.cache_dir().is_dir());
    assert_eq!(home.artifacts.directory(), home.path().join("artifacts"));
    assert_eq!(home.registry.path(), home.path().join("stagewright.db"));
    Home::open(home.path()).unwrap();
}

/// Set for a child process of this test binary: it plays its part of the same test on this database.
const CHILD_DATABASE: &str = "STAGEWRIGHT_TEST_DATABASE";

fn child(test: &str, registry: &Registry) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD_DATABASE, registry.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The database, if this is a child.
fn child_database() -> Option<OsString> {
    std::env::var_os(CHILD_DATABASE)
}

#[test]
fn sixty_four_writers_in_two_processes_get_consecutive_versions() {
    if let Some(database) = child_database() {
        return thirty_two_writers(&database);
    }
    let (_directory, registry) = registry();
    let children = [(); 2].map(|()| child("sixty_four_writers_in_two_processes_get_consecutive_versions", &registry));
    let mut versions = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        versions.extend(text.lines().filter_map(|line| line.strip_prefix("version ")?.parse::<u32>().ok()));
    }
    assert_eq!(versions, (1..=64).collect());
    assert_eq!(registry.versions("churn").unwrap().len(), 64);
}

fn thirty_two_writers(database: &OsStr) {
    // A connection of its own for each, as every process has.
    let writer = || Registry::open(database).unwrap().create_version("churn", &version()).unwrap();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..32).map(|_| scope.spawn(writer)).collect();
        for writer in writers {
            println!("\nversion {}", writer.join().unwrap());
        }
    });
}

#[test]
fn runs_of_dead_processes_are_killed_and_those_of_live_ones_are_not() {
    if let Some(database) = child_database() {
        die_while_running(&database);
    }
    let (_directory, registry) = registry();
    let alive = registry.begin_run(&new_run("alive")).unwrap();
    let output = child("runs_of_dead_processes_are_killed_and_those_of_live_ones_are_not", &registry)
        .wait_with_output()
        .unwrap();
    assert!(!output.status.success());
    let dead = registry.last_run("dead").unwrap().unwrap();
    assert_eq!(dead.status, RunStatus::Running);

    let again = Registry::open(registry.path()).unwrap();
    assert_eq!(again.run(dead.run_id.as_str()).unwrap().status, RunStatus::Killed);
    assert_eq!(again.run(alive.as_str()).unwrap().status, RunStatus::Running);
    registry.finish_run(&alive, RunStatus::Finished, None).unwrap();
}

fn die_while_running(database: &OsStr) -> ! {
    let registry = Registry::open(database).unwrap();
    registry.begin_run(&new_run("dead")).unwrap();
    std::process::abort();
}

#[test]
fn a_candidate_is_registered_and_judged_even_if_the_champion_has_moved() {
    let (_directory, registry) = registry();
    let register = |verdict, expected| registry.register_candidate("churn", &version(), verdict, "why", expected);
    assert_eq!(register(Verdict::Approved, None).unwrap(), 1);
    assert_eq!(register(Verdict::Rejected, Some(1)).unwrap(), 2);
    assert_eq!(register(Verdict::Approved, Some(1)).unwrap(), 3);
    assert_eq!(registry.alias("churn", CHAMPION).unwrap(), Some(3));
    assert_eq!(registry.alias_moves("churn").unwrap().len(), 2);

    let moved = register(Verdict::Approved, Some(1)).unwrap_err();
    assert!(matches!(moved, StoreError::AliasMoved { expected: Some(1), actual: Some(3), .. }), "{moved}");
    assert_eq!(registry.alias("churn", CHAMPION).unwrap(), Some(3));
    let verdicts: Vec<_> = registry.versions("churn").unwrap().iter().map(|version| version.verdict).collect();
    let (approved, rejected) = (Some(Verdict::Approved), Some(Verdict::Rejected));
    assert_eq!(verdicts, [approved, rejected, approved, approved]);
    assert!(matches!(
        registry.register_candidate("a b", &version(), Verdict::Approved, "", None),
        Err(StoreError::BadName { .. })
    ));
}
