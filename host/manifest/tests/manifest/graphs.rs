//! Pipelines of other stages than the six: how they are connected, and the problems they can have.

use stagewright_manifest::{Manifest, ManifestError, Overrides, StageSelection, Step, World};

use crate::{WHOLE, parse};

/// Stages in another order than they run in: two trainings, each with parameters, and a second
/// ingestion whose table is validated.
const STAGES: &str = r#"
[stages.customers]
world = "ingestion"
component = "ingest-table"
source = "customers"

[stages.events]
world = "ingestion"
component = "ingest-synthetic"
parameters = { rows = 10 }

[stages.check-customers]
world = "validation"
component = "validate-table"
inputs = { table = "ingestion.customers" }

[stages.check-events]
world = "validation"
component = "validate-table"
inputs = { table = "events.table" }

[stages.transformation]
component = "engineered"
inputs = { table = "customers" }

[stages.forest]
world = "training"
component = "train-forest"

[stages.small]
world = "training"
component = "train-boosted"
parameters = { n_estimators = 10 }

[stages.evaluation]
component = "evaluate-classifier"

[stages.promotion]
component = "promote-gated"
"#;

/// Reads the whole example with these stages instead of its six.
pub(crate) fn with(stages: &str) -> Result<Manifest, ManifestError> {
    with_set(stages, &[])
}

fn with_set(stages: &str, set: &[&str]) -> Result<Manifest, ManifestError> {
    let start = WHOLE.find("[stages.ingestion]").expect("the example has stages");
    let end = WHOLE.find("[components.engineered]").expect("the example has components");
    let text = format!("{}{stages}\n{}", &WHOLE[..start], &WHOLE[end..]);
    let set = set.iter().map(|&set| set.to_owned()).collect();
    parse(&text, &Overrides { set, ..Overrides::default() })
}

/// Returns the problems of the stages with one change.
fn said(from: &str, to: &str) -> String {
    assert!(STAGES.contains(from), "the stages no longer contain {from:?}");
    with(&STAGES.replacen(from, to, 1)).expect_err("the change is a fault").render()
}

pub(crate) fn names(manifest: &Manifest) -> Vec<&str> {
    manifest.graph.steps().iter().map(|step| step.id.as_str()).collect()
}

pub(crate) fn step<'a>(manifest: &'a Manifest, name: &str) -> &'a Step {
    manifest.graph.steps().iter().find(|step| step.id.as_str() == name).expect("the step is there")
}

pub(crate) fn worked_on(step: &Step) -> Vec<&str> {
    step.inputs.iter().map(|input| input.step.as_str()).collect()
}

#[test]
fn six_stages_are_connected_by_default_and_are_no_graph() {
    let manifest = parse(WHOLE, &Overrides::default()).unwrap();
    assert!(!manifest.is_graph());
    assert_eq!(names(&manifest), World::required().map(World::as_str).collect::<Vec<_>>());
    for (step, before) in manifest.graph.steps().iter().zip([
        &[][..],
        &["ingestion"],
        &["ingestion"],
        &["transformation"],
        &["training"],
        &["evaluation"],
    ]) {
        assert_eq!(worked_on(step), before, "{}", step.id);
    }
    assert_eq!(step(&manifest, "transformation").after, [World::Validation.into()]);
    let line = &step(&manifest, "promotion").line;
    assert_eq!(line.len(), 4, "all but the validation, whose table goes on as it is: {line:?}");
    assert!(line.iter().all(|(world, id)| world.as_str() == id.as_str()));
    // The record of a run has the same form as before.
    let stages = &manifest.effective()["stages"];
    assert_eq!(stages.as_object().map(serde_json::Map::len), Some(6));
    for stage in stages.as_object().unwrap().values() {
        assert!(["world", "inputs", "parameters"].iter().all(|key| stage.get(key).is_none()), "{stage}");
    }
}

