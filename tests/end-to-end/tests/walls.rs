//! The walls around stages: which ones stand, that a stage's process is locked in while it works,
//! and that results do not depend on them.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place, config};

/// Sets an operator's policy for a command.
fn operated(mut command: Command, place: &Place, policy: &str) -> Command {
    command.env("STAGEWRIGHT_OPERATOR", place.write("operator.toml", format!("walls = \"{policy}\"\n")));
    command
}

/// Returns a run of the churn pipeline on so many generated customers under a policy.
fn churn(place: &Place, policy: &str, rows: u32, more: &[&str]) -> Command {
    let (manifest, rows) = (config("churn.toml"), format!("ingestion.rows={rows}"));
    let mut command = place.command(&["run", &manifest, "--json", "--set", "ingestion.component=ingest-synthetic"]);
    // A cached step has no walls to report.
    command.args(["--no-cache", "--set", &rows]).args(more);
    operated(command, place, policy)
}

/// Returns the walls that a run reports for each stage.
fn walls(run: &Value) -> BTreeSet<String> {
    let stages = run["stages"].as_array().expect("stages");
    assert!(!stages.is_empty(), "{run}");
    stages.iter().map(|stage| stage["walls"].to_string()).collect()
}

#[test]
fn every_stage_tells_the_walls_that_stood_around_it() {
    let place = Place::new();
    let all = json!(["wasm", "seccomp", "landlock", "rlimits"]);
    for (policy, stood) in [("required", all), ("sandbox-only", json!(["wasm"]))] {
        let run = Ended::of(churn(&place, policy, 7_043, &[])).expect(0).json();
        assert_eq!(walls(&run), BTreeSet::from([stood.to_string()]), "{policy}");
        let shown = place.run(&["runs", "show", run["run_id"].as_str().expect("a run"), "--json"]).expect(0).json();
        assert_eq!(walls(&shown), BTreeSet::from([stood.to_string()]), "{policy}, recorded");
        // The output reports walls that did not stand.
        let mut command = place.command(&["run", &config("churn.toml"), "--until", "ingestion", "--no-cache"]);
        command.args(["--set", "ingestion.component=ingest-synthetic"]);
        let told = Ended::of(operated(command, &place, policy)).expect(0).stdout;
        let missing = "walls: not around every stage stood seccomp, landlock, rlimits";
        assert_eq!(told.contains(missing), policy == "sandbox-only", "{told}");
    }
}

#[test]
fn what_is_made_depends_neither_on_walls_nor_on_workers() {
    let made = |policy: &str, workers: &str| {
        let place = Place::new();
        let run = Ended::of(churn(&place, policy, 20_000, &["--workers", workers])).expect(0).json();
        let stages = run["stages"].as_array().expect("stages").iter();
        stages.map(|stage| stage["artifacts"].clone()).collect::<Vec<_>>()
    };
    let first = made("required", "1");
    for (policy, workers) in [("required", "2"), ("required", "8"), ("sandbox-only", "1"), ("sandbox-only", "8")] {
        assert_eq!(made(policy, workers), first, "{policy} with {workers} workers");
    }
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the children of a process: number, and the text of `/proc/N/status`.
fn children(parent: u32) -> Vec<(u32, String)> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let statuses =
        numbers.filter_map(|number| Some((number, fs::read_to_string(format!("/proc/{number}/status")).ok()?)));
    statuses.filter(|(_, status)| status.contains(&format!("\nPPid:\t{parent}\n"))).collect()
}

