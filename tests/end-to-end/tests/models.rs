//! Models after training: gates, promotion, rollback, comparison, cards, history, garbage
//! collection.

use std::path::Path;

use serde_json::{Value, json as object};
use stagewright_end_to_end::{Ended, Place, binary};
use stagewright_promotion::{Destination, Settings};

const MODEL: &str = "churn-classifier";

/// Gates that models of few rows pass.
const LOW: [&str; 4] = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];

/// Returns three versions: a champion and two rejected ones.
fn three_versions(more: &[&str]) -> Place {
    let place = Place::new();
    place.churn(1500, &[&LOW[..], &["--set", "training.component=train-logistic"], more].concat()).expect(0);
    place.churn(1500, &[&["--set", "gates.minimum.roc_auc=0.999"], more].concat()).expect(4);
    let other = ["--set", "gates.minimum.roc_auc=0.998", "--set", "training.n_estimators=499"];
    place.churn(1500, &[&other, more].concat()).expect(4);
    place
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    place.run(&[arguments, &["--json"]].concat()).expect(0).json()
}

fn champion(place: &Place) -> Option<u64> {
    let models = json(place, &["models", "list"]);
    models.as_array()?.iter().find(|model| model["name"] == MODEL)?["champion"].as_u64()
}

#[test]
fn promotion_rollback_and_history_agree() {
    let place = Place::new();
    let train = |component: &str, name: &str| {
        let component = format!("training.component={component}");
        place.churn(1500, &[&LOW[..], &["--set", &component, "--register-name", name]].concat()).expect(0);
    };
    train("train-logistic", "one");
    // The versions are not compared with each other: each is the first of its own model and is then
    // imported under one name.
    train("train-forest", "two");
    let folder = place.path().join("exported").display().to_string();
    for name in ["one", "two"] {
        place.run(&["models", "export", &format!("{name}/1"), "--destination", &folder]).expect(0);
        place
            .run(&["models", "import", &format!("{name}/1"), "--register-name", MODEL, "--destination", &folder])
            .expect(0);
    }
    let unjudged = place.run(&["models", "promote", &format!("{MODEL}/1")]).expect(4);
    assert!(unjudged.stderr.contains("not judged"), "{}", unjudged.stderr);

    for version in ["1", "2"] {
        let version = format!("{MODEL}/{version}");
        place.run(&["gate", &version, "--min-auc", "0.6", "--min-accuracy", "0.6", "--promote"]).expect(0);
    }
    assert_eq!(champion(&place), Some(2));
    let checked = json(&place, &["models", "check-isolation", MODEL]);
    assert_eq!((&checked["version"], &checked["keeps_state"]), (&object!(2), &object!(false)));
    // The rows are asked five times: forwards, backwards, and in groups of three sizes.
    assert_eq!(checked["answers"].as_u64(), checked["rows"].as_u64().map(|rows| 5 * rows));
    let shown = json(&place, &["models", "show", &format!("{MODEL}/1")]);
    assert_eq!((&shown["stage"], &shown["verdict"]), (&"archived".into(), &"approved".into()));

    let failed = place.run(&["gate", &format!("{MODEL}/2"), "--min-auc", "0.999", "--json"]).expect(4).json();
    assert_eq!(failed["passed"], false);
    assert_eq!(failed["details"]["roc_auc"]["passed"], false);
    let message = place.run(&["gate", &format!("{MODEL}/2"), "--min-auc", "0.999"]).expect(4).stderr;
    assert!(message.contains("Model failed quality gates"), "{message}");

    place.run(&["models", "rollback", MODEL, "--reason", "it was worse"]).expect(0);
    assert_eq!(champion(&place), Some(1));
    let nothing = place.run(&["models", "rollback", MODEL]).expect(2);
    assert!(nothing.stderr.contains("No archived version available for rollback"), "{}", nothing.stderr);

    let history = json(&place, &["models", "history", MODEL]);
    let transitions: Vec<String> = history
        .as_array()
        .expect("entries")
        .iter()
        .filter(|entry| entry["action"] == "version.transitioned")
        .map(|entry| format!("{}: {} -> {}", entry["version"], entry["old_state"], entry["new_state"]).replace('"', ""))
        .collect();
    let expected = [
        "1: none -> production",
        "1: production -> archived",
        "2: none -> production",
        "2: production -> archived",
        "1: archived -> production",
    ];
    assert_eq!(transitions, expected);
    let now = json(&place, &["models", "history", MODEL, "--at", "2999-01-01"]);
    assert_eq!(now["version"], 1);
    assert!(json(&place, &["models", "history", MODEL, "--at", "2000-01-01"])["version"].is_null());
    let audit = json(&place, &["audit", "verify"]);
    assert!(audit["entries"].as_u64() > Some(10), "{audit}");
    assert!(audit["versions"].as_u64() >= Some(2), "{audit}");
    assert_eq!((&audit["different"], &audit["without_digests"]), (&object!(0), &object!(0)), "{audit}");

    // A database client can change anything, and every change is named.
    let database = rusqlite::Connection::open(place.home().join("stagewright.db")).expect("a database");
    let second = format!(
        "(SELECT versions.id FROM versions JOIN registered_models ON registered_models.id = model
          WHERE name = '{MODEL}' AND version = 2)"
    );
    let edit = format!(
        "UPDATE version_metrics SET value = 0.999 WHERE name = 'roc_auc' AND version = {second};
         UPDATE verdicts SET reason = 'all is well' WHERE version = {second}"
    );
    database.execute_batch(&edit).expect("edited");
    let edited = place.run(&["audit", "verify"]).expect(7).stderr;
    for named in ["version 2: `metrics` is", "version 2: `verdict 1: record` is", "the audit says", "hint: somebody"] {
        assert!(edited.contains(named), "{named}: {edited}");
    }
    let edited = place.run(&["audit", "verify", "--json"]).expect(7).json();
    let differences = edited["differences"].as_array().expect("differences");
    assert!(differences.iter().all(|it| it["model"] == MODEL && it["version"] == 2), "{edited}");
    assert_eq!((&edited["different"], &differences[0]["what"]), (&object!(differences.len()), &object!("metrics")));
}

