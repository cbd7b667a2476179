//! Watching: changes of models wake, in time and from everywhere; nothing else does, and nobody is
//! held up.

use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_store::{
    ArmCounts, LifecycleStage, MAX_OUTCOMES, MetricPoint, NewModel, NewOutcome, OpenMode, RegistryWatch, RunStatus,
    StoreError,
};

use crate::deployments::{canary, started, step};
use crate::world::{World, new_run, said};

/// How long a test waits for a change that comes: the promise is a second, but the machine may be
/// busy compiling.
const LONG: Duration = Duration::from_secs(30);
/// How long a test waits for a change that does not come.
const SHORT: Duration = Duration::from_millis(700);

/// Checks that a change wakes, once.
fn wakes(watch: &mut RegistryWatch, what: &str, change: impl FnOnce()) {
    change();
    let begun = Instant::now();
    assert!(watch.wait(LONG).unwrap(), "{what} wakes nobody");
    assert!(begun.elapsed() < LONG, "{what} wakes late");
    // An operation of several changes may wake several times.
    while watch.wait(Duration::from_millis(300)).unwrap() {}
}

// invariant: Every change of a model, version, alias or deployment wakes whoever watches the
// registry.
pub(crate) fn every_change_of_models_wakes_whoever_watches(world: &World) {
    let registry = world.reopened_as(OpenMode::Serving).unwrap();
    let mut watch = registry.watch().unwrap();
    assert!(!watch.wait(SHORT).unwrap(), "nothing has changed yet");
    let other = world.reopened();
    wakes(&mut watch, "a model", || other.create_model("churn", &NewModel::default()).unwrap());
    wakes(&mut watch, "a version", || assert_eq!(world.unjudged("churn"), 1));
    wakes(&mut watch, "a verdict", || world.approve("churn", 1));
    wakes(&mut watch, "an alias", || other.set_alias("churn", "shadow", None, Some(1)).unwrap());
    wakes(&mut watch, "an alias that goes", || other.set_alias("churn", "shadow", Some(1), None).unwrap());
    wakes(&mut watch, "a promotion", || world.promote("churn", 1));
    wakes(&mut watch, "a second champion", || {
        let second = world.unjudged("churn");
        world.promote("churn", second);
    });
    wakes(&mut watch, "a rollback", || assert_eq!(world.roll_back("churn").unwrap(), 1));
    wakes(&mut watch, "a stage", || other.transition("churn", 2, LifecycleStage::Staging, "").unwrap());
    wakes(&mut watch, "a deployment", || drop(other.start_deployment("churn", &canary()).unwrap()));
    let at = || other.active_deployment("churn").unwrap().unwrap().at();
    wakes(&mut watch, "a step", || drop(other.advance_deployment("churn", at(), &step(1, 0.5)).unwrap()));
    wakes(&mut watch, "a state", || drop(other.save_deployment("churn", at(), &json!({"a": 1})).unwrap()));
    wakes(&mut watch, "an end", || drop(other.abort_deployment("churn", None, "").unwrap()));
    wakes(&mut watch, "a retirement", || drop(other.retire_model("churn", "").unwrap()));
    wakes(&mut watch, "a deletion", || other.delete_version("churn", 2, "").unwrap());
    // By the same registry, on a connection of its own.
    wakes(&mut watch, "an own change", || registry.set_alias("churn", "own", None, Some(1)).unwrap());
    // A change before the first wait is not missed.
    let mut late = registry.watch().unwrap();
    other.force_alias("churn", "own", None).unwrap();
    assert!(late.wait(LONG).unwrap());
    // Nor is a change that somebody made in SQL and entered in the audit as this program does.
    world.sql("UPDATE audit_head SET seq = seq + 1").unwrap();
    assert!(late.wait(LONG).unwrap());
    world.sql("UPDATE audit_head SET seq = seq - 1").unwrap();
}

