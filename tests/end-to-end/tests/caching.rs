//! A run does not execute a stage again that an earlier run executed with the same inputs, and a
//! killed run resumes where it was.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place, config, digests, guests, least_pipeline};

const LOW: [&str; 4] = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
const LOGISTIC: [&str; 2] = ["--set", "training.component=train-logistic"];

fn churn(place: &Place, more: &[&str]) -> Ended {
    place.churn(1500, &[&LOW[..], &LOGISTIC, more].concat())
}

/// Returns the names of the stages that a run executed.
fn executed(run: &Value) -> Vec<&str> {
    let stages = run["stages"].as_array().expect("stages").iter();
    let executed: Vec<&str> =
        stages.filter(|stage| stage["cached"] == false).filter_map(|stage| stage["name"].as_str()).collect();
    assert_eq!(run["executed"], executed.len(), "{run}");
    executed
}

#[test]
fn an_unchanged_second_run_executes_nothing_and_shows_what_the_first_one_did() {
    let place = Place::new();
    let first = churn(&place, &[]).expect(0).json();
    assert_eq!((executed(&first).len(), &first["cached"]), (6, &json!(0)));
    let second = churn(&place, &[]).expect(0).json();
    assert_eq!((executed(&second).len(), &second["cached"]), (0, &json!(4)));
    assert_eq!(second["is_champion_already"], true);
    // The metrics are those of the champion on these rows.
    assert!(first["metrics"]["candidate"]["roc_auc"].is_f64(), "{first}");
    assert_eq!((&second["metrics"], &second["evaluation"]), (&first["metrics"], &first["evaluation"]));
    let shown =
        |run: &Value| place.run(&["runs", "show", run["run_id"].as_str().expect("a run"), "--json"]).expect(0).json();
    let (before, again) = (shown(&first), shown(&second));
    let stages = |run: &Value| run["stages"].as_array().expect("stages").clone();
    for (one, other) in stages(&before).iter().zip(stages(&again)) {
        assert_eq!((&other["status"], &other["cached_from"]), (&json!("cached"), &first["run_id"]));
        for part in ["name", "key", "outputs", "inputs", "metrics", "logs", "invocation"] {
            assert_eq!(one[part], other[part], "{part}");
        }
    }
    // A rejected candidate is rejected again without executing anything.
    let worse = ["--set", "training.component=train-forest", "--set", "training.n_estimators=1"];
    let rejected = place.churn(1500, &[&LOW[..], &worse].concat()).expect(4).json();
    assert_eq!(executed(&rejected), ["training", "evaluation", "promotion"]);
    let again = place.churn(1500, &[&LOW[..], &worse].concat()).expect(4).json();
    assert_eq!(executed(&again), Vec::<&str>::new());
    assert_eq!((&again["metrics"], &again["decision"]), (&rejected["metrics"], &rejected["decision"]));
    // `--no-cache` executes everything. Time limits are not part of a step's key.
    assert_eq!(executed(&churn(&place, &["--no-cache"]).expect(0).json()).len(), 4);
    assert_eq!(executed(&churn(&place, &["--refresh", "validation"]).expect(0).json()), ["validation"]);
    assert_eq!(executed(&churn(&place, &["--set", "training.limits.cpu=7 min"]).expect(0).json()).len(), 0);
    let refused = churn(&place, &["--refresh", "nothing"]).expect(2).stderr;
    assert!(refused.contains("there is no stage `nothing`"), "{refused}");
}

