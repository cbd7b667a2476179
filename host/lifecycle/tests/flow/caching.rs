//! Steps with a known key are not executed again; a step whose key changed is.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use stagewright_lifecycle::{Reuse, RunError};
use stagewright_manifest::World;
use stagewright_store::{ArtifactKind, RunStatus};

use World::{Evaluation, Ingestion, Promotion, Training, Transformation, Validation};

use crate::fake::{Failure, Script};
use crate::test_bed::{EndedRun, MODEL, RunSpec, TestBed};

/// Returns a home with a champion by another column, and a run whose candidate was rejected beside
/// it.
fn rejected() -> (TestBed, EndedRun) {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole());
    let ended = bed.run_ok(RunSpec::whole().column("y"));
    assert_eq!(ended.verdict(), Some("rejected"));
    (bed, ended)
}

// invariant: An unchanged run executes nothing and does not judge the champion again. A change
// executes only the steps that it affects.
#[test]
fn an_unchanged_second_run_executes_nothing_and_the_champion_is_not_judged_again() {
    let bed = TestBed::new();
    let first = bed.run_ok(RunSpec::whole());
    assert_eq!((first.summary.executed, first.summary.cached), (6, 0));
    let second = bed.run_ok(RunSpec::whole());
    assert_eq!((second.summary.executed, second.summary.cached), (0, 4));
    assert_eq!(second.calls, [], "no component is called");
    assert!(second.summary.is_champion_already && second.summary.decision.is_none());
    assert_eq!(second.record.status, RunStatus::Finished);
    // The metrics of the champion on the same rows are reported again.
    assert_eq!((&second.summary.metrics, second.results()), (&first.summary.metrics, first.results()));
    assert_eq!(second.summary.evaluation, first.summary.evaluation);
    let steps: Vec<_> = ["ingestion", "validation", "transformation", "training"].map(|name| (name, "cached")).to_vec();
    assert_eq!(second.steps(), steps);
    for (made, before) in second.stages.iter().zip(&first.stages) {
        assert_eq!(made.cached_from.as_ref(), Some(&first.id));
        assert_eq!((&made.outputs, &made.inputs, &made.key), (&before.outputs, &before.inputs, &before.key));
        assert_eq!((&made.metrics, &made.logs, &made.walls), (&before.metrics, &before.logs, &before.walls));
    }
    assert_eq!((bed.versions(), bed.champion()), (1, Some(1)));
    assert_eq!(bed.home.registry.verdicts(MODEL, 1).expect("verdicts").len(), 1);
    // A result that was reused twice names the run that executed the step.
    let third = bed.run_ok(RunSpec::whole());
    assert!(third.stages.iter().all(|stage| stage.cached_from.as_ref() == Some(&first.id)));
}

// invariant: as `a_result_whose_artifact_is_gone_or_cut_is_not_taken_over`
#[test]
fn a_run_that_is_rejected_again_executes_nothing_and_says_the_same() {
    let (bed, first) = rejected();
    let again = bed.run_ok(RunSpec::whole().column("y"));
    assert_eq!((again.summary.executed, again.summary.cached), (0, 6));
    assert_eq!(again.exports(), ["resolve.restore"], "the champion is admitted anew, and not asked");
    assert_eq!(again.made(), first.made());
    assert_eq!(again.summary.metrics, first.summary.metrics);
    assert_eq!(again.summary.evaluation, first.summary.evaluation);
    assert_eq!(again.summary.decision, first.summary.decision);
    assert!(first.results().contains_key("roc_auc"));
    assert_eq!(again.results(), first.results(), "a run has its metrics, whoever measured them");
}

// invariant: as `an_unchanged_second_run_executes_nothing_and_the_champion_is_not_judged_again`
#[test]
fn what_changed_is_executed_with_what_follows_from_it_and_nothing_else() {
    for (change, expected) in [
        ("training.column=z", vec![Training, Evaluation, Promotion]),
        ("seed=8", World::required().collect()),
        ("split.seed=2", vec![Transformation, Training, Evaluation, Promotion]),
        // It makes the same features, but it is another model.
        ("transformation.smooth=1", vec![Transformation, Evaluation, Promotion]),
        ("validation.strict=true", vec![Validation]),
        ("gates.margin=0.02", vec![Evaluation, Promotion]),
        ("promotion.budget=3", vec![Promotion]),
        ("ingestion.limits.memory=\"512 MiB\"", vec![Ingestion]),
        ("training.limits.cpu=\"7 s\"", vec![]),
        ("training.limits.wall=\"7 s\"", vec![]),
        ("training.limits.output=\"7 MiB\"", vec![]),
        ("workers=2", vec![]),
        ("experiment=other", vec![]),
    ] {
        let (bed, _) = rejected();
        let ended = bed.run_ok(RunSpec::whole().column("y").set(change));
        assert_eq!(ended.executed(), expected, "{change}");
        assert_eq!(ended.summary.cached, 6 - expected.len(), "{change}");
    }
}

