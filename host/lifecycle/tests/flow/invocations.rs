//! Invocations: what they declare, what is recorded, and that nothing else counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use stagewright_data::{Content, Interrupt};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::invocation::{ChampionStatus, Invocation, Outcome, SourceFormat, Work};
use stagewright_lifecycle::sandbox::Cancel;
use stagewright_lifecycle::{RunError, Session, execute};
use stagewright_manifest::World;

use crate::fake::{Fake, Script, component};
use crate::test_bed::{EndedRun, RunSpec, TestBed, make_champion};

/// Returns the recorded invocations, by world.
fn recorded(ended: &EndedRun) -> BTreeMap<World, Invocation> {
    let read = |value: &serde_json::Value| -> Invocation {
        serde_json::from_value(value.clone()).expect("an invocation that this version wrote")
    };
    let invocations = ended.stages.iter().map(|stage| read(stage.invocation.as_ref().expect("an invocation")));
    invocations.map(|invocation| (invocation.guest.world, invocation)).collect()
}

/// Returns a session with the components of these tests' pipelines.
fn session(bed: &TestBed) -> Session {
    let fake = Arc::new(Fake::new(Script::default(), Cancel::default()));
    let names = ["ingest", "validate", "transform", "train", "evaluate", "promote"];
    let components = World::required().zip(names).map(|(world, name)| Arc::new(component(world, name)));
    Session {
        artifacts: bed.home.artifacts.clone(),
        sandbox: fake.clone(),
        decoder: std::sync::Arc::new(stagewright_data::InProcess),
        components: components.collect(),
        source: None,
        observer: fake,
        workers: 3,
        cancel: Cancel::default(),
    }
}

/// Executes a step with nothing but its invocation and the artifacts of the home.
fn executed(bed: &TestBed, invocation: &Invocation) -> Outcome {
    execute(invocation, session(bed)).expect("its component is at hand")
}

/// Returns a home with a champion, and a run that was compared with it.
fn compared() -> (TestBed, EndedRun) {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole().column("y"));
    let ended = bed.run_ok(RunSpec::whole());
    (bed, ended)
}

#[test]
fn a_step_is_recorded_with_its_invocation_which_is_read_as_it_was_written() {
    let (_bed, ended) = compared();
    let recorded = recorded(&ended);
    assert_eq!(recorded.keys().copied().collect::<Vec<_>>(), World::required().collect::<Vec<_>>());
    let told = ended.summary.stages.iter().map(|stage| stage.invocation.clone().expect("an invocation"));
    assert_eq!(recorded.values().cloned().collect::<Vec<_>>(), told.collect::<Vec<_>>());
    let roles = |world: World| recorded[&world].inputs.iter().map(|input| input.role.as_str()).collect::<Vec<_>>();
    assert_eq!(roles(World::Ingestion), Vec::<&str>::new(), "the stage makes its data up");
    assert_eq!(roles(World::Transformation), ["ingestion.signature", "ingestion.table"]);
    assert_eq!(
        roles(World::Training),
        ["transformation.features-train", "transformation.features-validation", "transformation.task"]
    );
    assert_eq!(
        roles(World::Evaluation),
        [
            "champion.model",
            "champion.state",
            "training.importance",
            "training.model",
            "transformation.state",
            "transformation.task",
            "transformation.test"
        ]
    );
    let Work::Evaluation(work) = &recorded[&World::Evaluation].work else { panic!("the work of an evaluation") };
    assert!(
        matches!(&work.champion, ChampionStatus::Readable(champion) if champion.version == 1),
        "{:?}",
        work.champion
    );
    assert_eq!((work.candidate_version, work.gates.margin), (Some(2), 0.01));
    // The step's record lists the same inputs.
    for stage in &ended.stages {
        let listed: Vec<_> = stage.inputs.iter().map(|input| (input.name.as_str(), input.digest)).collect();
        let invocation = &recorded[&World::from_name(&stage.name).expect("a step")];
        let declared: Vec<_> = invocation.inputs.iter().map(|input| (input.role.as_str(), input.digest)).collect();
        assert_eq!(listed, declared, "{}", stage.name);
    }
}

// invariant: as `what_is_not_declared_cannot_be_read`
#[test]
fn a_step_that_is_executed_again_from_its_record_makes_the_same() {
    let (bed, ended) = compared();
    let invocations = recorded(&ended);
    for stage in &ended.stages {
        let outcome = executed(&bed, &invocations[&World::from_name(&stage.name).expect("a step")]);
        assert_eq!(outcome.fault, None, "{}", stage.name);
        // The run keeps a model's components with it, which are not part of the step.
        let outputs = stage.outputs.iter().filter(|output| !output.name.ends_with("-component"));
        assert_eq!(outcome.outputs, outputs.cloned().collect::<Vec<_>>(), "{}", stage.name);
        assert_eq!(outcome.metrics, stage.metrics, "{}", stage.name);
        let text = serde_json::to_string(&outcome).expect("a value");
        assert_eq!(serde_json::from_str::<Outcome>(&text).expect("what was written"), outcome, "{}", stage.name);
    }
    assert_eq!(bed.staged(), Vec::<std::path::PathBuf>::new(), "nothing of that is left");
}

