//! A database of an older format keeps all that it holds; one of a newer format is left alone.

use std::fs;
use std::path::Path;

use serde_json::json;
use stagewright_store::{LifecycleStage, Registry, RunStatus, StoreError, Verdict};
use tempfile::TempDir;

use crate::world::{World, pairs, said, spawn};

const FORMAT_1: &str = include_str!("../../src/database/migrations/1.sql");
/// Two runs, three stages' worth of everything, two models with six versions, a champion that was the third to be one.
const ROWS: &str = include_str!("format_1.sql");

const RUN: &str = "aa00000000000000000000000000000f";

/// A database as the program of format 1 left it.
fn old_database() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(directory.path().join("stagewright.db")).unwrap();
    connection.execute_batch(FORMAT_1).unwrap();
    connection.execute_batch(ROWS).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    directory
}

#[test]
fn runs_of_format_1_are_kept() {
    let world = World::in_file(old_database());
    let registry = &world.registry;
    let run = registry.run(RUN).unwrap();
    assert_eq!((run.name.as_str(), run.pipeline.as_str(), run.experiment.as_str()), ("aa000000", "churn", "churn"));
    assert_eq!((run.status, run.seed, run.started_ms, run.ended_ms), (RunStatus::Finished, u64::MAX, 100, Some(400)));
    assert_eq!((run.parameters, run.tags), (pairs(&[("depth", "3")]), vec![]));
    assert_eq!((run.config, run.actor.as_str(), run.deleted_ms), (json!({"a": 1}), "", None));
    let metrics: Vec<_> =
        run.metrics.iter().map(|it| (it.name.as_str(), it.value.to_string(), it.step, it.at_ms)).collect();
    assert_eq!(
        metrics,
        [("evaluation.roc_auc", "NaN".to_owned(), 0, 300), ("training.loss", "0.25".to_owned(), 1, 200)]
    );
    let history = registry.metric_history(&run.run_id, "training.loss").unwrap();
    assert_eq!(history.iter().map(|it| it.value).collect::<Vec<_>>(), [0.5, 0.25]);
    let stages = registry.stages(&run.run_id).unwrap();
    assert_eq!(stages.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["training", "evaluation"]);
    assert_eq!((stages[0].inputs.len(), stages[0].outputs.len(), stages[0].metrics.len()), (1, 1, 2));
    assert_eq!((stages[0].metrics[1].name.as_str(), stages[0].metrics[1].step), ("loss", 1));
    assert!(stages[1].metrics[0].value.is_nan());
    let failed = registry.run("bb").unwrap();
    assert_eq!((failed.status, failed.error), (RunStatus::Failed, Some(json!({"stage": "training"}))));
    let experiment = registry.experiment("churn").unwrap().unwrap();
    assert_eq!((experiment.created_ms, experiment.updated_ms, experiment.deleted_ms), (50, 50, None));
    // A run that was running when its process died is not running any more.
    assert_eq!(registry.run("cc").unwrap().status, RunStatus::Killed);
}

#[test]
fn models_of_format_1_are_kept_and_their_champions_are_in_production() {
    let world = World::in_file(old_database());
    let registry = &world.registry;
    assert_eq!(world.champion("churn"), Some(2));
    assert_eq!(world.life("churn"), ["archived", "production", "archived", "none"]);
    let champion = registry.version("churn", 2).unwrap();
    assert_eq!((champion.verdict, champion.reason.as_deref()), (Some(Verdict::Approved), Some("better")));
    assert_eq!((champion.contents, champion.created_ms), (json!({"model": 2}), 1020));
    assert_eq!((champion.judged_ms, champion.stage_ms), (Some(1021), Some(1220)));
    assert_eq!(champion.run_id.unwrap().as_str(), RUN);
    assert_eq!(registry.version("churn", 4).unwrap().verdict, Some(Verdict::Rejected));
    assert_eq!(registry.version("churn", 4).unwrap().aliases, ["candidate"]);
    let model = registry.model("churn").unwrap();
    assert_eq!((model.created_ms, model.updated_ms, model.latest_version), (1000, 1040, 4));
    assert_eq!(world.life("other"), ["none", "none"]);
    assert_eq!((world.champion("other"), registry.version("other", 2).unwrap().verdict), (None, None));
    // The artifacts that an old version names in its contents stay.
    let digest = registry.reachable().unwrap().into_iter().any(|it| it.to_hex() == "cd".repeat(32));
    assert!(digest);
    assert_eq!(world.unjudged("churn"), 5);
}

