//! Runs of graphs: the choice of the candidate, and results and records that do not depend on the
//! number of steps in progress.

use stagewright_lifecycle::RunError;
use stagewright_lifecycle::invocation::{Invocation, Work};
use stagewright_lifecycle::sandbox::{Check, Severity};
use stagewright_manifest::World;

use crate::fake::Script;
use crate::test_bed::{EndedRun, MODEL, RunSpec, TestBed};

/// Two tables, two transformations and four models, two of which are equal.
const STAGES: &str = r#"
[stages.customers]
world = "ingestion"
component = "ingest"

[stages.events]
world = "ingestion"
component = "ingest"
parameters = { columns = ["id", "y"] }

[stages.validation]
component = "validate"
inputs = { table = "customers" }

[stages.check-events]
world = "validation"
component = "validate"
inputs = { table = "events" }

[stages.plain]
world = "transformation"
component = "transform"
inputs = { table = "customers" }

[stages.fancy]
world = "transformation"
component = "transform"
parameters = { fancy = true }
inputs = { table = "customers" }

[stages.poor]
world = "training"
component = "other-train"
inputs = { features = "plain" }
parameters = { column = "y", pause = 40 }

[stages.good]
world = "training"
component = "train"
inputs = { features = "fancy" }

[stages.also-good]
world = "training"
component = "train"
inputs = { features = "fancy" }
parameters = { pause = 20 }

[stages.bad]
world = "training"
component = "train"
inputs = { features = "plain" }
parameters = { column = "z" }

[stages.evaluation]
component = "evaluate"

[stages.promotion]
component = "promote"

"#;

fn graph() -> RunSpec {
    RunSpec::whole().stages(STAGES)
}

/// Returns everything in a record that does not depend on the clock.
pub(crate) fn recorded(ended: &EndedRun) -> Vec<(String, String, serde_json::Value, Vec<String>)> {
    let outputs = |stage: &stagewright_store::StageRecord| -> Vec<String> {
        stage.outputs.iter().map(|output| format!("{} {}", output.name, output.digest)).collect()
    };
    ended
        .stages
        .iter()
        .map(|stage| {
            let invocation = stage.invocation.clone().unwrap_or_default();
            (stage.name.clone(), stage.status.clone(), invocation, outputs(stage))
        })
        .collect()
}

pub(crate) fn names(ended: &EndedRun) -> Vec<&str> {
    ended.stages.iter().map(|stage| stage.name.as_str()).collect()
}

#[test]
fn the_best_model_is_the_candidate_and_the_others_are_on_record_with_their_evaluations() {
    let bed = TestBed::new();
    let ended = bed.run_ok(graph());
    assert_eq!(
        names(&ended),
        [
            "customers",
            "events",
            "validation",
            "check-events",
            "plain",
            "fancy",
            "poor",
            "good",
            "also-good",
            "bad",
            "evaluation-poor",
            "evaluation-good",
            "evaluation-also-good",
            "evaluation-bad",
            "promotion"
        ]
    );
    let trained: Vec<_> =
        ended.summary.trained.iter().map(|model| (model.training.as_str(), model.is_candidate)).collect();
    // Of two equal models, the first one by name.
    assert_eq!(trained, [("poor", false), ("good", false), ("also-good", true), ("bad", false)]);
    let figure = |at: usize| ended.summary.trained[at].metrics.as_ref().and_then(|it| it.get("roc_auc")).unwrap();
    assert!(figure(3) < figure(0) && figure(0) < figure(1) && figure(1) == figure(2));
    assert_eq!(ended.summary.metrics.as_ref().and_then(|it| it.candidate.get("roc_auc")), Some(figure(2)));
    // There is one version, and it is the champion.
    assert_eq!((bed.versions(), bed.champion()), (1, Some(1)));
    let version = bed.home.registry.version(MODEL, 1).unwrap();
    assert_eq!(version.contents["transformation"]["parameters"]["fancy"], true);
    assert_eq!(version.contents["training"]["parameters"]["pause"], 20);
    // The run's own metrics are the candidate's. Those of the others are under their evaluations.
    let metric = |name: &str| {
        let history = bed.home.registry.metric_history(&ended.id, name).unwrap();
        history.first().map(|point| point.value)
    };
    assert_eq!(metric("roc_auc"), Some(figure(2)));
    assert_eq!(metric("evaluation-poor/roc_auc"), Some(figure(0)));
    // A component's metrics are under its step.
    assert_eq!(metric("poor.loss"), Some(0.5));
}

