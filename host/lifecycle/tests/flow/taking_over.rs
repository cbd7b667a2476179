//! Runs that work on what other runs made.

use stagewright_lifecycle::RunError;
use stagewright_manifest::World;
use stagewright_store::RunStatus;

use crate::bed::{Asked, Bed, Ended, MODEL};

#[test]
fn six_runs_of_one_step_make_what_one_run_makes() {
    let whole = Bed::new();
    whole.done(Asked::whole().column("y"));
    let one = whole.done(Asked::whole());

    let steps = Bed::new();
    steps.done(Asked::whole().column("y"));
    let mut runs: Vec<Ended> = Vec::new();
    for world in World::required() {
        let asked = Asked::of(world..=world);
        let asked = match runs.last() {
            Some(last) => asked.upon(last),
            None => asked,
        };
        runs.push(steps.done(asked));
    }
    let made = runs.iter().flat_map(Ended::made).collect();
    assert_eq!(one.made(), made);
    let inputs = |ended: &Ended| {
        let stages = ended.stages.iter().map(|stage| (stage.name.clone(), stage.inputs.clone()));
        stages.collect::<Vec<_>>()
    };
    assert_eq!(inputs(&one), runs.iter().flat_map(inputs).collect::<Vec<_>>());
    let version = |bed: &Bed| {
        let version = bed.home.registry.version(MODEL, 2).expect("version 2");
        (version.parts, version.verdict, version.semantic_version, version.metrics, version.aliases)
    };
    assert_eq!(version(&whole), version(&steps));
    assert_eq!((whole.champion(), steps.champion()), (Some(2), Some(2)));
}

#[test]
fn what_another_component_or_other_parameters_made_is_not_taken_over() {
    let bed = Bed::new();
    let base = bed.done(Asked::of(World::Ingestion..=World::Training));
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
        let ended = bed.run(Asked::of(first..=World::Promotion).upon(&base).set(change));
        assert!(matches!(ended.result, Err(RunError::OtherComponent { .. })), "{first}, {change}: {}", ended.error());
        assert_eq!((ended.calls.len(), ended.stages.len()), (0, 0), "{first}, {change}");
        assert_eq!(ended.record.status, RunStatus::Failed, "{first}, {change}");
    }
    // A step that makes no part of the model may have another component, and so may a step that
    // runs anew.
    for (first, change) in [
        (World::Training, "validation.component=other-validate"),
        (World::Training, "training.component=other-train"),
        (World::Transformation, "transformation.component=other-transform"),
        (World::Evaluation, "evaluation.component=other-evaluate"),
    ] {
        bed.done(Asked::of(first..=World::Evaluation).upon(&base).set(change));
    }
}

#[test]
fn a_later_transformation_hides_an_earlier_training() {
    let bed = Bed::new();
    let base = bed.done(Asked::whole().column("y"));
    let transformed = bed.done(Asked::of(World::Transformation..=World::Transformation).upon(&base).column("y"));
    let ended = bed.run(Asked::of(World::Evaluation..=World::Promotion).upon(&transformed).column("y"));
    assert!(
        matches!(ended.result, Err(RunError::MissingArtifact { ref stage, .. }) if *stage == World::Training.into()),
        "{}",
        ended.error()
    );
    assert_eq!(ended.calls, []);
    // A validation that comes later hides nothing.
    let validated = bed.done(Asked::of(World::Validation..=World::Validation).upon(&base).column("y"));
    bed.done(Asked::of(World::Evaluation..=World::Promotion).upon(&validated).column("y"));
}
