//! `[foreach]`: one run and one model for each of several values or segments, up to the champions.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place, config, data};

const SYNTHETIC: [&str; 6] = [
    "--set",
    "ingestion.component=ingest-synthetic",
    "--set",
    "ingestion.rows=3000",
    "--set",
    "gates.minimum.roc_auc=0.5",
];

fn run(place: &Place, more: &[&str]) -> Ended {
    let file = config("churn-by-contract.toml");
    place.run(&[&["run", &file][..], &SYNTHETIC, more].concat())
}

fn children(run: &Value) -> &Vec<Value> {
    run["children"].as_array().expect("children")
}

fn names(run: &Value) -> Vec<&str> {
    children(run).iter().filter_map(|child| child["name"].as_str()).collect()
}

// invariant: as
// `each_segment_is_a_run_with_a_model_of_its_own_and_an_unchanged_second_run_executes_nothing`
#[test]
fn a_model_for_each_segment_is_trained_registered_and_promoted_and_nothing_is_done_twice() {
    let place = Place::new();
    let metrics = place.path().join("metrics.json").display().to_string();
    let first = run(&place, &["--json", "--metrics-out", &metrics]).expect(0).json();
    assert_eq!(names(&first), ["Month-to-month", "One-year", "Two-year"]);
    let shared: Vec<&str> =
        first["stages"].as_array().expect("stages").iter().filter_map(|stage| stage["name"].as_str()).collect();
    assert_eq!(shared, ["ingestion", "segments"]);
    assert_eq!((&first["executed"], &first["cached"]), (&json!(2 + 3 * 5), &json!(0)));
    let rows: u64 = children(&first).iter().filter_map(|child| child["rows"].as_u64()).sum();
    assert_eq!(rows, 3000);
    for child in children(&first) {
        let name = child["name"].as_str().expect("a name");
        assert_eq!(child["model"], format!("churn-{name}"));
        assert_eq!(
            (&child["verdict"], &child["version"], &child["state"]),
            (&json!("approved"), &json!(1), &json!("finished"))
        );
        assert_eq!(child["run"]["run_id"], child["run_id"]);
        assert_eq!(child["value"].as_str().expect("a text").replace(' ', "-"), name);
    }
    let written: Value = serde_json::from_str(&std::fs::read_to_string(&metrics).expect("a file")).expect("JSON");
    assert_eq!(written["One-year"]["roc_auc"], children(&first)[1]["run"]["metrics"]["candidate"]["roc_auc"]);
    let again = run(&place, &["--json"]).expect(0).json();
    assert_eq!(again["executed"], 0, "{again}");
    assert!(children(&again).iter().all(|child| child["is_champion_already"] == true));
    // The models serve like any other.
    let models = place.run(&["models", "list", "--json"]).expect(0).json();
    assert_eq!(models.as_array().map(Vec::len), Some(3), "{models}");
    // The result does not depend on how many runs work at once.
    let other = Place::new();
    let alone = run(&other, &["--json", "--workers", "1"]).expect(0).json();
    let digests = |run: &Value| -> BTreeSet<String> {
        let stages = children(run).iter().flat_map(|child| child["run"]["stages"].as_array().expect("stages"));
        let artifacts = stages.flat_map(|stage| stage["artifacts"].as_array().expect("artifacts"));
        artifacts.map(|it| format!("{} {}", it["name"], it["digest"])).collect()
    };
    assert_eq!(digests(&alone), digests(&first));
    assert_eq!(other.artifacts(), place.artifacts());
}

