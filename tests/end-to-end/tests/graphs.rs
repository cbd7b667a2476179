//! Graphs of built-in stages, from the file to the champion.

use stagewright_end_to_end::{Place, graph};

fn digests(run: &serde_json::Value) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let stages = run["stages"].as_array().expect("stages").iter();
    let of_stage = |stage: &serde_json::Value| -> Vec<_> {
        let artifacts = stage["artifacts"].as_array().expect("artifacts").iter();
        artifacts.map(|it| (text(&stage["name"]), text(&it["name"]), text(&it["digest"]))).collect()
    };
    stages.flat_map(of_stage).collect()
}

#[test]
fn a_graph_is_planned_run_and_judged_and_its_artifacts_do_not_depend_on_workers() {
    let place = Place::new();
    place.write("graph.toml", graph());
    let plan = place.run(&["plan", "graph.toml", "--json"]).expect(0).json();
    let names: Vec<&str> =
        plan["steps"].as_array().expect("steps").iter().filter_map(|it| it["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "customers",
            "others",
            "validation",
            "check-others",
            "transformation",
            "boosted",
            "logistic",
            "evaluation-boosted",
            "evaluation-logistic",
            "promotion"
        ]
    );
    assert!(
        plan["steps"].as_array().expect("steps").iter().all(|step| step["cached"] == false && step["why"].is_string())
    );
    assert_eq!(plan["edges"].as_array().map(Vec::len), Some(2 + 1 + 2 + 2 + 2 + 2));
    let drawn = place.run(&["plan", "graph.toml", "--mermaid"]).expect(0).stdout;
    assert!(drawn.contains("s_others --> s_check__others"), "{drawn}");
    let first = place.run(&["run", "graph.toml", "--json", "--workers", "1"]).expect(0).json();
    let trained = first["trained"].as_array().expect("models");
    let figure = |at: usize| trained[at]["metrics"]["roc_auc"].as_f64().expect("a figure");
    let best = usize::from(figure(1) > figure(0));
    assert_eq!((&trained[best]["is_candidate"], &trained[1 - best]["is_candidate"]), (&true.into(), &false.into()));
    assert_eq!(first["metrics"]["candidate"]["roc_auc"], trained[best]["metrics"]["roc_auc"]);
    assert_eq!((&first["model"]["version"], &first["decision"]["verdict"]), (&1.into(), &"approved".into()));
    for workers in ["2", "8"] {
        let other = Place::new();
        other.write("graph.toml", graph());
        let run = other.run(&["run", "graph.toml", "--json", "--workers", workers]).expect(0).json();
        assert_eq!(digests(&run), digests(&first), "{workers}");
    }
    // Beside a champion both are judged anew; what they are made of is on record.
    let again = place.run(&["run", "graph.toml", "--json"]).expect(0).json();
    assert_eq!((&again["executed"], &again["is_champion_already"]), (&2.into(), &true.into()));
    let unchanged = place.run(&["run", "graph.toml", "--json"]).expect(0).json();
    assert_eq!((&unchanged["executed"], &unchanged["is_champion_already"]), (&0.into(), &true.into()));
}

#[test]
fn a_fault_of_a_named_stage_names_it_and_the_key_to_change() {
    let place = Place::new();
    place.write("graph.toml", graph());
    let ended = place.run(&["run", "graph.toml", "--set", "boosted.limits.memory=1 MiB"]).expect(6);
    assert!(ended.stderr.contains("stage `boosted` ran past its limit"), "{}", ended.stderr);
    assert!(ended.stderr.contains("[stages.boosted.limits]"), "{}", ended.stderr);
    let ended = place.run(&["run", "graph.toml", "--set", "boosted.n_estimators=0"]).expect(2);
    assert!(ended.stderr.contains("stages.boosted.parameters.n_estimators"), "{}", ended.stderr);
}

#[test]
fn events_are_json_lines_that_say_which_run_and_step_they_are_of() {
    let place = Place::new();
    place.write("graph.toml", graph());
    let ended = place.run(&["run", "graph.toml", "--log-format", "json"]).expect(0);
    let lines: Vec<serde_json::Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    let run = lines[0]["run"].as_str().expect("a run");
    assert!(lines.iter().all(|line| line["run"] == run && line["level"].is_string() && line["message"].is_string()));
    let times: Vec<&str> = lines.iter().map(|line| line["time"].as_str().expect("a time")).collect();
    assert!(
        times.iter().all(|time| time.len() == "2026-11-21T14:30:00.000Z".len() && time.ends_with('Z')),
        "{times:?}"
    );
    let of = |event: &str| -> std::collections::BTreeSet<&str> {
        lines.iter().filter(|line| line["event"] == event).filter_map(|line| line["step"].as_str()).collect()
    };
    assert_eq!(of("step-started").len(), 10);
    assert_eq!(of("step-started"), of("step-finished"));
    assert_eq!((&lines[0]["event"], &lines[lines.len() - 1]["event"]), (&"run-started".into(), &"run-ended".into()));
    assert_eq!(lines[lines.len() - 1]["exit_code"], 0);
    let failed =
        place.run(&["run", "graph.toml", "--log-format", "json", "--set", "boosted.limits.memory=1 MiB"]).expect(6);
    let last: serde_json::Value = serde_json::from_str(failed.stdout.lines().last().expect("lines")).expect("JSON");
    assert_eq!((last["exit_code"].as_i64(), &last["level"]), (Some(6), &"error".into()));
    assert!(last["message"].as_str().is_some_and(|text| text.contains("stage `boosted`")), "{last}");
    let of_step: Vec<serde_json::Value> = failed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .filter(|line: &serde_json::Value| line["step"] == "boosted")
        .collect();
    let told: Vec<(&str, &str)> =
        of_step.iter().filter_map(|line| line["event"].as_str().zip(line["level"].as_str())).collect();
    assert_eq!(told, [("step-started", "info"), ("step-failed", "error")]);
}