#[test]
fn moves_of_aliases_of_format_1_are_the_beginning_of_the_audit() {
    let world = World::in_file(old_database());
    let registry = &world.registry;
    assert_eq!(registry.verify_audit().unwrap().entries, 5);
    let audit = registry.audit_of("churn", None).unwrap();
    let moves: Vec<_> = audit.iter().map(|it| (it.at_ms, it.old_state.as_deref(), it.new_state.as_deref())).collect();
    assert_eq!(
        moves,
        [
            (1110, None, Some("champion -> 1")),
            (1120, Some("champion -> 1"), Some("champion -> 3")),
            (1130, None, Some("candidate -> 4")),
            (1140, Some("champion -> 3"), Some("champion -> 1")),
            (1220, Some("champion -> 1"), Some("champion -> 2")),
        ]
    );
    for (at_ms, champion) in [(1109, None), (1110, Some(1)), (1130, Some(3)), (1140, Some(1)), (1220, Some(2))] {
        assert_eq!(registry.champion_at("churn", at_ms).unwrap(), champion, "{at_ms}");
    }
    world.disarm_audit();
    world.sql("UPDATE audit SET new_state = 'champion -> 4' WHERE seq = 5").unwrap();
    assert!(matches!(registry.verify_audit(), Err(StoreError::Tampered { seq: 5, .. })));
}

#[test]
fn what_format_1_left_is_worked_with() {
    let world = World::in_file(old_database());
    // The champion before was archived last, by the order of the moves.
    assert_eq!(world.roll_back("churn").unwrap(), 1);
    assert_eq!(world.roll_back("churn").unwrap(), 3);
    world.registry.transition("churn", 4, LifecycleStage::Staging, "").unwrap();
    assert_eq!(world.rows("SELECT name, champion FROM models ORDER BY name"), ["churn|3", "other|"]);
    assert_eq!(world.rows("SELECT count(*) FROM model_transitions"), ["5"]);
    assert_eq!(world.rows("SELECT DISTINCT model, experiment FROM model_experiments"), ["churn|churn"]);
    assert!(world.sql("DELETE FROM audit").is_err());
    assert!(world.sql("INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 1").is_err());
    assert_eq!(world.rows("PRAGMA foreign_key_check"), [""; 0]);
    assert_eq!(world.rows("PRAGMA integrity_check"), ["ok"]);
    world.registry.verify_audit().unwrap();
}

#[test]
fn a_migrated_database_has_the_tables_of_a_new_one() {
    let tables = |world: &World| {
        world.rows("SELECT type, name, tbl_name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
    };
    assert_eq!(tables(&World::in_file(old_database())), tables(&World::sqlite()));
}

#[test]
fn two_processes_migrate_one_database_at_once() {
    if World::part().is_some() {
        World::sqlite().registry.verify_audit().unwrap();
        return;
    }
    for _ in 0..5 {
        let old = old_database();
        // Known to the children, not opened by the parent: that would migrate it.
        let children = [(); 4].map(|()| spawn(old.path().join("stagewright.db").as_os_str(), old.path(), "migrate"));
        for child in children {
            said(child);
        }
        let world = World::in_file(old);
        assert_eq!(world.registry.verify_audit().unwrap().entries, 5);
        assert_eq!(world.champion("churn"), Some(2));
    }
}

#[test]
fn a_database_of_a_newer_program_is_left_alone() {
    let world = World::sqlite();
    world.sql("PRAGMA user_version = 99; PRAGMA wal_checkpoint(truncate)").unwrap();
    let path = world.home().join("stagewright.db");
    let before = fs::read(&path).unwrap();
    let refused = Registry::open(&path).unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 99, known: 3, .. }), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stagewright.db");
    fs::write(&path, "this is not a database, but long enough to look at".repeat(100)).unwrap();
    let refused = Registry::open(&path).unwrap_err().to_string();
    assert!(refused.contains("file is not a database") && refused.contains("stagewright.db"), "{refused}");
}

#[test]
fn opening_a_database_of_todays_format_writes_nothing() {
    let world = World::sqlite();
    world.unjudged("churn");
    world.sql("PRAGMA wal_checkpoint(truncate)").unwrap();
    let path = world.home().join("stagewright.db");
    let state = |path: &Path| (fs::read(path).unwrap(), fs::metadata(path.with_extension("db-wal")).unwrap().len());
    let before = state(&path);
    let reopened = world.reopened();
    assert_eq!(reopened.models().unwrap().len(), 1);
    assert_eq!(state(&path), before);
}

#[test]
fn a_home_holds_artifacts_registry_and_cache() {
    let directory = tempfile::tempdir().unwrap();
    let home = stagewright_store::Home::open(directory.path().join("home")).unwrap();
    assert!(home.cache_dir().is_dir());
    assert_eq!(home.artifacts.directory(), home.path().join("artifacts"));
    assert_eq!(home.registry.place(), home.path().join("stagewright.db").display().to_string());
    stagewright_store::Home::open(home.path()).unwrap();
}
