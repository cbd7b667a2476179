//! Runs that start from a base run.

use stagewright_lifecycle::RunError;
use stagewright_manifest::World;
use stagewright_store::RunStatus;

use crate::test_bed::{EndedRun, MODEL, RunSpec, TestBed};

// invariant: as `six_stages_one_after_the_other_make_what_one_run_makes`
#[test]
fn six_runs_of_one_step_make_what_one_run_makes() {
    let whole = TestBed::new();
    whole.run_ok(RunSpec::whole().column("y"));
    let one = whole.run_ok(RunSpec::whole());

    let steps = TestBed::new();
    steps.run_ok(RunSpec::whole().column("y"));
    let mut runs: Vec<EndedRun> = Vec::new();
    for world in World::required() {
        let asked = RunSpec::of(world..=world);
        let asked = match runs.last() {
            Some(last) => asked.based_on(last),
            None => asked,
        };
        runs.push(steps.run_ok(asked));
    }
    let made = runs.iter().flat_map(EndedRun::made).collect();
    assert_eq!(one.made(), made);
    let inputs = |ended: &EndedRun| {
        let stages = ended.stages.iter().map(|stage| (stage.name.clone(), stage.inputs.clone()));
        stages.collect::<Vec<_>>()
    };
    assert_eq!(inputs(&one), runs.iter().flat_map(inputs).collect::<Vec<_>>());
    let version = |bed: &TestBed| {
        let version = bed.home.registry.version(MODEL, 2).expect("version 2");
        (version.parts, version.verdict, version.semantic_version, version.metrics, version.aliases)
    };
    assert_eq!(version(&whole), version(&steps));
    assert_eq!((whole.champion(), steps.champion()), (Some(2), Some(2)));
}

// invariant: No model combines parts of different components, parameters or seeds.
#[test]
fn what_another_component_or_other_parameters_made_is_not_taken_over() {
    let bed = TestBed::new();
    let base = bed.run_ok(RunSpec::of(World::Ingestion..=World::Training));
    for (first, change) in [
        (World::Training, "transformation.component=other-transform"),
        (World::Training, "transformation.smooth=1"),
        (World::Evaluation, "transformation.component=other-transform"),
        (World::Evaluation, "training.component=other-train"),
        (World::Evaluation, "training.column=y"),
        (World::Evaluation, "seed=8"),
        (World::Evaluation, "as-of=\"2026-02-01T00:00:00Z\""),
        (World::Promotion, "training.column=y"),
    ] {
        let ended = bed.run(RunSpec::of(first..=World::Promotion).based_on(&base).set(change));
        assert!(matches!(ended.result, Err(RunError::OtherComponent { .. })), "{first}, {change}: {}", ended.error());
        assert_eq!((ended.calls.len(), ended.stages.len()), (0, 0), "{first}, {change}");
        assert_eq!(ended.record.status, RunStatus::Failed, "{first}, {change}");
    }
    // A component may change if it is not part of the model, or if its step is executed anew.
    for (first, change) in [
        (World::Training, "validation.component=other-validate"),
        (World::Training, "training.component=other-train"),
        (World::Transformation, "transformation.component=other-transform"),
        (World::Evaluation, "evaluation.component=other-evaluate"),
    ] {
        bed.run_ok(RunSpec::of(first..=World::Evaluation).based_on(&base).set(change));
    }
}

// invariant: as `what_another_component_or_other_parameters_made_is_not_taken_over`
#[test]
fn a_later_transformation_hides_an_earlier_training() {
    let bed = TestBed::new();
    let base = bed.run_ok(RunSpec::whole().column("y"));
    let transformed =
        bed.run_ok(RunSpec::of(World::Transformation..=World::Transformation).based_on(&base).column("y"));
    let ended = bed.run(RunSpec::of(World::Evaluation..=World::Promotion).based_on(&transformed).column("y"));
    assert!(
        matches!(ended.result, Err(RunError::MissingArtifact { ref stage, .. }) if *stage == World::Training.into()),
        "{}",
        ended.error()
    );
    assert_eq!(ended.calls, []);
    // A later validation hides nothing.
    let validated = bed.run_ok(RunSpec::of(World::Validation..=World::Validation).based_on(&base).column("y"));
    bed.run_ok(RunSpec::of(World::Evaluation..=World::Promotion).based_on(&validated).column("y"));
}