// invariant: A step reads only what its invocation declares. Executing the recorded invocation
// again makes the same artifacts.
#[test]
fn what_is_not_declared_cannot_be_read() {
    let (bed, ended) = compared();
    let mut tried = 0;
    for (step, invocation) in recorded(&ended) {
        for (place, input) in invocation.inputs.iter().enumerate() {
            let mut without = invocation.clone();
            without.inputs.remove(place);
            let outcome = executed(&bed, &without);
            tried += 1;
            if input.role == "transformation.features-validation" {
                // Training can do without it, and then makes another model.
                assert_eq!(outcome.fault, None);
                continue;
            }
            let fault = StageFault::host(format!("stage `{step}` declares no input `{}`", input.role));
            assert_eq!(outcome.fault, Some(fault), "the store has it, and the step does not get it");
            assert_eq!(outcome.outputs, [], "{step}");
        }
    }
    assert_eq!(tried, 15);
}

// invariant: Equal inputs give equal invocations. A changed input changes exactly the invocations
// that declare it.
#[test]
fn equal_inputs_give_equal_invocations() {
    let ((_first_bed, first), (_second_bed, second)) = (compared(), compared());
    assert_eq!(recorded(&first), recorded(&second));
    // The number of workers and the runs that inputs come from do not matter either.
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole().column("y").workers(5));
    let mut runs: Vec<EndedRun> = Vec::new();
    for world in World::required() {
        let asked = RunSpec::of(world..=world).workers(3);
        runs.push(bed.run_ok(match runs.last() {
            Some(last) => asked.based_on(last),
            None => asked,
        }));
    }
    assert_eq!(runs.iter().flat_map(recorded).collect::<BTreeMap<_, _>>(), recorded(&first));
}

/// Returns the worlds whose invocations differ.
fn differing(one: &EndedRun, other: &EndedRun) -> Vec<World> {
    let (one, other) = (recorded(one), recorded(other));
    World::required().filter(|world| one[world] != other[world]).collect()
}

// invariant: as `equal_inputs_give_equal_invocations`
#[test]
fn a_changed_input_changes_exactly_the_invocations_that_declare_it() {
    use World::{Evaluation, Ingestion, Promotion, Training, Transformation, Validation};
    let plain = TestBed::new().run_ok(RunSpec::whole());
    for (change, expected) in [
        ("seed=8", World::required().collect()),
        ("as-of=\"2026-02-01T00:00:00Z\"", World::required().collect()),
        ("ingestion.limits.memory=\"512 MiB\"", vec![Ingestion]),
        ("validation.strict=true", vec![Validation]),
        ("transformation.limits.memory=\"512 MiB\"", vec![Transformation, Evaluation]),
        ("transformation.smooth=1", vec![Transformation, Evaluation]),
        ("task.positive=no", vec![Transformation, Training, Evaluation, Promotion]),
        ("split.seed=2", vec![Transformation, Training, Evaluation, Promotion]),
        ("training.column=y", vec![Training, Evaluation, Promotion]),
        ("gates.margin=0.02", vec![Evaluation, Promotion]),
        ("evaluation.verbose=true", vec![Evaluation]),
        ("promotion.budget=3", vec![Promotion]),
        ("experiment=other", vec![]),
        ("workers=2", vec![]),
    ] {
        let changed = TestBed::new().run_ok(RunSpec::whole().set(change));
        assert_eq!(differing(&plain, &changed), expected, "{change}");
    }
    // Another champion is another input of the evaluation.
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole().column("y"));
    bed.run_ok(RunSpec::whole().column("z"));
    let base = bed.run_ok(RunSpec::of(Ingestion..=Training));
    let evaluated = || bed.run_ok(RunSpec::of(Evaluation..=Evaluation).based_on(&base));
    let first = evaluated();
    assert_eq!(recorded(&first), recorded(&evaluated()));
    make_champion(&bed.home, 2);
    assert_ne!(recorded(&first), recorded(&evaluated()));
}

/// Returns a run with a source that it opens.
fn with_source(file: &Path) -> RunSpec {
    let uri = format!("sources.rows.uri=\"csv:{}\"", file.display());
    RunSpec::whole().set(&uri).set("ingestion.source=rows").set("ingestion.opens=true")
}