#[test]
fn the_record_of_a_run_names_its_children_and_each_is_looked_at_resumed_and_reproduced() {
    let place = Place::new();
    let first = run(&place, &["--json"]).expect(0).json();
    let parent = first["run_id"].as_str().expect("a run");
    let shown = place.run(&["runs", "show", parent, "--json"]).expect(0).json();
    assert_eq!(names(&shown), names(&first));
    let text = place.run(&["runs", "show", parent]).expect(0).stdout;
    assert!(text.contains("churn-Two-year"), "{text}");
    let child = children(&first)[1]["run_id"].as_str().expect("a run");
    let text = place.run(&["runs", "show", child]).expect(0).stdout;
    assert!(text.contains(&format!("child `One-year` of run {parent}")), "{text}");
    assert!(place.run(&["runs", "list"]).expect(0).stdout.contains("churn-by-contract/One-year"));
    let found = place.run(&["runs", "search", &format!("tags.`mlflow.parentRunId` = '{parent}'"), "--json"]);
    assert_eq!(found.expect(0).json().as_array().map(Vec::len), Some(3));
    let again = place.run(&["reproduce", parent, "--json"]).expect(0).json();
    assert_eq!((&again["identical"], again["children"].as_array().map(Vec::len)), (&json!(true), Some(3)));
    // A version leads back to the table from which all segments come.
    let lineage = place.run(&["lineage", "churn-One-year/1", "--json"]).expect(0).json();
    let nodes: Vec<&str> =
        lineage["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["name"].as_str()).collect();
    for wanted in ["segments.segment-One-year", "ingestion.table"] {
        assert!(nodes.contains(&wanted), "{wanted}: {nodes:?}");
    }
    let resumed = place.run(&["resume", parent, "--json"]).expect(0).json();
    assert_eq!((&resumed["executed"], names(&resumed)), (&json!(0), names(&first)));
    let resumed = place.run(&["resume", child, "--json"]).expect(0).json();
    assert_eq!((&resumed["executed"], &resumed["model"]["name"]), (&json!(0), &json!("churn-One-year")));
    let refused = place.run(&["stage", "run", "training", "--run", parent]).expect(2).stderr;
    assert!(refused.contains("name the run of a child"), "{refused}");
    let alone = place.run(&["stage", "run", "training", "--run", child, "--json"]).expect(0).json();
    assert_eq!(alone["model"]["name"], "churn-One-year");
}

#[test]
fn a_plan_shows_the_children_as_soon_as_they_are_known() {
    let place = Place::new();
    let file = config("churn-by-contract.toml");
    let plan = |more: &[&str]| place.run(&[&["plan", &file][..], &SYNTHETIC, more].concat()).expect(0);
    let before = plan(&["--json"]).json();
    assert_eq!(before["children"], Value::Null);
    assert!(before["steps"].as_array().expect("steps").iter().any(|step| step["name"] == "segments"));
    assert!(plan(&[]).stdout.contains("for each value of the column `Contract`"));
    let drawn = plan(&["--mermaid"]).stdout;
    assert!(
        drawn.contains("subgraph each[\"for each Contract\"]") && drawn.contains("s_segments --> s_validation"),
        "{drawn}"
    );
    run(&place, &[]).expect(0);
    let after = plan(&["--json"]).json();
    assert_eq!(names(&after), ["Month-to-month", "One-year", "Two-year"]);
    let steps = |child: &Value| child["steps"].as_array().expect("steps").clone();
    assert!(children(&after).iter().flat_map(steps).all(|step| step["cached"] == true), "{after}");
}

#[test]
fn events_say_which_run_and_child_they_are_of() {
    let place = Place::new();
    let ended = run(&place, &["--log-format", "json"]).expect(0);
    let lines: Vec<Value> = ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let started = of("run-started");
    assert_eq!((started.len(), of("run-ended").len()), (4, 4));
    let parent = &started[0]["run"];
    assert!(started[1..].iter().all(|line| line["of"] == *parent && line["child"].is_string()));
    let runs: BTreeSet<&str> = started.iter().filter_map(|line| line["run"].as_str()).collect();
    assert!(of("step-finished").iter().all(|line| line["run"].as_str().is_some_and(|run| runs.contains(run))));
    let last = lines.last().expect("lines");
    assert_eq!((&last["event"], &last["run"], &last["exit_code"]), (&json!("run-ended"), parent, &json!(0)));
}

#[test]
fn one_child_that_fails_or_is_rejected_leaves_the_others_their_models_and_decides_the_exit_code() {
    let place = Place::new();
    // No candidate reaches this gate, and all are registered.
    let rejected = run(&place, &["--json", "--set", "gates.minimum.roc_auc=1.0"]).expect(4).json();
    assert!(children(&rejected).iter().all(|child| child["verdict"] == "rejected" && child["error"].is_null()));
    // More rows than two of the three segments have.
    let rows: Vec<u64> = children(&rejected).iter().filter_map(|child| child["rows"].as_u64()).collect();
    let most = rows.iter().max().expect("rows").to_string();
    let asked = format!("validation.more_than_rows={}", most.parse::<u64>().expect("a number") - 1);
    let failed = run(&place, &["--json", "--set", &asked]).expect(3).json();
    assert_eq!(failed["error"]["exit_code"], 3);
    let states: Vec<&str> = children(&failed).iter().filter_map(|child| child["state"].as_str()).collect();
    assert_eq!(states.iter().filter(|state| **state == "failed").count(), 2, "{states:?}");
    assert!(children(&failed).iter().any(|child| child["verdict"] == "approved"));
    let asked = format!("foreach.min-rows={most}");
    let skipped = run(&place, &["--json", "--set", &asked]).expect(0).json();
    let told: Vec<&str> = children(&skipped).iter().filter_map(|child| child["why"].as_str()).collect();
    assert!(told.len() == 2 && told.iter().all(|why| why.contains("`min-rows` asks for")), "{told:?}");
    let many =
        run(&place, &["--set", "foreach.column=customerID", "--set", "foreach.model=c-{value}"]).expect(3).stderr;
    assert!(many.contains("more than 100 values"), "{many}");
    let wrong = run(&place, &["--set", "foreach.column=Contrat"]).expect(2).stderr;
    assert!(wrong.contains("did you mean `Contract`?"), "{wrong}");
}

#[test]
fn values_of_a_parameter_are_children_that_share_their_data() {
    let place = Place::new();
    let values =
        ["--set", "foreach={ set = \"training.c\", values = { loose = 10.0, strict = 0.01 }, model = \"c-{value}\" }"];
    let first = run(&place, &[&values[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(names(&first), ["loose", "strict"]);
    // Ingestion, validation and transformation once, and three stages for each segment.
    assert_eq!((&first["executed"], &first["cached"]), (&json!(9), &json!(3)));
    let model = |at: usize| children(&first)[at]["run"]["stages"][3]["key"].clone();
    assert_ne!(model(0), model(1));
    let again = run(&place, &[&values[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(again["executed"], 0);
    let parent = first["run_id"].as_str().expect("a run");
    let reproduced = place.run(&["reproduce", parent, "--json"]).expect(0).json();
    assert_eq!((&reproduced["identical"], reproduced["children"].as_array().map(Vec::len)), (&json!(true), Some(2)));
    let wrong = ["--set", "foreach={ set = \"training.c\", values = [1.0, -1.0, \"x\"] }"];
    let told = run(&place, &wrong).expect(2).stderr;
    assert!(told.contains("-1") && told.contains("components.train-logistic.parameters.c"), "{told}");
}

mod real_tables {
    use super::*;

    #[test]
    #[ignore = "needs STAGEWRIGHT_TEST_DATA"]
    fn the_real_table_by_contract_and_by_internet_service() {
        let place = Place::new();
        let file = config("churn-by-contract.toml");
        let csv = place.path().join("telco.csv");
        let text = std::fs::read_to_string(data().join("telco_churn.csv")).expect("the table");
        std::fs::write(&csv, &text).expect("a copy");
        let source = format!("customers=csv:{}", csv.display());
        let run = |more: &[&str]| place.run(&[&["run", &file, "--json", "--source", &source][..], more].concat());
        let first = run(&[]).expect(0).json();
        let rows: Vec<(&str, u64)> = children(&first)
            .iter()
            .map(|child| (child["value"].as_str().expect("a value"), child["rows"].as_u64().expect("rows")))
            .collect();
        assert_eq!(rows, [("Month-to-month", 3875), ("One year", 1473), ("Two year", 1695)]);
        assert!(children(&first).iter().all(|child| child["verdict"] == "approved"), "{first}");
        assert_eq!(run(&[]).expect(0).json()["executed"], 0);
        // One customer with a two-year contract pays more. No other child runs again.
        let line = text.lines().find(|line| line.contains("Two year")).expect("a customer");
        let cells: Vec<&str> = line.split(',').collect();
        let mut moved: Vec<String> = cells.iter().map(|cell| (*cell).to_owned()).collect();
        moved[18] = "99.5".to_owned();
        std::fs::write(&csv, text.replace(line, &moved.join(","))).expect("a copy");
        let changed = run(&[]).json();
        let executed: Vec<u64> = children(&changed).iter().filter_map(|child| child["executed"].as_u64()).collect();
        assert_eq!((&executed[..2], executed[2] > 0), (&[0, 0][..], true), "{executed:?}");
        let by_service = ["--set", "foreach.column=InternetService", "--set", "foreach.model=churn-net-{value}"];
        let ended = run(&by_service).json();
        assert_eq!(names(&ended), ["DSL", "Fiber-optic", "No"]);
        assert!(children(&ended).iter().all(|child| child["state"] == "finished"), "{ended}");
    }
}