#[test]
fn a_source_is_read_again_where_its_content_may_have_changed_and_counts_by_it_alone() {
    let place = Place::new();
    churn(&place, &[]).expect(0);
    let csv = place.path().join("customers.csv");
    let source = csv.display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &source]).expect(0);
    let (manifest, source) = (config("churn.toml"), format!("customers=csv:{source}"));
    let arguments = [&["run", &manifest, "--json", "--source", &source][..], &LOW, &LOGISTIC].concat();
    let run = || place.run(&arguments).expect(0).json();
    assert!(executed(&run()).contains(&"ingestion"));
    assert_eq!(executed(&run()), Vec::<&str>::new());
    let touched = std::fs::File::options().append(true).open(&csv).expect("the export");
    touched.set_modified(std::time::SystemTime::now()).expect("a time");
    assert_eq!(executed(&run()), Vec::<&str>::new(), "it was only touched");
    let text = std::fs::read_to_string(&csv).expect("the export");
    // One row less.
    let (rest, _) = text.trim_end().rsplit_once('\n').expect("rows");
    std::fs::write(&csv, format!("{rest}\n")).expect("a file");
    let changed = place.run(&arguments).json();
    assert_eq!(executed(&changed)[..2], ["ingestion", "validation"]);
}

/// Appends a custom section to a component: other bytes, the same behaviour.
fn with_another_byte(component: &[u8]) -> Vec<u8> {
    [component, &[0, 3, 1, b'x', b'y']].concat()
}

#[test]
fn one_changed_byte_of_a_component_has_its_stage_executed_and_nothing_after_it() {
    let place = Place::new();
    let mut text = least_pipeline("empty-training");
    for stage in ["ingestion", "validation"] {
        let bytes = std::fs::read(guests().join(format!("empty-{stage}.wasm"))).expect("a guest");
        let mine = place.write(&format!("{stage}.wasm"), &bytes);
        let built = guests().join(format!("empty-{stage}.wasm"));
        text =
            text.replace(&format!("{:?}", built.display().to_string()), &format!("{:?}", mine.display().to_string()));
    }
    let manifest = place.write("least.toml", text).display().to_string();
    let run = || place.run(&["run", &manifest, "--json"]).expect(0).json();
    assert_eq!(executed(&run()).len(), 6);
    for stage in ["ingestion", "validation"] {
        assert_eq!(executed(&run()), Vec::<&str>::new());
        let path = place.path().join(format!("{stage}.wasm"));
        let bytes = std::fs::read(&path).expect("a component");
        std::fs::write(&path, with_another_byte(&bytes)).expect("a file");
        // The changed file is not accepted yet, so recorded results do not apply either.
        let refused = place.run(&["run", &manifest]).expect(2).stderr;
        assert!(refused.contains("lock"), "{refused}");
        place.run(&["lock", &manifest, "--update"]).expect(0);
        let plan = place.run(&["plan", &manifest, "--json"]).expect(0).json();
        let step = plan["steps"].as_array().expect("steps").iter().find(|step| step["name"] == stage).expect("a step");
        assert_eq!(step["differs"][0]["part"], "guest.component", "{step}");
        assert_eq!(executed(&run()), [stage]);
    }
}

#[test]
fn a_plan_says_what_a_run_would_do_and_why() {
    let place = Place::new();
    let manifest = config("churn.toml");
    let common = [
        &["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=1500"][..],
        &LOW,
        &["--set", "training.component=train-forest", "--set", "training.n_estimators=5"],
    ]
    .concat();
    let plan = |more: &[&str]| {
        let plan = place.run(&[&["plan", &manifest, "--json"], &common[..], more].concat()).expect(0).json();
        plan["steps"].as_array().expect("steps").clone()
    };
    let cached = |steps: &[Value]| steps.iter().map(|step| step["cached"] == true).collect::<Vec<_>>();
    assert_eq!(cached(&plan(&[])), [false; 6]);
    let run = place.run(&[&["run", &manifest, "--json"], &common[..]].concat()).expect(0).json();
    let steps = plan(&[]);
    assert_eq!(cached(&steps), [true; 6]);
    for (step, stage) in steps.iter().zip(run["stages"].as_array().expect("stages")).take(4) {
        assert_eq!((&step["key"], &step["from"]), (&stage["key"], &run["run_id"]));
    }
    assert!(steps[4]["why"].as_str().expect("why").contains("the champion"), "{}", steps[4]);
    let steps = plan(&["--set", "training.n_estimators=6"]);
    assert_eq!(cached(&steps), [true, true, true, false, false, false]);
    let expected = json!([{ "part": "guest.parameters.n_estimators", "before": 5, "now": 6 }]);
    assert_eq!((&steps[3]["differs"], &steps[3]["compared_with"]), (&expected, &run["run_id"]));
    assert!(steps[4]["why"].as_str().expect("why").contains("`training`"), "{}", steps[4]);
    let told = place.run(&[&["plan", &manifest, "--explain", "--seed", "7"], &common[..]].concat()).expect(0).stdout;
    assert!(told.contains("guest.seed") && told.contains("ingestion"), "{told}");
    // Nothing was registered or recorded.
    assert_eq!(place.run(&["runs", "--json"]).expect(0).json().as_array().map(Vec::len), Some(1));
    let plan = place.run(&["plan", &manifest, "--json"]).expect(0).json();
    let mut edges = plan["edges"].as_array().expect("edges").iter();
    assert!(edges.any(|edge| edge["from"] == "training" && edge["to"] == "evaluation"), "{plan}");
}