/// Returns the text of a table that fits the signature.
fn text(x: u32) -> String {
    format!("id,x,y,z,outcome\na,{x},2,3,yes\n")
}

#[test]
fn a_source_that_cannot_be_read_is_missed_by_a_component_that_asks_for_it_alone() {
    let bed = TestBed::new();
    let asked = with_source(Path::new("/nowhere/rows.csv"));
    let ended = bed.run(asked.clone());
    assert!(matches!(ended.result, Err(RunError::Stage(StageFault::Data { .. }))), "{}", ended.error());
    assert!(ended.error().contains("there is no such file"), "{}", ended.error());
    let made_up = bed.run_ok(asked.set("ingestion.opens=false"));
    assert_eq!(recorded(&made_up)[&World::Ingestion].inputs, []);
    // A step does not get an available source that its invocation does not declare.
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, text(1)).expect("a file");
    let mut invocation = recorded(&bed.run_ok(with_source(&file))).remove(&World::Ingestion).expect("a step");
    invocation.inputs.clear();
    let fault = StageFault::host("stage `ingestion` declares no input `source`");
    assert_eq!(executed(&bed, &invocation).fault, Some(fault));
}

// invariant: as `equal_inputs_give_equal_invocations`
#[test]
fn the_content_of_a_source_counts_and_its_place_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let one = TestBed::new().run_ok(with_source(&file("one.csv", &text(1))));
    let same = TestBed::new().run_ok(with_source(&file("same.csv", &text(1))));
    let other = TestBed::new().run_ok(with_source(&file("other.csv", &text(2))));
    assert_eq!(differing(&one, &same), []);
    assert_eq!(differing(&one, &other), [World::Ingestion], "the made-up stage makes the same table of both");
    let source = &recorded(&one)[&World::Ingestion].inputs[0];
    assert_eq!((source.role.as_str(), source.digest), ("source", stagewright_store::Digest::of(text(1).as_bytes())));
}

#[test]
fn a_file_that_somebody_writes_to_is_refused_and_a_database_leaves_no_content_on_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.csv");
    std::fs::write(&file, text(1)).expect("a file");
    let bed = TestBed::new();
    let mut invocation = recorded(&bed.run_ok(with_source(&file))).remove(&World::Ingestion).expect("a step");
    let Work::Ingestion(work) = &invocation.work else { panic!("the work of an ingestion") };
    let source = work.source.as_ref().expect("a source").reading.at(file.clone());
    let content = Content::of(&source, &Interrupt::never()).expect("a file");
    let executed = |invocation: &Invocation| {
        execute(invocation, Session { source: Some(Ok((file.clone(), content.clone()))), ..session(&bed) })
            .expect("its component is at hand")
    };
    assert_eq!(executed(&invocation).fault, None);
    std::fs::write(&file, text(22)).expect("a file");
    let fault = executed(&invocation).fault.expect("a fault").to_string();
    assert!(fault.contains("somebody wrote to the source `rows` while it was read"), "{fault}");
    let Work::Ingestion(work) = &mut invocation.work else { panic!("the work of an ingestion") };
    work.source.as_mut().expect("a source").reading = SourceFormat::Table { table: "rows".to_owned() };
    // The file is not a database, but nobody opens it.
    invocation.guest.parameters.insert("opens".to_owned(), false.into());
    let outcome = executed(&invocation);
    assert_eq!(outcome.fault, None);
    assert!(
        outcome.logs.iter().any(|line| line.message.contains("its content is not on record")),
        "{:?}",
        outcome.logs
    );
}

// invariant: as `equal_inputs_give_equal_invocations`
#[test]
fn a_split_that_was_made_elsewhere_is_kept_and_its_content_counts() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = TestBed::new();
    let plain = bed.run_ok(RunSpec::whole());
    let exported = bed.home.artifacts.open_document(&plain.made()["transformation.split"], "text/csv");
    let exported = exported.expect("a split").bytes().to_vec();
    let imported = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, &exported).expect("a file");
        let bed = TestBed::new();
        let ended = bed.run_ok(RunSpec::whole().set(&format!("split.file=\"{}\"", path.display())));
        std::fs::remove_file(&path).expect("a file");
        (bed, ended)
    };
    let ((bed, one), (_, other)) = (imported("one.csv"), imported("other.csv"));
    assert_eq!(one.made(), plain.made());
    assert_eq!(differing(&one, &other), []);
    assert_eq!(differing(&plain, &one), [World::Transformation]);
    // The file is gone, but what was read of it is an artifact, so the step can be executed again.
    let outcome = executed(&bed, &recorded(&one)[&World::Transformation]);
    assert_eq!(outcome.outputs, one.stages[2].outputs);
}
