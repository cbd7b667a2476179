//! The ways in which only a server can fail: refusals, cut connections, restarts, other defaults of
//! isolation.

use std::process::Command;
use std::thread;
use std::time::Duration;

use stagewright_services::postgres::{Cluster, Durability};
use stagewright_store::{
    ArtifactStore, MetricPoint, NewClientRun, NewModel, OpenMode, Registry, RunStatus, StoreError,
};

use crate::world::{World, eventually, new_run, said, spawn, unnumbered, version};

/// Returns the error of connecting to this URL.
fn refusal(url: &str) -> String {
    Registry::connect(url).unwrap_err().to_string()
}

/// Returns the parts of an address of the shared cluster: user, password, the rest.
fn parts(url: &str) -> (&str, &str, &str) {
    let (user, rest) = url.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
    let (password, rest) = rest.split_once('@').unwrap();
    (user, password, rest)
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_wrong_password_is_a_clear_error_that_does_not_show_it() {
    let url = Cluster::shared().create_database();
    let (user, password, rest) = parts(&url);
    for wrong in
        [format!("postgres://{user}:not{password}@{rest}"), format!("postgres://{user}@{rest}?password=not{password}")]
    {
        let refused = refusal(&wrong);
        let text = format!(
            "cannot read the format in `postgres://{user}@{rest}`: FATAL: password authentication failed for user \
             \"{user}\"\nhint: check the user and password of STAGEWRIGHT_REGISTRY, or set PGPASSWORD"
        );
        assert_eq!(refused, text);
    }
    let none = refusal(&format!("postgres://{user}@{rest}"));
    assert!(none.contains("password missing") && none.contains("PGPASSWORD"), "{none}");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_missing_database_is_a_clear_error() {
    let url = Cluster::shared().url();
    let (user, password, rest) = parts(&url);
    let place = rest.replace("/postgres", "/nowhere");
    let refused = refusal(&format!("postgres://{user}:{password}@{place}"));
    let text = format!(
        "cannot read the format in `postgres://{user}@{place}`: FATAL: database \"nowhere\" does not exist\n\
         hint: create the database first: createdb NAME"
    );
    assert_eq!(refused, text);
    assert!(!refused.contains(password));
}

#[test]
fn a_server_that_cannot_be_reached_is_a_clear_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let text = format!(
        "cannot read the format in `postgresql://ada@127.0.0.1:{port}/db`: error connecting to server: Connection refused \
         (os error 111)\nhint: see that the server runs and that STAGEWRIGHT_REGISTRY names it: \
         postgresql://user@host/database"
    );
    assert_eq!(refusal(&format!("postgresql://ada:secret@127.0.0.1:{port}/db")), text);
}

#[test]
fn what_is_no_url_of_a_registry_is_a_clear_error() {
    for (url, text) in [
        (
            "mysql://ada:secret@host/db",
            "`mysql://ada@host/db` is not a registry\nhint: postgresql://USER@HOST/DATABASE",
        ),
        ("host=h password=secret", "`host` is not a registry\nhint: postgresql://USER@HOST/DATABASE"),
        (
            "postgresql://ada:secret@host:port/db",
            "cannot understand the registry's URL in `postgresql://ada@host:port/db`: invalid connection string: invalid \
             value for option `port`",
        ),
    ] {
        let refused = refusal(url);
        assert!(refused.starts_with(text), "{refused}");
        assert!(!refused.contains("secret"), "{refused}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_server_without_tls_is_refused_where_tls_is_required() {
    let url = Cluster::shared().create_database();
    let refused = refusal(&format!("{url}?sslmode=require"));
    let (_, password, _) = parts(&url);
    assert!(refused.contains("server does not support TLS"), "{refused}");
    assert!(!refused.contains(password), "{refused}");
    for mode in ["prefer", "disable"] {
        Registry::connect(&format!("{url}?sslmode={mode}")).unwrap();
    }
}

/// Ends every other session of this database.
const CUT: &str = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[test]
#[ignore = "needs PostgreSQL"]
fn a_connection_that_was_cut_is_replaced_on_the_next_call() {
    let world = World::postgres();
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    for _ in 0..3 {
        // Several connections are idle, and all of them are cut.
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| world.unjudged("churn"));
            }
        });
        world.rows(CUT);
        assert_eq!(world.registry.models().unwrap().len(), 1);
        world.rows(CUT);
        world.unjudged("churn");
    }
    assert_eq!(world.registry.model("churn").unwrap().latest_version, 15);
    // The session of the owner's lock was cut too, and reconnects.
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND objid <> 0
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    eventually(|| (world.rows(locks) == ["1"]).then_some(()));
    assert_eq!(world.reopened().run(run.as_str()).unwrap().status, RunStatus::Running);
}