fn begun(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.command(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts")
}

// invariant: A run that was killed during or between stages continues with `resume` and makes the
// same artifacts.
#[test]
fn a_run_that_was_killed_in_any_stage_goes_on_where_it_was_and_makes_the_same() {
    let manifest = config("churn.toml");
    let arguments = |rows: &'static str| {
        let source = ["--set", "ingestion.component=ingest-synthetic", "--set", rows, "--set", "training.cache=false"];
        [&["--verbose", "run", &manifest, "--json"], &source[..], &LOW, &LOGISTIC].concat()
    };
    let all = arguments("ingestion.rows=60000");
    let undisturbed = Place::new().run(&all).expect(0).json();
    let stages = ["ingestion", "validation", "transformation", "training", "evaluation"];
    for (place_of, stage) in stages.into_iter().enumerate() {
        let place = Place::new();
        let mut child = begun(&place, &all);
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let began = format!("{stage}: ");
        assert!(lines.any(|line| line.expect("UTF-8").contains(&began)), "`{stage}` never began");
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        let killed = place.run(&["runs", "--json"]).expect(0).json()[0].clone();
        assert_eq!(killed["status"], "killed", "{stage}");
        let id = killed["run_id"].as_str().expect("a run");
        let resumed = place.run(&["resume", &id[..8], "--json"]).expect(0).json();
        // A stage may have ended between its line and the signal.
        let done = resumed["cached"].as_u64().expect("a count") as usize;
        assert!((place_of..=place_of + 1).contains(&done), "{stage}: {done} were taken over");
        let same = |run: &Value| -> BTreeSet<_> {
            // The evaluation report names the version and the decision names the report. Both are
            // equal here.
            digests(run).into_iter().collect()
        };
        assert_eq!(same(&resumed), same(&undisturbed), "{stage}");
        assert_eq!(resumed["decision"]["verdict"], "approved");
    }
}

#[test]
fn a_run_whose_limit_was_too_low_goes_on_with_a_higher_one() {
    let place = Place::new();
    let stopped = churn(&place, &["--set", "evaluation.limits.output=1 KiB"]).expect(6).json();
    let id = stopped["run_id"].as_str().expect("a run");
    let higher = ["resume", id, "--json", "--set", "evaluation.limits.output=1 GiB"];
    let resumed = place.run(&higher).expect(0).json();
    assert_eq!(executed(&resumed), ["evaluation", "promotion"]);
    let recorded = place.run(&["runs", "show", "--json"]).expect(0).json();
    assert_eq!(recorded["run"]["config"]["resumes"], id);
    let unknown = place.run(&["resume", "0123456789"]).expect(2).stderr;
    assert!(unknown.contains("0123456789"), "{unknown}");
}