#[test]
fn named_stages_are_connected_by_name_and_an_evaluation_is_a_step_for_each_model() {
    let manifest = with(STAGES).unwrap();
    assert!(manifest.is_graph());
    assert_eq!(
        names(&manifest),
        [
            "customers",
            "events",
            "check-customers",
            "check-events",
            "transformation",
            "forest",
            "small",
            "evaluation-forest",
            "evaluation-small",
            "promotion"
        ]
    );
    assert_eq!(worked_on(step(&manifest, "check-events")), ["events"]);
    assert_eq!(worked_on(step(&manifest, "evaluation-small")), ["small"]);
    assert_eq!(worked_on(step(&manifest, "promotion")), ["evaluation-forest", "evaluation-small"]);
    // Nothing is learnt before every validation has passed.
    let after: Vec<&str> = step(&manifest, "transformation").after.iter().map(|id| id.as_str()).collect();
    assert_eq!(after, ["check-customers", "check-events"]);
    let line: Vec<(World, &str)> =
        step(&manifest, "evaluation-small").line.iter().map(|(world, id)| (*world, id.as_str())).collect();
    assert_eq!(
        line,
        [(World::Ingestion, "customers"), (World::Transformation, "transformation"), (World::Training, "small")]
    );
    // Which of two models is promoted is not known yet.
    assert_eq!(step(&manifest, "promotion").line.get(&World::Training), None);
    assert_eq!(step(&manifest, "promotion").line[&World::Transformation].as_str(), "transformation");
}

#[test]
fn a_stage_has_its_component_s_parameters_with_its_own_over_them() {
    let manifest = with_set(STAGES, &["small.learning_rate=0.3", "forest.limits.cpu=30 s"]).unwrap();
    let stage = |name: &str| manifest.stage_of(step(&manifest, name));
    let small = manifest.parameters_of(stage("small"));
    assert_eq!((&small["n_estimators"], &small["learning_rate"]), (&10.into(), &0.3.into()));
    assert_eq!(small["growth"], "depth-wise", "as under [components.train-boosted]");
    assert_eq!(manifest.components["train-boosted"].parameters["learning_rate"], 0.1);
    assert_eq!(stage("forest").limits.cpu.as_secs(), 30);
    assert_eq!(manifest.source_of(stage("customers")).unwrap().0.as_str(), "customers");
    assert!(manifest.source_of(stage("events")).is_none());
    let effective = &manifest.effective()["stages"]["small"];
    assert_eq!((&effective["world"], &effective["parameters"]["n_estimators"]), (&"training".into(), &10.into()));
}

#[test]
fn a_parameter_of_a_stage_is_cited_at_the_stage() {
    let manifest = with(STAGES).unwrap();
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "n_estimators": { "type": "integer", "minimum": 50 }, "growth": { "type": "string" },
            "learning_rate": { "maximum": 0.01 }, "categories": {} },
        "additionalProperties": false,
    });
    let problems = manifest.check_parameters(manifest.stage_of(step(&manifest, "small")), &schema);
    let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["components.train-boosted.parameters.learning_rate", "stages.small.parameters.n_estimators"]);
    let text = manifest.error(problems[1..].to_vec()).render();
    let line = WHOLE.find("[stages.ingestion]").map(|at| WHOLE[..at].lines().count()).unwrap()
        + STAGES[..STAGES.find("n_estimators").unwrap()].lines().count();
    assert!(text.starts_with(&format!("config/pipeline.toml:{line}: ")), "{text}");
}

#[test]
fn problems_of_a_graph_are_reported_at_once_with_their_lines() {
    let stages = STAGES
        .replace("table = \"ingestion.customers\"", "tables = \"customers\"")
        .replace("table = \"events.table\"", "table = \"event\"")
        .replace("inputs = { table = \"customers\" }", "inputs = { table = \"forest\" }")
        .replace("parameters = { n_estimators = 10 }", "inputs = { features = \"transformation.state\" }");
    let text = with(&stages).unwrap_err().render();
    for wanted in [
        "`check-customers` has no input `tables`\n  hint: its inputs are `table`",
        "no stage is named `event`\n  hint: did you mean `events`?",
        "`forest` is of the world `training`, which does not fit `table`\n  hint: name a stage of the world `ingestion` or `preparation`",
        "`transformation.state` does not fit `features`\n  hint: write `transformation` or `transformation.features-train`",
    ] {
        assert!(text.contains(wanted), "{wanted}\n--\n{text}");
    }
    assert_eq!(text.matches("config/pipeline.toml:").count(), 4, "{text}");
}

#[test]
fn an_input_with_several_possible_sources_must_be_named() {
    let text = said("inputs = { table = \"customers\" }", "");
    assert!(text.contains("stage `transformation` could work on `customers`, `events`"), "{text}");
    assert!(text.contains("hint: say which: `inputs = { table = \"customers\" }`"), "{text}");
    let text = said("inputs = { table = \"customers\" }", "inputs = { table = [\"customers\", \"events\"] }");
    assert!(text.contains("`table` of `transformation` is one thing"), "{text}");
}