// invariant: as `an_unchanged_second_run_executes_nothing_and_the_champion_is_not_judged_again`
#[test]
fn one_byte_of_a_component_has_its_step_executed_and_nothing_after_it_that_does_not_read_another_output() {
    for (world, expected) in [
        (Ingestion, vec![Ingestion]),
        (Validation, vec![Validation]),
        // The evaluation calls these two, so another model is evaluated.
        (Transformation, vec![Transformation, Evaluation, Promotion]),
        (Training, vec![Training, Evaluation, Promotion]),
        (Evaluation, vec![Evaluation, Promotion]),
        (Promotion, vec![Promotion]),
    ] {
        let (bed, first) = rejected();
        let ended = bed.run_ok(RunSpec::whole().column("y").other_code(world));
        assert_eq!(ended.executed(), expected, "{world}");
        if world == Transformation {
            // A model is kept with the components of its own run.
            let kept = |ended: &EndedRun| ended.made()["training.transformation-component"];
            assert_ne!(kept(&ended), kept(&first));
            bed.home.artifacts.open_blob(&kept(&ended)).expect("it is published");
        }
    }
}

#[test]
fn a_run_of_some_steps_takes_over_what_a_whole_run_did() {
    let (bed, whole) = rejected();
    let base = bed.run_ok(RunSpec::of(Ingestion..=Training).column("y"));
    assert_eq!(base.executed(), []);
    let evaluated = bed.run_ok(RunSpec::of(Evaluation..=Promotion).column("y").based_on(&base));
    assert_eq!((evaluated.executed(), evaluated.verdict()), (vec![], Some("rejected")));
    assert_eq!(evaluated.made()["evaluation.evaluation"], whole.made()["evaluation.evaluation"]);
}

#[test]
fn steps_keep_no_cache_where_the_manifest_or_the_command_says_so() {
    let (bed, first) = rejected();
    let run = |asked: RunSpec| {
        let ended = bed.run_ok(asked.column("y"));
        assert_eq!(ended.made(), first.made());
        ended.executed()
    };
    assert_eq!(run(RunSpec::whole().fresh()).len(), 6);
    assert_eq!(run(RunSpec::whole().set("transformation.cache=false")), [Transformation]);
    let refresh = Reuse { refresh: [Validation.into(), Training.into()].into(), ..Reuse::default() };
    assert_eq!(run(RunSpec::whole().reuse(refresh)), [Validation, Training]);
    assert_eq!(run(RunSpec::whole()), []);
}

#[test]
fn data_that_failed_a_check_is_refused_by_the_findings_on_record() {
    let bed = TestBed::new();
    let asked = || RunSpec::whole().set("ingestion.columns=[\"id\", \"x\", \"y\", \"outcome\"]");
    let first = bed.run(asked());
    assert!(matches!(first.result, Err(RunError::Unfit { .. })), "{}", first.error());
    let second = bed.run(asked());
    assert_eq!((second.error(), second.executed()), (first.error(), vec![]));
}

#[test]
fn what_failed_is_executed_again_and_what_came_to_its_end_before_it_is_not() {
    let twin = TestBed::new();
    let bed = TestBed::new();
    twin.run_ok(RunSpec::whole());
    bed.run_ok(RunSpec::whole());
    // This is the call that trains. The bytes of stored components are not read again.
    let whole = twin.run_ok(RunSpec::whole().column("y").set("split.seed=3").fresh());
    let place = whole.calls.iter().position(|call| call.export == "train.train").expect("a training");
    let script = Script { fails: Some((place, Failure::Trap)), ..Script::default() };
    let failed = bed.run(RunSpec::whole().column("y").set("split.seed=3").script(script));
    assert!(failed.result.is_err());
    let again = bed.run_ok(RunSpec::whole().column("y").set("split.seed=3"));
    assert_eq!(again.executed(), [Training, Evaluation, Promotion]);
}