#[test]
fn inputs_come_from_the_steps_that_are_named_and_side_tables_are_inferred() {
    let ended = TestBed::new().run_ok(graph());
    let invocation = |name: &str| -> Invocation {
        let stage = ended.stages.iter().find(|stage| stage.name == name).expect("a step");
        serde_json::from_value(stage.invocation.clone().expect("an invocation")).expect("an invocation")
    };
    let ingestion = |name: &str| match invocation(name).work {
        Work::Ingestion(work) => (work.signature.is_some(), work.target),
        other => panic!("{other:?}"),
    };
    assert_eq!(ingestion("customers"), (true, Some("outcome".to_owned())));
    assert_eq!(ingestion("events"), (false, None));
    let made = |step: &str, name: &str| {
        let stage = ended.stages.iter().find(|stage| stage.name == step).expect("a step");
        stage.outputs.iter().find(|output| output.name == name).expect("an artifact").digest
    };
    let wanted = [
        ("check-events", "ingestion.table", "events", "table"),
        ("good", "transformation.features-train", "fancy", "features-train"),
        ("evaluation-poor", "training.model", "poor", "model"),
    ];
    for (step, role, from, name) in wanted {
        let invocation = invocation(step);
        let input = invocation.inputs.iter().find(|input| input.role == role).expect("an input");
        assert_eq!(input.digest, made(from, name), "{step}");
        assert_eq!(serde_json::to_value(&input.from).unwrap()["step"], from);
    }
    let seed = |step: &str| invocation(step).guest.seed;
    assert_eq!(seed("good"), seed("poor"), "models differ in what they are, not in their names");
    assert_ne!(seed("customers"), seed("events"));
    assert_eq!(seed("evaluation-good"), seed("evaluation-poor"));
}

// invariant: The artifacts and the record of a graph depend neither on how many steps work at once
// nor on their order of completion.
#[test]
fn the_record_is_the_same_however_many_work_at_once() {
    let wanted = recorded(&TestBed::new().run_ok(graph()));
    for workers in [2, 8] {
        let ended = TestBed::new().run_ok(graph().workers(workers));
        assert_eq!(recorded(&ended), wanted, "{workers}");
    }
}

// invariant: as `the_record_is_the_same_however_many_work_at_once`
#[test]
fn a_step_that_fails_ends_the_run_as_if_one_came_after_the_other() {
    let failing = || graph().set("good.fails=true").set("bad.fails=true");
    let first = TestBed::new().run(failing());
    let fault = first.result.as_ref().expect_err("two fail").to_string();
    assert!(fault.contains("stage `good`"), "{fault}");
    assert_eq!(names(&first).last(), Some(&"good"));
    for workers in [2, 8] {
        let bed = TestBed::new();
        let ended = bed.run(failing().workers(workers));
        assert_eq!(recorded(&ended), recorded(&first), "{workers}");
        assert_eq!(ended.result.expect_err("two fail").to_string(), fault);
        assert_eq!(bed.versions(), 0);
        assert_eq!(bed.staged(), Vec::<std::path::PathBuf>::new());
    }
}

#[test]
fn nothing_is_learnt_if_one_of_several_tables_is_unfit() {
    let check = Check {
        name: "rows".to_owned(),
        column: None,
        passed: false,
        severity: Severity::Error,
        observed: "240".to_owned(),
        expected: "more".to_owned(),
        failures: 1,
        examples: Vec::new(),
    };
    for workers in [1, 8] {
        let script = Script { finds: vec![check.clone()], ..Script::default() };
        let ended = TestBed::new().run(graph().script(script).workers(workers));
        assert!(matches!(ended.result, Err(RunError::Unfit { .. })));
        assert_eq!(names(&ended), ["customers", "events", "validation"]);
    }
}