pub(crate) fn what_changes_no_model_wakes_nobody(world: &World) {
    started(world);
    let registry = world.reopened_as(OpenMode::Serving).unwrap();
    let mut watch = registry.watch().unwrap();
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    let point = MetricPoint { name: "loss".into(), value: 0.5, ..MetricPoint::default() };
    world.registry.log_metric(&run, &point).unwrap();
    world.registry.finish_run(&run, RunStatus::Finished, None).unwrap();
    let counts = ArmCounts { arm: "canary".into(), requests: 1, ..ArmCounts::default() };
    world.registry.add_arm_counts("churn", 1, &[counts]).unwrap();
    let outcome =
        NewOutcome { request_id: "r".into(), version: 1, arm: None, label: Some("yes".into()), value: None, at_ms: 1 };
    world.registry.post_outcomes("churn", &[outcome], MAX_OUTCOMES).unwrap();
    assert!(!watch.wait(SHORT).unwrap());
    // A read or a rolled-back transaction is no change either.
    world.registry.models().unwrap();
    assert!(world.registry.set_alias("churn", "shadow", Some(9), Some(1)).is_err());
    assert!(!watch.wait(SHORT).unwrap());
    assert!(!watch.wait(Duration::ZERO).unwrap());
}

// invariant: as `every_change_of_models_wakes_whoever_watches`
pub(crate) fn a_change_of_another_process_wakes_whoever_watches(world: &World) {
    if World::part().is_some() {
        world.unjudged("churn");
        return;
    }
    let registry = world.reopened_as(OpenMode::Reading).unwrap();
    let mut watch = registry.watch().unwrap();
    let child = world.spawn("register");
    assert!(watch.wait(Duration::from_secs(60)).unwrap());
    said(child);
    assert_eq!(registry.model("churn").unwrap().latest_version, 1);
}

pub(crate) fn a_watch_ends_when_a_newer_program_converts_the_tables(world: &World) {
    let mut watch = world.registry.watch().unwrap();
    world.unjudged("churn");
    let format = |format: u32| {
        let place =
            if world.is_on_server() { "UPDATE stagewright_format SET format =" } else { "PRAGMA user_version =" };
        let rule = format!("UPDATE usable_by SET read_from = {format}, write_from = {format}");
        world.sql(&format!("{place} {format}; {rule}; UPDATE audit_head SET seq = seq")).unwrap();
    };
    format(99);
    for _ in 0..2 {
        let refused = watch.wait(Duration::from_millis(300)).unwrap_err();
        assert!(matches!(refused, StoreError::TooNew { found: 99, .. }), "{refused}");
    }
    format(10);
    assert!(watch.wait(LONG).unwrap(), "what happened meanwhile is told");
}

// invariant: Whoever serves holds no transaction and no lock between its calls.
pub(crate) fn whoever_watches_for_weeks_holds_up_nobody(world: &World) {
    started(world);
    let registry = world.reopened_as(OpenMode::Serving).unwrap();
    let mut watch = registry.watch().unwrap();
    // All that a server does.
    registry.models().unwrap();
    registry.version("churn", 1).unwrap();
    registry.active_deployment("churn").unwrap();
    registry.arm_counts("churn", 1).unwrap();
    registry.outcome_tallies("churn", 0, "yes").unwrap();
    registry.add_arm_counts("churn", 1, &[ArmCounts { arm: "canary".into(), ..ArmCounts::default() }]).unwrap();
    world.registry.set_alias("churn", "shadow", None, Some(1)).unwrap();
    assert!(watch.wait(LONG).unwrap());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| watch.wait(Duration::from_secs(3)));
        if world.is_on_server() {
            let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                AND state LIKE 'idle in transaction%'";
            assert_eq!(world.rows(open), ["0"]);
            // A migration takes the strongest lock of each table.
            let tables = "SET lock_timeout = '2s'; LOCK TABLE versions, deployments, outcomes, audit_head, audit
                IN ACCESS EXCLUSIVE MODE; ALTER TABLE outcomes ADD COLUMN other BIGINT";
            world.sql(tables).unwrap();
        } else {
            // Nobody reads an old state, so that the log is moved into the file and cut.
            assert_eq!(world.rows("PRAGMA wal_checkpoint(TRUNCATE)"), ["0|0|0"]);
            world.sql("BEGIN EXCLUSIVE; ALTER TABLE outcomes ADD COLUMN other INTEGER; COMMIT").unwrap();
        }
        waiting.join().unwrap().unwrap();
    });
    // It goes on with the tables that the migration changed.
    registry.outcome_tallies("churn", 0, "yes").unwrap();
    // Nothing that a server does makes it an owner that others wait for.
    assert_eq!(world.rows("SELECT count(*) FROM promotions WHERE state = 'intended'"), ["0"]);
    world.registry.begin_collection("file:///production").unwrap();
    world.registry.end_collection("file:///production").unwrap();
}