// invariant: A cached result is complete and indistinguishable from an executed one.
#[test]
fn a_result_whose_artifact_is_gone_or_cut_is_not_taken_over() {
    let artifacts = [
        (Ingestion, "table", ArtifactKind::Table),
        (Training, "model", ArtifactKind::Blob),
        (Ingestion, "signature", ArtifactKind::Document),
    ];
    for (maker, name, kind) in artifacts {
        for cut in [false, true] {
            let (bed, first) = rejected();
            let file = bed.home.artifacts.path(kind, &first.made()[&format!("{maker}.{name}")]);
            let length = std::fs::metadata(&file).expect("an artifact").len();
            // Published files are read-only, but a disk may still lose them.
            let bytes = std::fs::read(&file).expect("an artifact");
            std::fs::remove_file(&file).expect("an artifact");
            if cut {
                std::fs::write(&file, &bytes[..bytes.len() - 1]).expect("a file");
            }
            let ended = bed.run_ok(RunSpec::whole().column("y"));
            assert!(ended.executed().contains(&maker), "{kind} {cut}: {:?}", ended.executed());
            assert_eq!(ended.made(), first.made(), "{kind} {cut}");
            assert_eq!(std::fs::metadata(&file).expect("an artifact").len(), length, "it is whole again");
        }
    }
}

#[test]
fn a_run_that_was_deleted_is_nobodys_cache() {
    let (bed, first) = rejected();
    bed.home.registry.delete_run(&first.id, true).expect("a run that ended");
    let again = bed.run_ok(RunSpec::whole().column("y"));
    assert_eq!(again.executed(), [Training, Evaluation, Promotion], "the champion's run did the rest");
    bed.home.registry.delete_run(&first.id, false).expect("a run that ended");
}

/// Returns a run with a source that it opens.
fn with_source(file: &Path) -> RunSpec {
    let uri = format!("sources.rows.uri=\"csv:{}\"", file.display());
    RunSpec::whole().set(&uri).set("ingestion.source=rows").set("ingestion.opens=true")
}

// invariant: as `an_unchanged_second_run_executes_nothing_and_the_champion_is_not_judged_again`
#[test]
fn a_source_counts_by_its_content_and_a_touch_of_it_by_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("rows.csv");
    let text = |x: u32| format!("id,x,y,z,outcome\na,{x},2,3,yes\n");
    std::fs::write(&file, text(1)).expect("a file");
    let bed = TestBed::new();
    let executed = |file: &Path| bed.run_ok(with_source(file)).executed();
    assert_eq!(executed(&file).len(), 6);
    assert_eq!(executed(&file), []);
    std::fs::File::open(&file).and_then(|file| file.set_modified(std::time::SystemTime::now())).expect("a time");
    assert_eq!(executed(&file), [], "a touch changes nothing");
    std::fs::write(&file, text(2)).expect("a file");
    assert_eq!(executed(&file), [Ingestion], "the made-up stage makes the same table of both");
    std::fs::write(&file, text(1)).expect("a file");
    assert_eq!(executed(&file), [], "the content of before");
    let other = folder.path().join("other.csv");
    std::fs::rename(&file, &other).expect("a file");
    assert_eq!(executed(&other), [], "its place is no part of it");
}

#[test]
fn an_imported_split_counts_by_its_content_and_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let bed = TestBed::new();
    let plain = bed.run_ok(RunSpec::whole());
    let split = bed.home.artifacts.open_document(&plain.made()["transformation.split"], "text/csv").expect("a split");
    let path = folder.path().join("split.csv");
    std::fs::write(&path, split.bytes()).expect("a file");
    let asked = || RunSpec::whole().set(&format!("split.file=\"{}\"", path.display()));
    let first = bed.run_ok(asked());
    assert_eq!(first.executed(), [Transformation], "the split of before, said otherwise, makes the same");
    let input = first.stages[2].inputs.iter().find(|input| input.name == "split-file").expect("the split").digest;
    std::fs::remove_file(bed.home.artifacts.path(ArtifactKind::Blob, &input)).expect("an artifact");
    assert_eq!(bed.run_ok(asked()).executed(), []);
    bed.home.artifacts.open_blob(&input).expect("what a record names is there");
}