// invariant: A watch whose connection was lost connects again, and tells of a change.
#[test]
#[ignore = "needs PostgreSQL"]
fn a_watch_whose_connection_was_cut_goes_on_and_tells_of_a_change() {
    let world = World::postgres();
    let mut watch = world.registry.watch().unwrap();
    for _ in 0..2 {
        world.rows(CUT);
        // Nothing has changed, but something may have, which nobody heard.
        assert!(watch.wait(Duration::from_secs(30)).unwrap());
        assert!(!watch.wait(Duration::from_millis(300)).unwrap());
        world.unjudged("churn");
        assert!(watch.wait(Duration::from_secs(30)).unwrap());
        while watch.wait(Duration::from_millis(300)).unwrap() {}
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_watch_of_a_server_that_is_away_is_an_error_until_it_is_back() {
    // A cluster of its own, because it stops.
    let cluster = Cluster::start_with(Durability::Synced);
    let url = cluster.url();
    let registry = Registry::connect(&url).unwrap();
    registry.create_model("churn", &NewModel::default()).unwrap();
    let mut watch = registry.watch().unwrap();
    // It refuses connections while it is not allowed to take any, and ends those that it has.
    let shut = |state: &str| {
        let refuse = format!("ALTER DATABASE postgres WITH ALLOW_CONNECTIONS {state}");
        cluster.psql(&url.replace("/postgres", "/template1"), &refuse).unwrap();
    };
    shut("false");
    let cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = 'postgres'";
    cluster.psql(&url.replace("/postgres", "/template1"), cut).unwrap();
    for _ in 0..2 {
        let away = watch.wait(Duration::from_secs(1)).unwrap_err();
        assert!(matches!(away, StoreError::Database { .. }), "{away}");
    }
    shut("true");
    assert!(watch.wait(Duration::from_secs(30)).unwrap(), "it is back, and something may have changed");
    assert!(!watch.wait(Duration::from_millis(300)).unwrap());
    registry.create_model("other", &NewModel::default()).unwrap();
    assert!(watch.wait(Duration::from_secs(30)).unwrap());
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_user_who_may_only_read_the_tables_reads_and_watches() {
    let url = Cluster::shared().create_database();
    let name = url.rsplit('/').next().unwrap();
    drop(Registry::connect(&url).unwrap());
    let grants = format!(
        "CREATE USER reader_{name} PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader_{name}"
    );
    Cluster::shared().psql(&url, &grants).unwrap();
    let (_, _, rest) = parts(&url);
    let reader = Registry::connect_as(&format!("postgres://reader_{name}:secret@{rest}"), None, OpenMode::Reading);
    let reader = reader.unwrap();
    let mut watch = reader.watch().unwrap();
    Registry::connect(&url).unwrap().create_model("churn", &NewModel::default()).unwrap();
    assert!(watch.wait(Duration::from_secs(30)).unwrap());
    assert_eq!(reader.model("churn").unwrap().latest_version, 0);
    assert_eq!(reader.active_deployment("churn").unwrap(), None);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn runs_survive_a_server_that_restarts() {
    // A cluster of its own, because all its sessions end, and one that keeps committed
    // transactions.
    let cluster = Cluster::start_with(Durability::Synced);
    let url = cluster.url();
    let registry = Registry::connect(&url).unwrap();
    let run = registry.begin_run(&new_run("churn")).unwrap();
    // The death of one of its processes makes the server restart the others.
    let victim = cluster.psql(&url, "SELECT pid FROM pg_stat_activity WHERE application_name = 'stagewright' LIMIT 1");
    let killed = Command::new("kill").args(["-9", &victim.unwrap()]).status().unwrap();
    assert!(killed.success());
    // Neither a registry that is opened at once nor one that is opened later takes the owner for
    // dead.
    let status = |registry: &Registry| registry.run(run.as_str()).unwrap().status;
    let opened = eventually(|| Registry::connect(&url).ok());
    assert_eq!(status(&opened), RunStatus::Running);
    thread::sleep(Duration::from_secs(13));
    assert_eq!(status(&Registry::connect(&url).unwrap()), RunStatus::Running);
    registry.create_model("churn", &NewModel::default()).unwrap();
    registry.finish_run(&run, RunStatus::Finished, None).unwrap();
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_process_has_few_connections_however_many_threads() {
    let world = World::postgres();
    world.registry.begin_run(&new_run("churn")).unwrap();
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'stagewright'";
    thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| world.unjudged("churn"));
            scope.spawn(|| world.registry.list_runs(10).unwrap());
        }
    });
    let sessions: u32 = world.rows(sessions)[0].parse().unwrap();
    assert!((2..=9).contains(&sessions), "{sessions}");
    assert_eq!(world.registry.model("churn").unwrap().latest_version, 64);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn a_servers_own_defaults_of_transactions_change_nothing() {
    for setting in ["default_transaction_isolation = 'serializable'", "default_transaction_read_only = on"] {
        let url = Cluster::shared().create_database();
        let database = url.rsplit('/').next().unwrap();
        Cluster::shared().psql(&url, &format!("ALTER DATABASE {database} SET {setting}")).unwrap();
        let registry = Registry::connect(&url).unwrap();
        let run = registry.begin_run(&new_run("churn")).unwrap();
        thread::scope(|scope| {
            for number in 0..8 {
                let (registry, run) = (&registry, &run);
                scope.spawn(move || {
                    for step in 0..10 {
                        registry.create_model(&format!("model-{number}-{step}"), &NewModel::default()).unwrap();
                        let tags = [("shared".to_owned(), number.to_string())];
                        registry.log_batch(run, &[], &[], &tags).unwrap();
                    }
                });
            }
        });
        assert_eq!(registry.verify_audit().unwrap().entries, 80);
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn several_processes_create_the_tables_at_once() {
    if World::part().is_some() {
        World::postgres().unjudged("churn");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let url = Cluster::shared().create_database();
    for child in [(); 6].map(|()| spawn(url.as_ref(), home.path(), "create")) {
        said(child);
    }
    let registry = Registry::connect(&url).unwrap();
    assert_eq!((registry.model("churn").unwrap().latest_version, registry.verify_audit().unwrap().entries), (6, 7));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn tables_of_a_newer_program_are_left_alone() {
    let world = World::postgres();
    world
        .sql("UPDATE stagewright_format SET format = 99; UPDATE usable_by SET read_from = 99, write_from = 99")
        .unwrap();
    let refused = world.try_reopen().unwrap_err();
    assert!(matches!(refused, StoreError::TooNew { found: 99, known: 10, .. }), "{refused}");
    assert_eq!(world.rows("SELECT format FROM stagewright_format"), ["99"]);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn the_audit_cannot_be_truncated() {
    let world = World::postgres();
    world.unjudged("churn");
    assert!(world.sql("TRUNCATE audit").unwrap_err().contains("the audit is append-only"));
    world.registry.verify_audit().unwrap();
}

/// Returns the statements that the server prepared and executed since `from`.
fn asked(cluster: &Cluster, from: usize) -> (Vec<String>, Vec<String>) {
    let log = cluster.log();
    let asked = |what: &[&str]| -> Vec<String> {
        let said = log[from..].lines().filter_map(|line| line.split_once(" ms  ").map(|(_, said)| said.to_owned()));
        said.filter(|said| what.iter().any(|what| said.starts_with(what))).collect()
    };
    (asked(&["parse"]), asked(&["execute", "statement"]))
}

#[test]
#[ignore = "needs PostgreSQL"]
fn every_statement_is_prepared_once_and_there_is_no_needless_round_trip() {
    // A cluster of its own, so that its log has no other client's statements.
    let cluster = Cluster::start();
    let url = cluster.url();
    cluster.psql(&url, "ALTER DATABASE postgres SET log_min_duration_statement = 0").unwrap();
    let registry = Registry::connect(&url).unwrap();
    let home = tempfile::tempdir().unwrap();
    let artifacts = ArtifactStore::open(home.path()).unwrap();
    let point = MetricPoint { name: "loss".into(), value: 0.5, ..MetricPoint::default() };
    let run = registry.begin_run(&new_run("churn")).unwrap();
    registry.log_metric(&run, &point).unwrap();
    registry.create_version(&artifacts, "churn", &version(), &unnumbered).unwrap();
    let round_trips = |call: &dyn Fn()| {
        let from = cluster.log().len();
        call();
        let (prepared, executed) = asked(&cluster, from);
        assert_eq!(prepared, [""; 0]);
        assert_eq!(executed.iter().filter(|it| it.starts_with("statement: BEGIN")).count(), 1, "{executed:#?}");
        executed.len()
    };
    // Includes begin and commit; for the run, its one parameter and its one tag.
    assert_eq!(round_trips(&|| registry.log_metric(&run, &point).unwrap()), 5);
    // As many of a client's run, also if the value is there already.
    let experiment_id = registry.experiment("churn").unwrap().unwrap().id;
    let client = registry.begin_client_run(&NewClientRun { experiment_id, ..NewClientRun::default() }).unwrap().run_id;
    let log = |step| registry.log_metric(&client, &MetricPoint { step, at_ms: Some(1), ..point.clone() }).unwrap();
    log(1);
    log(1);
    assert_eq!([round_trips(&|| log(2)), round_trips(&|| log(1))], [5, 5]);
    assert_eq!(round_trips(&|| drop(registry.begin_run(&new_run("churn")).unwrap())), 6);
    let create = || assert!(registry.create_version(&artifacts, "churn", &version(), &unnumbered).is_ok());
    // Thirteen of them record the state of model and version in the audit, and one asks which
    // webhooks want to be told.
    assert_eq!(round_trips(&create), 23);
}