#[test]
fn names_and_worlds_of_stages_are_checked() {
    let text = said("world = \"training\"\ncomponent = \"train-forest\"", "component = \"train-forest\"");
    assert!(text.contains("missing key `world` in `stages.forest`"), "{text}");
    let text = said("[stages.evaluation]\n", "[stages.evaluation]\nworld = \"promotion\"\n");
    assert!(text.contains("`evaluation` is the name of another world than `promotion`"), "{text}");
    let text = said("[stages.forest]", "[stages.Forest]");
    assert!(text.contains("`Forest` is not a name for a stage"), "{text}");
    let text = said("world = \"training\"\ncomponent = \"train-forest\"", "world = \"trainning\"\ncomponent = \"x\"");
    assert!(text.contains("`trainning` is not a value of `stages.forest.world`"), "{text}");
    let text = said("[stages.promotion]\ncomponent = \"promote-gated\"", "");
    assert!(text.contains("missing stage `promotion`"), "{text}");
    let text =
        said("[stages.promotion]", "[stages.last]\nworld = \"promotion\"\ncomponent = \"x\"\n[stages.promotion]");
    assert!(text.contains("`promotion` is a second stage of the world `promotion`"), "{text}");
    let text = said("component = \"train-forest\"", "component = \"ingest-table\"");
    assert!(text.contains("`ingest-table` is the component of `customers` and of `forest`"), "{text}");
    let text = said("component = \"ingest-table\"\nsource = \"customers\"", "component = \"x\"\nsource = \"nothing\"");
    assert!(text.contains("no source is named `nothing`"), "{text}");
    let text = said("[stages.forest]", "[stages.evaluation-small]");
    assert!(
        text.contains("`evaluation-small` is the name of a stage, and of the step that evaluates `small`"),
        "{text}"
    );
}

#[test]
fn a_table_that_nobody_checks_or_works_on_is_refused() {
    let text = said("table = \"events.table\"", "table = \"customers\"");
    assert!(text.contains("no stage works on what `events` makes"), "{text}");
    let text = said("table = \"ingestion.customers\"", "table = \"events\"");
    assert!(
        text.contains("no validation checks the table of `customers`, from which `transformation` learns"),
        "{text}"
    );
    let second = "[stages.other]\nworld = \"transformation\"\ncomponent = \"engineered\"\ninputs = { table = \"events\" }\n\
                  [stages.forest]\ninputs = { features = \"other\" }\n";
    let both = STAGES.replace("[stages.small]\n", "[stages.small]\ninputs = { features = \"transformation\" }\n");
    let text = with(&both.replace("[stages.forest]\n", second)).unwrap_err().render();
    assert!(text.contains("models are judged on the same rows"), "{text}");
}

#[test]
fn the_order_depends_on_worlds_and_names_and_a_diagram_shows_it() {
    let backwards: String = {
        let mut sections: Vec<&str> = STAGES.split("\n\n").collect();
        sections.reverse();
        sections.join("\n\n")
    };
    let manifest = with(&backwards).unwrap();
    let worlds: Vec<World> = manifest.graph.steps().iter().map(|step| step.world).collect();
    assert!(worlds.is_sorted(), "{worlds:?}");
    let drawn = with(STAGES).unwrap().graph.mermaid();
    assert!(drawn.starts_with("flowchart TD\n"), "{drawn}");
    assert!(drawn.contains("s_check__events[\"check-events<br/>validation\"]"), "{drawn}");
    assert!(drawn.contains("s_events --> s_check__events\n"), "{drawn}");
    assert!(drawn.contains("s_check__events -.-> s_transformation\n"), "{drawn}");
    let edges = with(STAGES).unwrap().graph.edges();
    assert_eq!(edges.len(), 2 + 1 + 2 + 2 + 2 + 2);
    let json = serde_json::to_value(&edges).unwrap();
    let wanted = serde_json::json!({ "from": "events", "to": "check-events", "input": "table", "artifact": "table" });
    assert!(json.as_array().unwrap().contains(&wanted), "{json}");
}

