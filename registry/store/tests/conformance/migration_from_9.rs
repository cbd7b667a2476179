//! Migration from format 9: what pipelines and clients recorded is as it was, and the database says
//! who may use it.

use stagewright_store::RunStatus;

#[cfg(feature = "postgres")]
use crate::migration::{POSTGRES_7, for_postgres};
#[cfg(feature = "postgres")]
use crate::migration_from_8::{ROWS_8, TO_FORMAT_8};
use crate::migration_from_8::{database_of_format_8, kept_from_format_8};
use crate::world::World;

const TO_FORMAT_9: &str = include_str!("../../src/registry/migrations/9.sql");

/// Rows that only format 9 has: a client's run with a metric, a file and a model that it logged.
const ROWS_9: &str = "
    INSERT INTO experiments (id, name, created_ms, artifact_location) VALUES (0, 'Default', 1, NULL);
    INSERT INTO runs (id, run_id, experiment, name, pipeline, seed, status, started_ms, owner, manifest, config)
        VALUES (900, '0123456789abcdef0123456789abcdef', 0, 'of a client', '', 0, 'finished', 5, '', '', '{}');
    INSERT INTO metric_points (run, name, value, step, at_ms) VALUES (900, 'loss', 0.25, 3, 7);
    INSERT INTO latest_metrics (run, name, value, step, at_ms) VALUES (900, 'loss', 0.25, 3, 7);
    INSERT INTO client_files VALUES ('0/0123456789abcdef0123456789abcdef/artifacts/b.txt',
        'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad', 3, 8);
    INSERT INTO logged_models (id, model_id, experiment, name, status, created_ms, updated_ms)
        VALUES (900, 'm-0123456789abcdef0123456789abcdef', 0, 'forest', 'ready', 9, 9);";

/// Checks that everything of format 9 is still there, and what format 10 adds.
fn kept_from_format_9(world: &World) {
    let run = world.registry.run("0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!((run.status, run.is_client, run.name.as_str()), (RunStatus::Finished, true, "of a client"));
    assert_eq!((run.metrics[0].name.as_str(), run.metrics[0].value), ("loss", 0.25));
    assert_eq!(world.registry.logged_model("m-0123456789abcdef0123456789abcdef").unwrap().name, "forest");
    assert_eq!(world.rows("SELECT bytes FROM client_files"), ["3"]);
    assert_eq!(world.rows("SELECT read_from, write_from FROM usable_by"), ["10|10"]);
    world.sql("DELETE FROM client_files").unwrap();
    kept_from_format_8(world);
}

// invariant: A database of format 9 migrates to the current format without loss.
#[test]
fn a_database_of_format_9_is_kept() {
    let old = database_of_format_8();
    let connection = rusqlite::Connection::open(old.path().join("stagewright.db")).unwrap();
    connection.execute_batch(TO_FORMAT_9).unwrap();
    connection.execute_batch(ROWS_9).unwrap();
    connection.pragma_update(None, "user_version", 9).unwrap();
    drop(connection);
    let world = World::in_file(old);
    assert_eq!(world.rows("PRAGMA user_version"), ["10"]);
    kept_from_format_9(&world);
    assert_eq!(world.rows("PRAGMA foreign_key_check"), [""; 0]);
    assert_eq!(world.rows("PRAGMA integrity_check"), ["ok"]);
}

#[cfg(feature = "postgres")]
#[test]
#[ignore = "needs PostgreSQL"]
fn a_database_of_format_9_on_a_server_is_kept() {
    let cluster = stagewright_services::postgres::Cluster::shared();
    let url = cluster.create_database();
    cluster.psql(&url, POSTGRES_7).unwrap();
    cluster.psql(&url, &format!("{} {ROWS_8}", for_postgres(TO_FORMAT_8))).unwrap();
    cluster.psql(&url, &format!("{} {ROWS_9}", for_postgres(TO_FORMAT_9))).unwrap();
    cluster.psql(&url, "UPDATE stagewright_format SET format = 9").unwrap();
    let world = World::on_server(url);
    assert_eq!(world.rows("SELECT format FROM stagewright_format"), ["10"]);
    kept_from_format_9(&world);
}
