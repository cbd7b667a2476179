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
    // With a champion, both models are judged again. Their steps are on record.
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

// invariant: The events of a run are JSON lines that name run and step. Text from a stage cannot
// start a line of its own.
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

// invariant: as `stages_run_alone_make_what_the_whole_run_made`
#[test]
fn stages_of_a_graph_run_alone_by_their_names_make_what_the_whole_run_made() {
    let (whole, parts) = (Place::new(), Place::new());
    whole.write("graph.toml", graph());
    let expected = digests(&whole.run(&["run", "graph.toml", "--json"]).expect(0).json());
    parts.write("graph.toml", graph());
    let unknown = parts.run(&["stage", "run", "boostd", "--file", "graph.toml"]).expect(2);
    assert!(unknown.stderr.contains("hint: did you mean `boosted`?"), "{}", unknown.stderr);
    let early = parts.run(&["stage", "run", "boosted", "--file", "graph.toml"]).expect(2);
    assert!(early.stderr.contains("there is no home"), "{}", early.stderr);
    let first = parts.run(&["stage", "run", "customers", "--file", "graph.toml", "--json"]).expect(0).json();
    let mut made = digests(&first);
    // Each error names the command that makes what is missing.
    let missing = parts.run(&["stage", "run", "boosted", "--file", "graph.toml"]).expect(2);
    assert!(
        missing.stderr.contains("hint: run that stage first: stagewright stage run validation"),
        "{}",
        missing.stderr
    );
    let missing = parts.run(&["stage", "run", "check-others"]).expect(2);
    assert!(missing.stderr.contains("hint: run that stage first: stagewright stage run others"), "{}", missing.stderr);
    for stage in [
        "others",
        "check-others",
        "validation.validation",
        "transformation",
        "logistic",
        "training.boosted",
        "evaluation",
        "promotion",
    ] {
        let ended = parts.run(&["stage", "run", stage, "--json"]).expect(0).json();
        made.extend(digests(&ended));
    }
    // Reports name runs and versions. The artifacts of models are equal.
    let of = |digests: &[(String, String, String)]| -> std::collections::BTreeSet<(String, String, String)> {
        digests.iter().filter(|(stage, ..)| !stage.starts_with("evaluation") && stage != "promotion").cloned().collect()
    };
    assert_eq!(of(&made), of(&expected));
    let models = parts.run(&["models", "--json"]).expect(0).json();
    assert_eq!(models[0]["aliases"], serde_json::json!([["champion", 1]]));
}

#[test]
fn a_stage_that_runs_alone_works_on_the_last_run_of_its_pipeline() {
    let place = Place::new();
    place.write("graph.toml", graph());
    place.write("other.toml", graph().replacen("pipeline = \"", "pipeline = \"other-", 1));
    place.run(&["run", "graph.toml"]).expect(0);
    let none = place.run(&["stage", "run", "boosted", "--file", "other.toml"]).expect(2);
    let hint = "hint: make what `boosted` works on: stagewright stage run customers --file other.toml; or stagewright run other.toml";
    assert!(none.stderr.contains(hint), "{}", none.stderr);
    place.run(&["stage", "run", "customers", "--file", "other.toml"]).expect(0);
    // The latest run is of the other pipeline.
    let alone = place.run(&["stage", "run", "boosted", "--file", "graph.toml", "--json"]).expect(0).json();
    assert_eq!((&alone["executed"], &alone["cached"]), (&0.into(), &1.into()));
}