#[test]
fn worlds_one_after_the_other_make_what_a_whole_run_makes() {
    let whole = TestBed::new().run_ok(graph());
    let bed = TestBed::new();
    let mut runs: Vec<EndedRun> = Vec::new();
    for world in World::required() {
        let asked = RunSpec::of(world..=world).stages(STAGES).workers(3);
        runs.push(bed.run_ok(match runs.last() {
            Some(last) => asked.based_on(last),
            None => asked,
        }));
    }
    let parts: Vec<_> = runs.iter().flat_map(recorded).map(|(name, _, _, outputs)| (name, outputs)).collect();
    let wanted: Vec<_> = recorded(&whole).into_iter().map(|(name, _, _, outputs)| (name, outputs)).collect();
    let models = |parts: &[(String, Vec<String>)]| parts[..10].to_vec();
    assert_eq!(models(&parts), models(&wanted));
    assert_eq!((bed.versions(), bed.champion()), (1, Some(1)));
    assert_eq!(runs[3].summary.model, None, "which of them is registered is not known before they are judged");
    assert_eq!(runs[4].summary.model.as_ref().map(|model| model.version), Some(1));
}

#[test]
fn a_model_that_is_better_than_the_champion_takes_its_place_and_equal_ones_change_nothing() {
    let bed = TestBed::new();
    let poor = "column=\"y\"";
    bed.run_ok(graph().set(&format!("good.{poor}")).set(&format!("also-good.{poor}")));
    assert_eq!((bed.versions(), bed.champion()), (1, Some(1)));
    let better = bed.run_ok(graph().workers(4));
    assert_eq!((bed.versions(), bed.champion()), (2, Some(2)));
    assert!(better.summary.metrics.unwrap().champion.is_some());
    let again = bed.run_ok(graph().workers(4));
    assert!(again.summary.is_champion_already);
    assert_eq!((bed.versions(), bed.champion()), (2, Some(2)));
}

#[test]
fn outputs_are_written_at_the_end_and_one_that_was_not_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let stages = |outputs: &[(&str, &str)]| {
        let line = |(name, what): &(&str, &str)| format!("{name:?} = {what:?}\n");
        format!("{STAGES}[outputs]\n{}\n", outputs.iter().map(line).collect::<String>())
    };
    let wanted = [
        ("reports/checks.html", "check-events.report", "check-events"),
        ("models/poor.bin", "training.poor.model", "poor"),
        ("reports/candidate.html", "evaluation.report", "evaluation-also-good"),
    ];
    let bed = TestBed::new();
    let outputs = stages(&wanted.map(|(name, what, _)| (name, what)));
    let ended = bed.run_ok(RunSpec::whole().stages(&outputs).folder(folder.path()).workers(4));
    for (name, what, step) in wanted {
        let stage = ended.stages.iter().find(|stage| stage.name == step).expect("a step");
        let artifact = what.rsplit('.').next().expect("an artifact");
        let output = stage.outputs.iter().find(|output| output.name == artifact).expect("an output");
        let kept = std::fs::read(bed.home.artifacts.path(output.kind, &output.digest)).unwrap();
        assert_eq!(std::fs::read(path(name)).unwrap(), kept, "{name}");
    }
    // A candidate that is the champion is not judged again. Its reports are written again.
    std::fs::remove_file(path("reports/candidate.html")).unwrap();
    let again = bed.run_ok(RunSpec::whole().stages(&outputs).folder(folder.path()));
    assert!(again.summary.is_champion_already);
    assert!(path("reports/candidate.html").is_file());
    let missing = stages(&[("first.html", "validation.report"), ("none.csv", "customers.response")]);
    let ended = TestBed::new().run(RunSpec::whole().stages(&missing).folder(folder.path()));
    assert!(matches!(ended.result, Err(RunError::NotMade { .. })), "{:?}", ended.result);
    assert!(!path("first.html").exists(), "all are written, or none");
}