#[test]
fn the_production_location_points_to_the_champion_and_predicts_as_it_does() {
    let place = Place::new();
    place.churn(1500, &[&LOW[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
    let destination = Destination::open(&place.home().join("production").display().to_string(), &Settings::default());
    let loaded = destination.expect("a destination").load(MODEL, None).expect("a champion");
    assert_eq!(loaded.version, 1);
    loaded.verify().expect("whole objects");
    let roles: Vec<&str> = loaded.objects.iter().map(|object| object.role.as_str()).collect();
    assert_eq!(roles.len(), 4, "{roles:?}");

    // Another home knows only what is at the destination.
    let other = Place::new();
    other.run(&["runs"]).expect(2);
    std::fs::create_dir(other.home()).expect("a folder");
    let from = place.home().join("production").display().to_string();
    other.run(&["models", "import", MODEL, "--destination", &from]).expect(0);
    let rows = place.path().join("rows.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &rows]).expect(0);
    let ours = place.run(&["predict", MODEL, "--input", &rows]).expect(0).stdout;
    let theirs = other.run(&["predict", &format!("{MODEL}/1"), "--input", &rows]).expect(0).stdout;
    assert!(ours.lines().count() > 1000);
    assert_eq!(ours, theirs);
}

#[test]
fn production_of_another_registry_is_left_alone() {
    let (ours, theirs) = (Place::new(), Place::new());
    theirs.churn(1500, &LOW).expect(0);
    let production = theirs.home().join("production");
    let pointer = || std::fs::read(production.join("models").join(MODEL).join("champion.json")).expect("a pointer");
    let before = pointer();
    let there = format!("production.destination={}", production.display());
    let refused = ours.churn(1500, &[&LOW[..], &["--set", &there]].concat()).expect(2);
    assert!(refused.json()["error"]["message"].as_str().is_some_and(|it| it.contains("another registry")));
    assert_eq!((pointer(), champion(&ours)), (before, None));
    // The next promotion to the right destination works.
    ours.run(&["models", "promote", &format!("{MODEL}/1")]).expect(0);
    assert_eq!(champion(&ours), Some(1));
}

#[test]
fn a_home_that_was_moved_keeps_its_production_location() {
    let place = Place::new();
    place.churn(1500, &LOW).expect(0);
    let moved = place.path().join("moved");
    std::fs::rename(place.home(), &moved).expect("a folder");
    let promoted = place.command_in(&moved, &["models", "promote", &format!("{MODEL}@champion")]);
    Ended::of(promoted).expect(0);
    assert!(!place.home().exists(), "the old home is not made again");
}

#[test]
fn versions_and_runs_are_compared_side_by_side_and_described_on_cards() {
    let place = three_versions(&[]);
    let html = place.path().join("compare.html").display().to_string();
    let (one, two) = (format!("{MODEL}/1"), format!("{MODEL}/2"));
    let text = place.run(&["models", "compare", &one, &two, "--html", &html]).expect(0).stdout;
    for expected in ["training.component", "train-logistic", "train-boosted", "roc_auc", "measured on"] {
        assert!(text.contains(expected), "{expected}:\n{text}");
    }
    let page = std::fs::read_to_string(html).expect("a page");
    assert!(page.contains("<svg") && !page.contains("<script"), "a page with plots and without scripts");
    let runs = json(&place, &["runs", "list"]);
    let ids: Vec<&str> = runs.as_array().expect("runs").iter().filter_map(|run| run["run_id"].as_str()).collect();
    let compared = json(&place, &["runs", "compare", ids[0], ids[1]]);
    assert_eq!(compared["subjects"].as_array().map(Vec::len), Some(2));

    let card = place.path().join("card.html").display().to_string();
    place.run(&["models", "card", &one, "--output", &card]).expect(0);
    assert!(std::fs::read_to_string(card).expect("a card").contains("Model card of churn-classifier/1"));
    let markdown = place.run(&["models", "card", &two]).expect(0).stdout;
    for expected in ["# Model card of churn-classifier/2", "rejected", "customerID", "roc_auc"] {
        assert!(markdown.contains(expected), "{expected}:\n{markdown}");
    }
}

#[test]
fn runs_and_versions_are_found_by_mlflows_grammar() {
    let place = three_versions(&[]);
    let found = |arguments: &[&str]| json(&place, arguments).as_array().expect("a list").len();
    assert_eq!(found(&["runs", "search"]), 3);
    assert_eq!(found(&["runs", "search", "metrics.roc_auc > 0.5 AND status = 'FINISHED'"]), 3);
    assert_eq!(found(&["runs", "search", "metrics.roc_auc > 2"]), 0);
    assert_eq!(
        found(&["runs", "search", "metrics.roc_auc > 0", "--order-by", "metrics.roc_auc DESC", "--limit", "1"]),
        1
    );
    assert_eq!(found(&["models", "search", "stage = 'Production'"]), 1);
    assert_eq!(found(&["models", "search", "verdict = 'rejected' AND name LIKE 'churn%'"]), 2);
    place.run(&["models", "tag", &format!("{MODEL}/1"), "team=retention"]).expect(0);
    place.run(&["models", "alias", &format!("{MODEL}/1"), "shadow"]).expect(0);
    assert_eq!(found(&["models", "search", "tags.team = 'retention' AND alias = 'shadow'"]), 1);
    let wrong = place.run(&["runs", "search", "metrics.roc_auc > 'x'"]).expect(2);
    assert!(wrong.stderr.contains("hint:"), "{}", wrong.stderr);
    let reserved = place.run(&["models", "alias", &format!("{MODEL}/1"), "champion"]).expect(2);
    assert!(reserved.stderr.contains("models promote"), "{}", reserved.stderr);
}

#[test]
fn only_what_passes_is_numbered_where_the_manifest_says_so() {
    let place = Place::new();
    let policy = ["--set", "gates.register=passed"];
    let rejected = place.churn(1500, &[&policy[..], &["--set", "gates.minimum.roc_auc=0.999"]].concat()).expect(4);
    assert!(rejected.json()["model"].is_null());
    let approved = place.churn(1500, &[&LOW[..], &policy].concat()).expect(0).json();
    assert_eq!(approved["model"]["version"], 1);
    assert_eq!(approved["model"]["semantic_version"], "1.0.0");
}

// invariant: as `artifacts_of_deleted_runs_are_not_reachable`
#[test]
fn garbage_is_what_nothing_reaches() {
    let place = Place::new();
    place.churn(1500, &[&LOW[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
    let before = place.artifacts();
    assert_eq!(json(&place, &["gc", "--grace", "0s"])["removed"].as_array().map(Vec::len), Some(0));
    assert_eq!(place.artifacts(), before, "everything is reached by the run");

    // A deleted run that made other rows and no version.
    place.churn(900, &["--until", "transformation"]).expect(0);
    let more = place.artifacts();
    assert!(more.len() > before.len());
    let run = json(&place, &["runs", "list"])[0]["run_id"].as_str().expect("a run").to_owned();
    place.run(&["runs", "delete", &run]).expect(0);
    assert_eq!(json(&place, &["gc"])["removed"].as_array().map(Vec::len), Some(0), "too young");
    let planned = json(&place, &["gc", "--grace", "0s", "--dry-run"]);
    assert_eq!(place.artifacts(), more, "a dry run removes nothing");
    let removed = json(&place, &["gc", "--grace", "0s"]);
    assert_eq!(planned["removed"], removed["removed"]);
    assert_eq!(place.artifacts(), before);
    // Cached code that no run used is removed. One of two components was run.
    let cache = place.home().join("cache/components");
    std::fs::create_dir_all(&cache).expect("a folder");
    let used = json(&place, &["runs", "show"])["stages"][0]["digest"].as_str().expect("a digest").to_owned();
    let names = [used.trim_start_matches("sha256:"), &"0".repeat(64)].map(|digest| format!("{digest}-0.cwasm"));
    for name in &names {
        std::fs::write(cache.join(name), "compiled").expect("a file");
    }
    let mut gc = place.command(&["gc", "--grace", "0s", "--json"]);
    gc.env_remove("STAGEWRIGHT_CACHE");
    let removed = Ended::of(gc).expect(0).json();
    assert_eq!(removed["removed"][0]["name"].as_str(), Some(names[1].as_str()), "{removed}");
    assert!(cache.join(&names[0]).exists() && !cache.join(&names[1]).exists());

    let rows = place.path().join("rows.csv").display().to_string();
    let first = json(&place, &["runs", "list"])[0]["run_id"].as_str().expect("a run").to_owned();
    place.run(&["artifacts", "export", "ingestion.table", "--run", &first, "--output", &rows]).expect(0);
    place.run(&["predict", MODEL, "--input", &rows]).expect(0);
}

#[test]
fn a_version_whose_bytes_were_changed_is_never_served() {
    let place = Place::new();
    place.churn(1500, &[&LOW[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
    let version = json(&place, &["models", "show", &format!("{MODEL}/1")]);
    let model = version["contents"]["model"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
    let path = place.home().join("artifacts").join(format!("{model}.blob"));
    flip_a_byte(&path);
    let rows = place.path().join("rows.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &rows]).expect(0);
    let refused = place.run(&["predict", MODEL, "--input", &rows]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("damaged"), "{}", refused.stderr);
    let promoted = place.run(&["models", "promote", &format!("{MODEL}@champion"), "--destination", "elsewhere"]);
    assert_ne!(promoted.code, 0, "{}", promoted.stdout);
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a blob");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(path).expect("removed");
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn a_manifest_under_git_is_recorded_with_its_commit() {
    let place = Place::new();
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(place.path()).args(["-c", "user.name=t", "-c", "user.email=t@example.org"]).args(arguments);
        Ended::of(command).expect(0)
    };
    let manifest = std::fs::read_to_string(stagewright_end_to_end::config("churn.toml")).expect("a manifest");
    let path = place.write("churn.toml", &manifest).display().to_string();
    git(&["init", "--quiet"]);
    git(&["add", "churn.toml"]);
    git(&["commit", "--quiet", "-m", "a pipeline"]);
    let commit = git(&["rev-parse", "HEAD"]).stdout.trim().to_owned();
    let run = |more: &[&str]| {
        let common = ["run", &path, "--json", "--set", "ingestion.component=ingest-synthetic"];
        let quick = ["--set", "ingestion.rows=1500", "--set", "training.component=train-logistic"];
        place.run(&[&common[..], &quick, &LOW, more].concat())
    };
    run(&[]).expect(0);
    let code =
        |version: &str| json(&place, &["models", "show", &format!("{MODEL}/{version}")])["contents"]["code"].clone();
    assert_eq!((&code("1")["commit"], &code("1")["dirty"]), (&commit.clone().into(), &false.into()));
    place.write("churn.toml", format!("{manifest}\n# changed\n"));
    run(&["--set", "gates.policy=better", "--set", "gates.margin=0.5", "--seed", "43"]).expect(4);
    assert_eq!((&code("2")["commit"], &code("2")["dirty"]), (&commit.into(), &true.into()));
    assert!(binary().is_file());
}
