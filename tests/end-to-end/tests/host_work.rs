//! The host's own work for a stage counts against the stage's budget, and the host applies the
//! manifest's rules where a stage does not.

use std::os::unix::process::CommandExt as _;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::Value;
use stagewright_end_to_end::{Ended, Place, config, guests};

/// Far more than such a run takes, and far less than an unstopped one.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs with at most 2 GiB of data, as with `prlimit --data=2147483648`.
fn with_little_memory(place: &Place, arguments: &[&str]) -> Ended {
    let mut command = place.command(arguments);
    let limit = rustix::process::Rlimit { current: Some(2 << 30), maximum: Some(2 << 30) };
    // SAFETY: only a system call runs between fork and exec.
    unsafe {
        command.pre_exec(move || Ok(rustix::process::setrlimit(rustix::process::Resource::Data, limit)?));
    }
    Ended::of(command)
}

fn message(ended: &Ended) -> String {
    ended.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

/// Runs the churn pipeline with a change of its text, on generated customers, with a validation
/// stage that finds nothing.
fn quiet(place: &Place, change: impl Fn(&str) -> String) -> Ended {
    let text = std::fs::read_to_string(config("churn.toml")).expect("a manifest");
    let component = guests().join("empty-validation.wasm");
    let component = format!("[components.quiet]\npath = {:?}\n", component.display().to_string());
    let manifest = place.write("quiet.toml", format!("{}\n{component}", change(&text))).display().to_string();
    let sets = ["ingestion.component=ingest-synthetic", "ingestion.rows=2000", "validation.component=quiet"];
    let mut arguments = vec!["run", &manifest, "--json"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    place.run(&arguments)
}

#[test]
fn a_column_that_nobody_declared_is_found_though_validation_keeps_quiet() {
    let place = Place::new();
    for (change, told) in [
        // The table has a column that the signature does not name. It could be the answer.
        (("gender = \"utf8\"\n", ""), "signature of `gender` is utf8 column, expected no such column"),
        (
            ("gender = \"utf8\"\n", "gender = \"utf8\"\nloyalty = \"int64\"\n"),
            "signature of `loyalty` is no such column",
        ),
        (("tenure = \"int64\"", "tenure = \"float64\""), "signature of `tenure` is int64, expected float64"),
        (
            ("gender = \"utf8\"\nSeniorCitizen = \"int64\"\n", "SeniorCitizen = \"int64\"\ngender = \"utf8\"\n"),
            "in the place of",
        ),
        (("type = \"float64\", nullable = true", "type = \"float64\""), "nulls, expected no nulls"),
    ] {
        let ended = quiet(&place, |text| {
            let changed = text.replace(change.0, change.1);
            assert_ne!(changed, text, "{change:?}");
            changed
        });
        let message = message(&ended.expect(3));
        assert!(message.contains("the data failed validation") && message.contains(told), "{message}");
    }
    assert!(place.run(&["models", "list", "--json"]).json()["models"].as_array().is_none_or(Vec::is_empty));
    quiet(&place, str::to_owned).expect(0);
}

#[test]
fn what_the_host_writes_for_a_stage_counts_against_its_output() {
    let place = Place::new();
    // Predictions of 20,000 rows exceed the output of the evaluation stage itself.
    let stopped = place.churn(20_000, &["--set", "evaluation.limits.output=16 KiB"]).expect(6);
    let text = message(&stopped);
    assert!(text.contains("evaluation") && text.contains("output"), "{text}");
    let stopped = place.churn(20_000, &["--no-cache", "--set", "transformation.limits.output=1 MiB"]).expect(6);
    let text = message(&stopped);
    assert!(text.contains("transformation") && text.contains("output"), "{text}");
    place.churn(3000, &[]).expect(0);
}

#[test]
fn what_the_host_keeps_of_each_row_counts_against_the_stages_memory() {
    let place = Place::new();
    for stage in ["transformation", "evaluation"] {
        // Enough for the stage itself, which holds one batch at a time.
        let limit = format!("{stage}.limits.memory=6 MiB");
        let stopped = place.churn(150_000, &["--set", &limit, "--until", stage]).expect(6);
        let text = message(&stopped);
        assert!(text.contains(stage) && text.contains("memory"), "{text}");
    }
}

#[test]
fn the_hosts_work_for_a_stage_is_its_cpu_time() {
    let place = Place::new();
    let used = || {
        let run = place.churn(60_000, &["--no-cache", "--until", "transformation"]).expect(0).json();
        run["stages"][2]["cpu_ms"].as_f64().expect("milliseconds")
    };
    // The smaller of two measurements: a busy machine adds to either.
    let used = used().min(used());
    // Half of the work is the host's: it splits, encodes, writes and hashes seven tables.
    let limit = format!("transformation.limits.cpu={} ms", (used / 2.0).max(10.0) as u64);
    let stopped = place.churn(60_000, &["--no-cache", "--until", "transformation", "--set", &limit]).expect(6);
    let text = message(&stopped);
    assert!(text.contains("transformation") && text.contains("cpu"), "{text}");
}

/// Returns a pipeline that reads the table `v` of a database.
fn reading(place: &Place, sql: &str, source: &str) -> String {
    let path = place.path().join("hostile.db");
    let _ = std::fs::remove_file(&path);
    Connection::open(&path).and_then(|connection| connection.execute_batch(sql)).expect("a database");
    let text = format!(
        "pipeline = \"p\"\nexperiment = \"e\"\nmodel = \"m\"\nseed = 1\n[task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"1\"\n\
         [sources.s]\n{source}\n[signature.fields]\nt = \"utf8\"\ny = {{ type = \"int64\", role = \"target\" }}\n\
         [split]\nmethod = \"hash\"\ntest = 0.5\nvalidation = 0.0\nseed = 1\n\
         [stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"s\"\n[stages.validation]\ncomponent = \"validate-table\"\n\
         [stages.transformation]\ncomponent = \"transform-table\"\n[stages.training]\ncomponent = \"train-logistic\"\n\
         [stages.evaluation]\ncomponent = \"evaluate-classifier\"\n[stages.promotion]\ncomponent = \"promote-gated\"\n"
    );
    place.write("hostile.toml", text).display().to_string()
}

#[test]
fn a_database_that_never_answers_ends_at_the_stages_limit() {
    let place = Place::new();
    // About half an hour in one call of SQLite, which asks no callback meanwhile.
    let query = "uri = \"sqlite:hostile.db\"\nquery = \"SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1') AS t, 1 AS y\"";
    let manifest = reading(&place, "CREATE TABLE x (a)", query);
    for limit in ["wall", "cpu"] {
        let began = Instant::now();
        let set = format!("ingestion.limits.{limit}=1 s");
        let text = message(&place.run(&["run", &manifest, "--json", "--set", &set]).expect(6));
        assert!(text.contains("ingestion") && text.contains(limit), "{text}");
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
}

#[test]
fn files_that_cost_more_than_they_weigh_end_in_a_fault_and_never_in_an_abort() {
    let place = Place::new();
    let big = "CREATE TABLE x (t TEXT); INSERT INTO x VALUES (hex(zeroblob(2000000)));";
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000)";
    for view in [
        // Terabytes of text, and a sort over them.
        format!("{big} CREATE VIEW v AS {rows} SELECT t, i % 2 AS y FROM n, x"),
        format!("{big} CREATE VIEW v AS {rows} SELECT t || i AS t, i % 2 AS y FROM n, x ORDER BY 1"),
        // A billion tiny rows.
        format!("CREATE VIEW v AS {rows} SELECT 'a' AS t, i % 2 AS y FROM n"),
    ] {
        let manifest = reading(&place, &view, "uri = \"sqlite:hostile.db#v\"");
        let sets = ["ingestion.limits.output=64 MiB", "ingestion.limits.cpu=20 s", "ingestion.limits.wall=60 s"];
        let mut arguments = vec!["run", &manifest, "--json"];
        sets.iter().for_each(|set| arguments.extend(["--set", set]));
        let ended = with_little_memory(&place, &arguments);
        assert!(matches!(ended.code, 3 | 6), "{view}: {:?} {}", ended.code, ended.stderr);
        let error: Value = ended.json()["error"].clone();
        assert!(
            error["message"].as_str().is_some_and(|text| text.contains("ingestion") || text.contains("SQLite")),
            "{error}"
        );
    }
}