#[test]
fn an_output_replaces_nothing_by_which_runs_are_decided_and_leads_nowhere_else() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("flow.toml"), "the pipeline").unwrap();
    std::fs::hard_link(path("flow.toml"), path("same.toml")).unwrap();
    std::fs::write(path("stagewright.lock"), "the lock").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    std::os::unix::fs::symlink(other.path(), path("link")).unwrap();
    let bed = TestBed::new();
    std::os::unix::fs::symlink(bed.home.path(), path("home-link")).unwrap();
    let refused = |name: &str, folder: &std::path::Path| {
        let file = format!("{STAGES}[outputs]\n{name:?} = \"check-events.report\"\n\n");
        let ended = bed.run(RunSpec::whole().stages(&file).folder(folder));
        assert!(ended.calls.is_empty(), "{name}: nothing runs");
        match ended.result {
            Err(RunError::NoOutput { problem, .. }) => problem,
            result => panic!("{name}: {result:?}"),
        }
    };
    for (name, problem) in [
        ("flow.toml", "which this pipeline reads"),
        ("same.toml", "which this pipeline reads"),
        ("stagewright.lock", "which this pipeline reads"),
        ("folder", "it is a folder"),
        ("link/file", "is a link, which nobody follows"),
        ("home-link/registry.db", "is a link, which nobody follows"),
        ("flow.toml/file", "is no folder"),
    ] {
        let told = refused(name, folder.path());
        assert!(told.contains(problem), "{name}: {told}");
    }
    let above = bed.home.path().parent().unwrap();
    for name in ["home/registry.db", "home/artifacts/x", "home/new/x"] {
        assert!(refused(name, above).contains("it is in the home"), "{name}");
    }
    let produced = format!(
        "{STAGES}[outputs]\n\"prod/models/m/champion.json\" = \"check-events.report\"\n[production]\ndestination = \"prod\"\n\n"
    );
    let ended = bed.run(RunSpec::whole().stages(&produced).folder(folder.path()));
    assert!(
        matches!(&ended.result, Err(RunError::NoOutput { problem, .. }) if problem.contains("production location"))
    );
    assert_eq!(std::fs::read_to_string(path("flow.toml")).unwrap(), "the pipeline");
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn a_stage_of_a_graph_runs_alone_on_what_those_before_it_made() {
    let (whole, bed) = (TestBed::new(), TestBed::new());
    let expected = recorded(&whole.run_ok(graph()));
    let order = [
        (World::Ingestion, "customers"),
        (World::Ingestion, "events"),
        (World::Validation, "check-events"),
        (World::Validation, "validation"),
        (World::Transformation, "fancy"),
        (World::Transformation, "plain"),
        (World::Training, "bad"),
        (World::Training, "good"),
        (World::Training, "also-good"),
        (World::Training, "poor"),
        (World::Evaluation, "evaluation-good"),
        (World::Evaluation, "evaluation-poor"),
    ];
    let alone = |world: World, name: &str| RunSpec::only(world, name).stages(STAGES);
    let mut last: Option<EndedRun> = None;
    let mut made = Vec::new();
    for (world, name) in order {
        let asked = alone(world, name);
        let ended = bed.run_ok(match &last {
            Some(last) => asked.based_on(last),
            None => asked,
        });
        assert_eq!(names(&ended), [name]);
        assert!(ended.summary.decision.is_none(), "{name}");
        made.extend(recorded(&ended));
        last = Some(ended);
    }
    assert_eq!((bed.versions(), bed.champion()), (0, None), "which is the best is not known");
    // Two evaluations and the choice remain.
    let asked = RunSpec::of(World::Evaluation..=World::Promotion).stages(STAGES);
    let ended = bed.run_ok(match &last {
        Some(last) => asked.based_on(last),
        None => asked,
    });
    made.extend(recorded(&ended));
    assert_eq!((bed.versions(), bed.champion()), (1, Some(1)));
    let outputs = |recorded: &[(String, String, serde_json::Value, Vec<String>)], name: &str| {
        recorded.iter().find(|step| step.0 == name).map(|step| step.3.clone())
    };
    for (name, ..) in expected.iter().filter(|step| !step.0.starts_with("evaluation") && step.0 != "promotion") {
        assert_eq!(outputs(&made, name), outputs(&expected, name), "{name}");
    }
}