/// Polls until something is there.
fn wait_for<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        match look() {
            Some(found) => return found,
            None if begin.elapsed() > Duration::from_secs(120) => panic!("{what} did not come"),
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Starts a long run and returns it with a locked process of its stage.
fn at_work(place: &Place) -> (Running, u32, String) {
    Ended::of(churn(place, "required", 7_043, &[])).expect(0);
    let mut command = churn(place, "required", 300_000, &["--until", "training"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let run = Running(command.spawn().expect("the binary"));
    let locked =
        |(_, status): &(u32, String)| status.starts_with("Name:\tstagewright-sta") && status.contains("Seccomp:\t2");
    let (number, status) = wait_for("a locked process", || children(run.0.id()).into_iter().find(locked));
    (run, number, status)
}

#[test]
fn while_a_stage_works_its_process_is_locked_in() {
    let place = Place::new();
    let (_run, _, status) = at_work(&place);
    assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
        assert!(status.contains(&format!("\n{set}:\t0000000000000000\n")), "{status}");
    }
}

/// Starts a run whose query has no end, so that it decodes a database until it is stopped.
fn decodes(place: &Place, more: &[&str]) -> Command {
    rusqlite::Connection::open(place.path().join("rows.db"))
        .and_then(|database| database.execute_batch("CREATE TABLE IF NOT EXISTS rows (x, y)"))
        .expect("a database");
    let query = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x, 'a' AS y FROM r WHERE x < 0";
    let text = format!(
        "pipeline = \"p\"\nexperiment = \"e\"\nmodel = \"m\"\nseed = 1\n[task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"a\"\n\
         [sources.s]\nuri = \"sqlite:rows.db\"\nquery = \"{query}\"\n\
         [signature.fields]\nx = \"int64\"\ny = {{ type = \"categorical\", role = \"target\" }}\n\
         [split]\nmethod = \"hash\"\ntest = 0.5\nvalidation = 0.0\nseed = 1\n\
         [stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"s\"\n[stages.validation]\ncomponent = \"validate-table\"\n\
         [stages.transformation]\ncomponent = \"transform-table\"\n[stages.training]\ncomponent = \"train-logistic\"\n\
         [stages.evaluation]\ncomponent = \"evaluate-classifier\"\n[stages.promotion]\ncomponent = \"promote-gated\"\n"
    );
    let manifest = place.write("endless.toml", text);
    let mut command = place.command(&["run", manifest.to_str().expect("a path"), "--json", "--until", "ingestion"]);
    command.args(more);
    operated(command, place, "required")
}

// invariant: as `whatever_a_process_sends_that_decodes_is_a_fault_of_the_file_and_nothing_else`
#[test]
fn a_file_is_decoded_in_a_process_that_is_locked_in_and_ends_with_it_alone() {
    let place = Place::new();
    // Components are described first, in processes of their own.
    Ended::of(churn(&place, "required", 7_043, &[])).expect(0);
    // The decoder starts last.
    let locked = |run: u32| {
        let all = children(run).into_iter();
        let locked: Vec<_> = all.filter(|(_, status)| status.contains("Seccomp:\t2")).collect();
        (locked.len() == 2).then(|| locked.into_iter().max_by_key(|(number, _)| begun(*number)))?
    };
    let message = |stdout: &str| {
        let object: serde_json::Value = serde_json::from_str(stdout).expect("one object");
        object["error"]["message"].as_str().expect("a run that failed").to_owned()
    };
    let killed = "the process that decodes it was ended from outside, by the signal `SIGKILL`";
    let stopped = "ran past its limit of 12.00 s wall: it used ";
    for (signal, wall, code, said) in [("KILL", "60 s", 3, killed), ("STOP", "12 s", 6, stopped)] {
        let mut command = decodes(&place, &["--set", &format!("ingestion.limits.wall={wall}")]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = command.spawn().expect("the binary");
        let (number, status) = wait_for("a process that decodes", || locked(run.id()));
        assert!(status.contains("\nNoNewPrivs:\t1\n") && status.contains("\nCapEff:\t0000000000000000\n"), "{status}");
        let sent = Command::new("kill").args([format!("-{signal}"), number.to_string()]).status().expect("kill");
        let ended = run.wait_with_output().expect("it ends");
        let told = message(&String::from_utf8_lossy(&ended.stdout));
        assert!(sent.success() && ended.status.code() == Some(code) && told.contains(said), "{signal}: {told}");
        assert!(signal != "KILL" || told.contains("rows.db"), "{told}");
        let staging = fs::read_dir(place.home().join("artifacts/staging")).expect("a folder");
        assert_eq!(staging.count(), 0, "{signal}: something was left of the stage");
    }
    // The decoder's time counts against the stage's limits.
    let ended = Ended::of(decodes(&place, &["--set", "ingestion.limits.cpu=500 ms"])).expect(6);
    let told = message(&ended.stdout);
    assert!(told.contains("ran past its limit of 500 ms cpu: it used "), "{told}");
    Ended::of(churn(&place, "required", 7_043, &[])).expect(0);
}

/// Returns the start time of a process in the kernel's ticks.
fn begun(number: u32) -> u64 {
    let said = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    // The name, in parentheses, may contain anything.
    let (_, rest) = said.rsplit_once(')').unwrap_or_default();
    rest.split_whitespace().nth(19).and_then(|ticks| ticks.parse().ok()).unwrap_or_default()
}

#[test]
fn no_process_of_a_stage_outlives_its_run() {
    let place = Place::new();
    let (mut run, number, _) = at_work(&place);
    run.0.kill().expect("it runs");
    run.0.wait().expect("it ended");
    wait_for("the end of the stage's process", || {
        let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
        (!status.contains("stagewright-sta") || status.contains("State:\tZ")).then_some(())
    });
    // The next run finds a home in order.
    Ended::of(churn(&place, "required", 7_043, &[])).expect(0);
}

// invariant: as `a_child_that_somebody_else_kills_is_told_as_that`
#[test]
fn a_process_of_a_stage_that_is_killed_or_stopped_is_the_stages_fault() {
    let place = Place::new();
    // Components are described first, in processes of their own.
    Ended::of(churn(&place, "required", 7_043, &[])).expect(0);
    for (signal, wall, code, fault) in [("KILL", "60 s", 7, "was ended from outside in `"), ("STOP", "12 s", 6, "wall")]
    {
        let limits = ["ingestion", "validation", "transformation", "training"]
            .map(|stage| format!("{stage}.limits.wall={wall}"));
        let limits =
            limits.into_iter().chain(["ingestion", "training"].map(|stage| format!("{stage}.retry.attempts=3")));
        let limits: Vec<String> = limits.collect();
        let limits: Vec<&str> = limits.iter().flat_map(|limit| ["--set", limit]).collect();
        let mut command = churn(&place, "required", 300_000, &["--until", "training"]);
        command.args(limits).stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = command.spawn().expect("the binary");
        let locked = |(_, status): &(u32, String)| {
            status.starts_with("Name:\tstagewright-sta") && status.contains("Seccomp:\t2")
        };
        let (number, _) = wait_for("a locked process", || children(run.id()).into_iter().find(locked));
        let sent = Command::new("kill").args([format!("-{signal}"), number.to_string()]).status().expect("kill");
        let ended = run.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(sent.success() && ended.status.code() == Some(code) && told.contains(fault), "{signal}: {told}");
        // The message blames no bug of the component, and nothing is retried.
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(signal != "KILL" || said.contains("hint: Stagewright did not end it"), "{said}");
        assert!(!said.contains("tried again"), "{said}");
        let staging = fs::read_dir(place.home().join("artifacts/staging")).expect("a folder");
        assert_eq!(staging.count(), 0, "{signal}: something was left of the stage");
    }
    Ended::of(churn(&place, "required", 7_043, &[])).expect(0);
}