#[test]
fn outputs_name_artifacts_of_stages_each_a_file_of_its_own() {
    let outputs = |lines: &str| with(&format!("{STAGES}\n[outputs]\n{lines}"));
    let manifest =
        outputs("\"reports/events.html\" = \"check-events.report\"\n\"m.bin\" = \"training.small.model\"").unwrap();
    let told: Vec<_> = manifest
        .outputs
        .iter()
        .map(|output| (output.path.to_str().unwrap(), output.stage.as_str(), output.artifact.as_str()))
        .collect();
    assert_eq!(
        told,
        [("config/reports/events.html", "check-events", "report"), ("config/m.bin", "small", "model")],
        "paths start where the file is"
    );
    let text = outputs(
        "\"a.html\" = \"check-events.report\"\n\"./x/../a.html\" = \"evaluation.report\"\n\"b\" = \"small\"\n\
         \"c\" = \"small.state\"\n\"d/\" = \"small.model\"\n\"e\" = \"smal.model\"",
    )
    .unwrap_err()
    .render();
    for wanted in [
        "`./x/../a.html` and `a.html` are one file",
        "`small` names no artifact\n  hint: write `small.ARTIFACT`: it makes `importance`, `model`",
        "stage `small` makes no `state`",
        "`d/` is not the path of a file",
        "no stage is named `smal`\n  hint: did you mean `small`?",
    ] {
        assert!(text.contains(wanted), "{wanted}\n--\n{text}");
    }
}

#[test]
fn outputs_stay_below_the_folder_of_their_file_and_are_not_hidden() {
    let outputs = |names: &[&str]| {
        let line = |name: &&str| format!("{} = \"check-events.report\"\n", serde_json::json!(name));
        with(&format!("{STAGES}\n[outputs]\n{}", names.iter().map(line).collect::<String>()))
    };
    let outside = ["/etc/cron.d/x", "../x", "a/../../x", "reports/../../config/x"];
    for name in outside {
        let text = outputs(&[name]).unwrap_err().render();
        assert!(text.contains("is outside of the pipeline's folder\n  hint: outputs lie in the folder"), "{text}");
    }
    for (name, problem) in [
        (".env", "`.env` in the path of an output is hidden"),
        (".git/hooks/post-checkout", "`.git` in the path of an output is hidden"),
        ("reports/.x", "`.x` in the path of an output is hidden"),
        ("a\u{0}b", "it has a control character"),
        ("a\u{1b}[2Jb", "it has a control character"),
        (&format!("a/{}", "b".repeat(256)), "is too long"),
        ("a/..", "is not the path of a file"),
    ] {
        let text = outputs(&[name]).unwrap_err().render();
        assert!(text.contains(problem), "{name}: {text}");
    }
    let long = format!("{}x", "ab/".repeat(400));
    let text = outputs(&[&long]).unwrap_err().render();
    assert!(text.contains("the path of an output has 1201 bytes"), "{text}");
    for (names, clash) in [
        (["a.html", "b/../a.html"], "are one file"),
        (["a.html", "A.HTML"], "are one file"),
        (["a", "a/b"], "cannot both be: a file is no folder"),
        (["a/b/c", "A/B"], "cannot both be: a file is no folder"),
    ] {
        let text = outputs(&names).unwrap_err().render();
        assert!(text.contains(clash), "{names:?}: {text}");
    }
    let fine = outputs(&["a", "a-b", "a.b", "b/a", "b/c/../d", "c"]).unwrap();
    let told: Vec<_> = fine.outputs.iter().map(|output| output.path.to_str().unwrap()).collect();
    assert_eq!(told, ["config/a", "config/a-b", "config/a.b", "config/b/a", "config/b/d", "config/c"]);
    let many: Vec<String> = (0..1001).map(|number| format!("r/{number}")).collect();
    let text = outputs(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err().render();
    assert!(text.contains("a run writes at most 1000 files"), "{text}");
}

#[test]
fn stages_are_selected_by_world_stage_or_step() {
    let manifest = with(STAGES).unwrap();
    let part = |name: &str| {
        manifest.select_stages(name).map(|StageSelection { world, only }| (world, only.map(|id| id.to_string())))
    };
    let one = |world: World, name: &str| Ok((world, Some(name.to_owned())));
    assert_eq!(part("training"), Ok((World::Training, None)));
    assert_eq!(part("small"), one(World::Training, "small"));
    assert_eq!(part("training.small"), one(World::Training, "small"));
    assert_eq!(part("transformation.transformation"), one(World::Transformation, "transformation"));
    assert_eq!(part("evaluation-small"), one(World::Evaluation, "evaluation-small"));
    assert_eq!(part("smal"), Err("did you mean `small`?".to_owned()));
    for wrong in ["training.events", "other.small", "x", "", "training.", ".small"] {
        assert!(part(wrong).is_err(), "{wrong}");
    }
}