#[test]
fn a_stage_that_runs_alone_names_the_one_that_makes_what_is_missing() {
    let bed = TestBed::new();
    let alone = |world: World, name: &str| RunSpec::only(world, name).stages(STAGES);
    let customers = bed.run_ok(alone(World::Ingestion, "customers"));
    let missing = |ended: &EndedRun| match &ended.result {
        Err(RunError::MissingArtifact { stage, name }) => format!("{stage}.{name}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(&bed.run(alone(World::Validation, "check-events").based_on(&customers))), "events.table");
    let checked = bed.run_ok(alone(World::Validation, "validation").based_on(&customers));
    assert_eq!(missing(&bed.run(alone(World::Transformation, "plain").based_on(&checked))), "check-events.findings");
    assert_eq!(missing(&bed.run(alone(World::Training, "poor").based_on(&checked))), "check-events.findings");
    let events = bed.run_ok(alone(World::Ingestion, "events").based_on(&checked));
    let both = bed.run_ok(alone(World::Validation, "check-events").based_on(&events));
    assert_eq!(missing(&bed.run(alone(World::Training, "poor").based_on(&both))), "plain.features-train");
    let plain = bed.run_ok(alone(World::Transformation, "plain").based_on(&both));
    assert_eq!(missing(&bed.run(alone(World::Evaluation, "evaluation-bad").based_on(&plain))), "bad.importance");
}

#[test]
fn a_validation_gets_the_tables_that_it_compares_with_and_they_are_inputs_of_its_step() {
    let own = "component = \"validate\"\ninputs = { table = \"customers\"";
    assert!(STAGES.contains(own));
    let stages = STAGES.replacen(own, &format!("{own}, people = \"events\""), 1);
    let bed = TestBed::new();
    let alone = bed.run_ok(graph());
    let together = bed.run_ok(RunSpec::whole().stages(&stages));
    let inputs = |ended: &EndedRun| -> Vec<(String, String)> {
        let stage = ended.stages.iter().find(|stage| stage.name == "validation").expect("a validation");
        let invocation: Invocation =
            serde_json::from_value(stage.invocation.clone().expect("an invocation")).expect("it reads");
        invocation.inputs.iter().map(|input| (input.role.clone(), input.digest.to_string())).collect()
    };
    let events = together.stages.iter().find(|stage| stage.name == "events").expect("an ingestion");
    let events = events.outputs.iter().find(|output| output.name == "table").expect("a table").digest.to_string();
    let (alone, together) = (inputs(&alone), inputs(&together));
    let more: Vec<_> = together.iter().filter(|input| !alone.contains(input)).collect();
    assert_eq!(more, [&("input.people".to_owned(), events)], "the tables are told apart");
    assert_eq!(together.len(), alone.len() + 1);
}

// invariant: as `what_is_required_under_warn_only_warns`
#[test]
fn a_check_that_warns_ends_no_run() {
    let check = |severity| Check {
        name: "range".to_owned(),
        column: Some("x".to_owned()),
        passed: false,
        severity,
        observed: "1 value outside".to_owned(),
        expected: "at most 1".to_owned(),
        failures: 1,
        examples: Vec::new(),
    };
    let finds = |checks: Vec<Check>| graph().script(Script { finds: checks, ..Script::default() });
    let ended = TestBed::new().run_ok(finds(vec![check(Severity::Warn)]));
    assert!(names(&ended).contains(&"promotion"));
    let both = TestBed::new().run(finds(vec![check(Severity::Warn), check(Severity::Error)]));
    let Err(RunError::Unfit { checks, .. }) = both.result else { panic!("it is unfit") };
    assert_eq!(checks, [check(Severity::Error)], "a warning is no reason");
}
