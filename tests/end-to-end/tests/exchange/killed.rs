//! Imports that are killed, and run again.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stagewright_end_to_end::Place;
use stagewright_store::{Home, Registry, Run, RunId};

use super::faulty::{Fault, Faulty};
use super::imports::{create_experiment, import, log_run, register};
use super::server::Server;

/// No request.
const NONE: usize = usize::MAX;

// invariant: An import that was killed at any moment goes on, and nothing is there twice.
#[test]
fn an_import_that_is_killed_at_any_request_goes_on_where_it_was() {
    let there = Place::new();
    let server = Server::start(&there);
    let experiment = create_experiment(&server, "first");
    let runs: Vec<String> = (0..3).map(|number| log_run(&server, &experiment, &format!("run-{number}"))).collect();
    register(&server, "classifier", &runs[0]);

    // At the request with this number since it was set, the server goes silent.
    let (number, silent_at) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(NONE)));
    let (counted, silent) = (number.clone(), silent_at.clone());
    let before = Faulty::before(Some(&server.address), move |_, _| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        if number == silent.load(Ordering::SeqCst) { Fault::Hang } else { Fault::Pass }
    });
    let reference = Place::new();
    import(&reference, &before.address, &[]).expect(0);
    let requests = number.load(Ordering::SeqCst);
    assert!(requests > 15, "{:?}", before.lines());
    let whole = state(&reference, &runs);

    let every = if std::env::var_os("STAGEWRIGHT_FAULTS").is_some_and(|faults| faults == "all") { 1 } else { 4 };
    for at in (0..requests).step_by(every) {
        let place = Place::new();
        number.store(0, Ordering::SeqCst);
        silent_at.store(at, Ordering::SeqCst);
        let mut command = place.command(&["import", "mlflow", "--uri", &before.address]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary starts");
        let until = Instant::now() + Duration::from_secs(60);
        while number.load(Ordering::SeqCst) <= at {
            assert!(Instant::now() < until, "request {at} does not come: {:?}", before.lines());
            assert!(child.try_wait().expect("a status").is_none(), "the import ended before request {at}");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().expect("it is killed");
        child.wait().expect("a status");
        silent_at.store(NONE, Ordering::SeqCst);
        import(&place, &before.address, &[]).expect(0);
        assert_eq!(state(&place, &runs), whole, "killed at request {at}");
    }
}

/// Everything that was imported into a home.
fn state(place: &Place, runs: &[String]) -> (Vec<Run>, Vec<String>) {
    let home = Home::open(place.home()).expect("the home");
    let registry = &home.registry;
    let all = registry.list_runs(100).expect("runs");
    assert_eq!(all.len(), runs.len(), "{all:?}");
    let more = runs.iter().map(|run| values_and_files(registry, run));
    let versions = registry.versions("classifier").expect("versions");
    let pinned = versions.iter().map(|version| format!("{:?} {:?}", version.version, version.foreign));
    let mut more: Vec<String> = more.chain(pinned).collect();
    more.push(format!("{:?}", registry.audit_of("classifier", None).expect("the audit").len()));
    let mut all = all;
    all.sort_by(|one, other| one.run_id.cmp(&other.run_id));
    (all, more)
}

fn values_and_files(registry: &Registry, run: &str) -> String {
    let id: RunId = run.parse().expect("an identifier");
    let values = registry.metric_history(&id, "loss").expect("values");
    let folder = registry.run(run).expect("the run").artifact_uri.replace("mlflow-artifacts:/", "");
    let files = registry.client_files(&format!("{folder}/model"), None, 100).expect("files");
    format!("{values:?} {files:?}")
}
