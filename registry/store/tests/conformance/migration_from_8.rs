//! Migration from format 8: what pipelines recorded is as it was, and clients can log beside it.

use stagewright_store::{
    LifecycleStage, NewClientRun, NewForeignVersion, NewLoggedModel, NewModel, PromotionRequest, RunStatus,
};

use crate::client_files::uploaded;
use crate::migration::database_of_format_7;
#[cfg(feature = "postgres")]
use crate::migration::{POSTGRES_7, for_postgres};
use crate::world::World;

pub(crate) const TO_FORMAT_8: &str = include_str!("../../src/registry/migrations/8.sql");

/// Rows that only format 8 has: a deployment with counts, an outcome, a hook.
pub(crate) const ROWS_8: &str = "
    INSERT INTO deployments (id, model, number, strategy, configuration, status, step, since_ms, arms, state, revision,
            reason, started_ms, started_by, changed_ms, changed_by, ended_ms, ended_by, end_reason)
        SELECT 1, id, 1, 'canary', '{}', 'aborted', 0, 1, '[]', '{}', 2, '', 1, '', 2, '', 2, '', '' FROM registered_models
        WHERE name = 'another';
    INSERT INTO outcomes (model, request_id, version, arm, label, value, at_ms, posted_ms)
        SELECT id, 'request', 2, '', 'yes', NULL, 5, 6 FROM registered_models WHERE name = 'churn';
    INSERT INTO outcome_counts (model, stored) SELECT id, 1 FROM registered_models WHERE name = 'churn';
    INSERT INTO hooks (name, place, failures, next_ms) VALUES ('chat', 3, 0, 0);";

/// Checks that everything of format 8 is still there, and that clients can log beside it.
pub(crate) fn kept_from_format_8(world: &World) {
    let registry = &world.registry;
    assert_eq!((world.champion("churn"), world.stages_of("churn")), (Some(2), vec!["archived", "production", "none"]));
    assert_eq!(registry.version("churn", 3).unwrap().aliases, ["candidate"]);
    assert!(!registry.model("churn").unwrap().is_foreign);
    assert_eq!(registry.version("churn", 2).unwrap().foreign, None);
    assert_eq!(registry.outcome_count("churn").unwrap(), 1);
    assert_eq!(registry.deployments("another", None).unwrap().len(), 1);
    assert_eq!(world.rows("SELECT name, champion FROM models ORDER BY name"), ["another|", "churn|2"]);
    let run = registry.last_run("churn").unwrap().unwrap();
    assert_eq!((run.status, run.metrics[0].value, run.is_client), (RunStatus::Finished, 0.85, false));
    assert_eq!(run.artifact_uri, format!("mlflow-artifacts:/{}/{}/artifacts", run.experiment_id, run.run_id));
    // The rules of champions hold as before.
    world.approve("churn", 3);
    registry.promote("churn", 3, &PromotionRequest::default()).unwrap();
    assert_eq!(world.champion("churn"), Some(3));
    assert!(world.sql("UPDATE versions SET stage = 'production' WHERE version < 3").is_err());
    // And what format 9 adds works.
    registry.ensure_default_experiment().unwrap();
    let client = registry.begin_client_run(&NewClientRun::default()).unwrap();
    uploaded(world, &format!("0/{}/artifacts/a.txt", client.run_id), b"a");
    let new = NewLoggedModel { name: "forest".into(), source_run: Some(client.run_id), ..NewLoggedModel::default() };
    registry.create_logged_model(&new).unwrap();
    registry.create_foreign_model("client", &NewModel::default()).unwrap();
    let source = format!("{}/a.txt", client.artifact_uri);
    let new = NewForeignVersion { source, ..NewForeignVersion::default() };
    for version in [1, 2] {
        assert!(registry.create_foreign_version("client", &new).unwrap().foreign.unwrap().is_verified());
        registry.transition_foreign("client", version, LifecycleStage::Production, false, "").unwrap();
    }
    registry.force_alias("client", "champion", Some(2)).unwrap();
}

/// Returns a database as the program of format 8 left it.
pub(crate) fn database_of_format_8() -> tempfile::TempDir {
    let old = database_of_format_7();
    let connection = rusqlite::Connection::open(old.path().join("stagewright.db")).unwrap();
    connection.execute_batch(TO_FORMAT_8).unwrap();
    connection.execute_batch(ROWS_8).unwrap();
    connection.pragma_update(None, "user_version", 8).unwrap();
    old
}

// invariant: A database of format 8 migrates to the current format without loss.
#[test]
fn a_database_of_format_8_is_kept_and_takes_what_clients_log() {
    let world = World::in_file(database_of_format_8());
    assert_eq!(world.rows("PRAGMA user_version"), ["10"]);
    kept_from_format_8(&world);
    assert_eq!(world.rows("PRAGMA foreign_key_check"), [""; 0]);
    assert_eq!(world.rows("PRAGMA integrity_check"), ["ok"]);
}

#[cfg(feature = "postgres")]
#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_of_format_8_on_a_server_is_kept_and_takes_what_clients_log() {
    let cluster = stagewright_services::postgres::Cluster::shared();
    let url = cluster.create_database();
    cluster.psql(&url, POSTGRES_7).unwrap();
    cluster.psql(&url, &format!("{} {ROWS_8}", for_postgres(TO_FORMAT_8))).unwrap();
    cluster.psql(&url, "UPDATE stagewright_format SET format = 8").unwrap();
    let world = World::on_server(url);
    assert_eq!(world.rows("SELECT format FROM stagewright_format"), ["10"]);
    kept_from_format_8(&world);
}