#[test]
fn processes_that_want_the_same_at_once_compute_it_once() {
    let place = Place::new();
    place.run(&["doctor"]);
    let manifest = config("churn.toml");
    let start = |seed: &str| -> Child {
        let fixed = ["run", &manifest, "--json", "--until", "training", "--seed", seed];
        let source = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=5000"];
        let mut command = place.command(&[&fixed[..], &source, &LOGISTIC].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    };
    let running: Vec<(&str, Child)> = ["1", "2", "1", "2", "1", "1"].map(|seed| (seed, start(seed))).into();
    let mut sum = [0, 0];
    let mut made = [BTreeSet::new(), BTreeSet::new()];
    for (seed, child) in running {
        let ended = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(0), "{text}");
        let run: Value = serde_json::from_slice(&ended.stdout).expect("JSON");
        let place = usize::from(seed == "2");
        sum[place] += executed(&run).len();
        made[place].insert(digests(&run));
    }
    assert_eq!(sum, [4, 4], "each of the eight stages was executed once");
    assert!(made.iter().all(|made| made.len() == 1), "all of them have the same");
    // No lock file is left.
    let keys = std::fs::read_dir(place.home().join("cache/keys")).expect("a folder");
    assert_eq!(keys.count(), 0);
}

#[test]
fn metrics_are_written_so_that_they_can_be_compared() {
    let place = Place::new();
    let file = place.path().join("metrics.json").display().to_string();
    let written = |more: &[&str]| {
        let run = churn(&place, &[&["--metrics-out", &file], more].concat()).expect(0).json();
        (run, std::fs::read_to_string(&file).expect("a file"))
    };
    let (run, text) = written(&[]);
    let metrics: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(metrics["roc_auc"], run["metrics"]["candidate"]["roc_auc"]);
    let names: Vec<&str> = text.lines().filter_map(|line| line.trim().split('"').nth(1)).collect();
    assert!(names.is_sorted() && names.len() > 8, "{text}");
    let (unchanged, same) = written(&[]);
    assert_eq!((&unchanged["executed"], same), (&json!(0), text.clone()));
    // The same again without the cache and under another model name.
    let (again, text_again) = written(&["--no-cache", "--register-name", "another"]);
    assert_ne!(again["run_id"], run["run_id"]);
    assert_eq!(text_again, text);
}

#[test]
fn what_only_runs_reach_goes_past_a_size_and_is_made_again_when_it_is_wanted() {
    let place = Place::new();
    let first = churn(&place, &[]).expect(0).json();
    let worse = ["--set", "training.component=train-forest", "--set", "training.n_estimators=1"];
    place.churn(1500, &[&LOW[..], &worse, &["--until", "transformation", "--seed", "9"]].concat()).expect(0);
    let collect = |more: &[&str]| {
        let all = [&["gc", "--grace", "0s", "--json"][..], more].concat();
        place.run(&all).expect(0).json()
    };
    assert_eq!(collect(&[])["removed"], json!([]), "every record counts unless somebody says otherwise");
    let listed = collect(&["--max-size", "0 B", "--dry-run"]);
    let removed = collect(&["--max-size", "0 B"]);
    assert_eq!(listed["removed"], removed["removed"]);
    let places: BTreeSet<&str> =
        removed["removed"].as_array().expect("a list").iter().filter_map(|it| it["place"].as_str()).collect();
    assert_eq!(places, BTreeSet::from(["evicted"]));
    // The champion is complete.
    let csv = place.write("rows.csv", "");
    let export = ["artifacts", "export", "training.model", "--run", first["run_id"].as_str().expect("a run")];
    place.run(&[&export[..], &["--output", &csv.display().to_string()]].concat()).expect(0);
    let model = place.run(&["models", "show", "churn-classifier/1", "--json"]).expect(0).json();
    assert_eq!(model["aliases"], json!(["champion"]));
    let again = place.churn(1500, &[&LOW[..], &worse, &["--until", "transformation", "--seed", "9"]].concat());
    assert_eq!(executed(&again.expect(0).json()), ["ingestion", "validation", "transformation"]);
    let refused = place.run(&["gc", "--max-size", "5 GB"]).expect(2).stderr;
    assert!(refused.contains("GiB"), "{refused}");
}