// invariant: Concurrent runs that need the same step execute it once.
#[test]
fn runs_that_want_the_same_at_once_compute_it_once() {
    const RUNS: usize = 6;
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole());
    let (executed, began) = (AtomicUsize::new(0), std::sync::Barrier::new(RUNS));
    std::thread::scope(|scope| {
        for _ in 0..RUNS {
            scope.spawn(|| {
                began.wait();
                let ended = bed.run_ok(RunSpec::of(Ingestion..=Training).column("y").set("split.seed=9"));
                executed.fetch_add(ended.summary.executed, Ordering::Relaxed);
            });
        }
    });
    // Only transformation and training are executed: the first run did the rest.
    assert_eq!(executed.into_inner(), 2);
}

#[test]
fn a_run_that_is_resumed_takes_over_its_own_steps_even_without_a_cache() {
    let bed = TestBed::new();
    let whole = TestBed::new().run_ok(RunSpec::whole());
    let place = whole.calls.iter().position(|call| call.export == "evaluate.evaluate").expect("an evaluation");
    let asked = || RunSpec::whole().set("transformation.cache=false");
    let script = Script { fails: Some((place, Failure::Trap)), ..Script::default() };
    let failed = bed.run(asked().script(script));
    assert!(failed.result.is_err());
    assert_eq!(bed.versions(), 1);
    let resumed = Reuse { nothing: true, resumed: Some(failed.id.clone()), ..Reuse::default() };
    let ended = bed.run_ok(asked().reuse(resumed));
    assert_eq!(ended.executed(), [Evaluation, Promotion]);
    assert_eq!(ended.made(), whole.made(), "the same as without an interruption");
    assert_eq!((ended.verdict(), bed.versions(), bed.champion()), (Some("approved"), 1, Some(1)));
}

#[test]
fn a_key_is_recorded_and_reported_and_equal_keys_mean_equal_outputs() {
    let (first, second) = (TestBed::new().run_ok(RunSpec::whole()), TestBed::new().run_ok(RunSpec::whole().workers(3)));
    for ((one, other), told) in first.stages.iter().zip(&second.stages).zip(&first.summary.stages) {
        assert!(one.key.is_some() && one.key == other.key, "{}", one.name);
        assert_eq!(one.outputs, other.outputs);
        assert_eq!(told.key, one.key.map(|key| key.to_string()));
        assert!(!told.cached && told.cached_from.is_none());
    }
    let keys: std::collections::BTreeSet<_> = first.stages.iter().map(|stage| stage.key).collect();
    assert_eq!(keys.len(), 6);
}

#[test]
fn a_stage_that_a_host_failed_is_tried_again_under_the_same_key() {
    let bed = TestBed::new();
    let whole = TestBed::new().run_ok(RunSpec::whole());
    let place = whole.calls.iter().position(|call| call.export == "train.train").expect("a training");
    let script = Script { fails: Some((place, Failure::Host)), ..Script::default() };
    let asked = RunSpec::whole().set("training.retry.attempts=2").set("training.retry.pause=1ms");
    let ended = bed.run_ok(asked.script(script));
    let training: Vec<_> = ended.steps().into_iter().filter(|(name, _)| *name == "training").collect();
    assert_eq!(training, [("training", "failed"), ("training", "finished")]);
    assert_eq!(ended.made(), whole.made());
}

#[test]
fn a_step_that_had_fewer_walls_than_must_stand_is_executed_again() {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole());
    let walled = Reuse { walls: ["wasm"].into(), ..Reuse::default() };
    let ended = bed.run_ok(RunSpec::whole().reuse(walled));
    assert_eq!(ended.summary.cached, 0, "nothing stood around what the first run did");
    assert_eq!(bed.run_ok(RunSpec::whole()).summary.executed, 0);
}

#[test]
fn a_run_that_goes_on_with_a_resumed_one_takes_over_what_the_first_did() {
    let bed = TestBed::new();
    let first = bed.run_ok(RunSpec::of(Ingestion..=Training).set("transformation.cache=false"));
    let resumes = |run: &EndedRun| Reuse { nothing: true, resumed: Some(run.id.clone()), ..Reuse::default() };
    // It ends before the transformation.
    let second = bed.run_ok(RunSpec::of(Ingestion..=Validation).reuse(resumes(&first)));
    assert_eq!(second.executed(), []);
    let third = bed.run_ok(RunSpec::whole().set("transformation.cache=false").reuse(resumes(&second)));
    assert_eq!(third.executed(), [Evaluation, Promotion]);
}
