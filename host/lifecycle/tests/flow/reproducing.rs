//! The reproduction of a run from its record.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_evaluation::report::Verdict;
use stagewright_lifecycle::reproduce::{
    FirstDifference, Part, Place, ReproduceEnvironment, ReproduceError, Reproduction, reproduce,
};
use stagewright_lifecycle::sandbox::{Cancel, DecisionInput, StageDecision};
use stagewright_manifest::{Ceilings, World};
use stagewright_store::{ArtifactKind, Digest, StageRecord};

use crate::fake::{Failure, Fake, Script};
use crate::test_bed::{EndedRun, RunSpec, TestBed, make_champion};

pub(crate) fn again(bed: &TestBed, script: Script) -> ReproduceEnvironment {
    let cancel = Cancel::default();
    let fake = Arc::new(Fake::new(script, cancel.clone()));
    ReproduceEnvironment {
        artifacts: bed.home.artifacts.clone(),
        sandbox: fake.clone(),
        decoder: Arc::new(stagewright_data::InProcess),
        observer: fake,
        workers: 3,
        cancel,
        ceilings: Ceilings::default(),
        sources: BTreeMap::new(),
    }
}

pub(crate) fn reproduced(bed: &TestBed, stages: &[StageRecord]) -> Reproduction {
    reproduce(stages, &again(bed, Script::default())).expect("everything is at hand")
}

fn difference(bed: &TestBed, stages: &[StageRecord]) -> FirstDifference {
    let result = reproduced(bed, stages);
    assert!(!result.identical);
    result.first_difference.expect("a difference")
}

/// Returns a home with a champion, and a run that was compared with it and is the champion since.
pub(crate) fn compared() -> (TestBed, EndedRun) {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole().column("y"));
    let ended = bed.run_ok(RunSpec::whole());
    assert_eq!(bed.champion(), Some(2));
    (bed, ended)
}

/// Returns the file of an artifact of a run.
fn file(bed: &TestBed, ended: &EndedRun, name: &str) -> PathBuf {
    let found = ended.stages.iter().flat_map(|stage| stage.outputs.iter().map(move |output| (stage, output)));
    let (_, output) =
        found.into_iter().find(|(stage, output)| format!("{}.{}", stage.name, output.name) == name).expect(name);
    bed.home.artifacts.path(output.kind, &output.digest)
}

/// Flips the lowest bit of a byte of a read-only file.
fn flip(path: &Path, offset: usize) {
    let mut bytes = std::fs::read(path).expect("a stored file");
    bytes[offset] ^= 1;
    std::fs::remove_file(path).expect("a stored file");
    std::fs::write(path, bytes).expect("room");
}

// invariant: Reproducing a run makes the same artifacts and changes nothing. A difference is named
// to the bit.
#[test]
fn a_run_whose_candidate_is_champion_since_is_reproduced_and_nothing_is_left_of_it() {
    let (bed, ended) = compared();
    let published = bed.published();
    let result = reproduced(&bed, &ended.stages);
    assert!(result.identical && result.first_difference.is_none(), "{result:?}");
    let steps: Vec<_> = result.steps.iter().map(|step| step.step.to_string()).collect();
    assert_eq!(steps, World::required().map(|world| world.to_string()).collect::<Vec<_>>());
    let outputs = ended.stages.iter().flat_map(|stage| &stage.outputs);
    let made = outputs.filter(|output| !output.name.ends_with("-component")).count();
    assert_eq!(result.steps.iter().map(|step| step.artifacts).sum::<usize>(), made);
    assert_eq!((bed.published(), bed.staged()), (published, Vec::new()));
    // The current champion does not matter.
    make_champion(&bed.home, 1);
    assert!(reproduced(&bed, &ended.stages).identical);
}

#[test]
fn a_run_that_works_on_another_is_reproduced_and_a_step_that_failed_is_left_out() {
    let bed = TestBed::new();
    let first = bed.run_ok(RunSpec::of(World::Ingestion..=World::Training));
    let second = bed.run_ok(RunSpec::of(World::Evaluation..=World::Promotion).based_on(&first));
    assert_eq!(reproduced(&bed, &second.stages).steps.len(), 2);
    let training = first.calls.iter().position(|call| call.export == "train.train").expect("a training");
    let script = Script { fails: Some((training, Failure::Trap)), ..Script::default() };
    let bed = TestBed::new();
    let failed = bed.run(RunSpec::whole().script(script));
    assert_eq!(failed.steps().last(), Some(&("training", "failed")));
    let result = reproduced(&bed, &failed.stages);
    assert!(result.identical);
    assert_eq!((result.steps.len(), result.skipped), (3, vec!["training".to_owned()]));
}

// invariant: as `a_run_whose_candidate_is_champion_since_is_reproduced_and_nothing_is_left_of_it`
#[test]
fn one_flipped_bit_of_a_component_an_input_or_an_output_is_named() {
    let blob = ArtifactKind::Blob;
    // A component.
    let (bed, ended) = compared();
    let component = ended.stages[1].digest;
    flip(&bed.home.artifacts.path(blob, &component), 3);
    let found = difference(&bed, &ended.stages);
    assert_eq!((found.part, &*found.artifact, found.step), (Part::Component, "validate", World::Validation.into()));
    assert_eq!(found.recorded, Some(component));
    assert!(found.found.is_some_and(|found| found != component));

    // An input that the run did not make: the model of the champion that it was compared with.
    let (bed, ended) = compared();
    let invocation = ended.summary.stages[4].invocation.as_ref().expect("an invocation");
    let model = invocation.inputs.iter().find(|input| input.role == "champion.model").expect("a champion").digest;
    flip(&bed.home.artifacts.path(blob, &model), 0);
    let found = difference(&bed, &ended.stages);
    assert_eq!((found.part, &*found.artifact, found.recorded), (Part::Input, "champion.model", Some(model)));
    assert_eq!(found.step, World::Evaluation.into());

    // An output that is a table: the error names column and row.
    let (bed, ended) = compared();
    let table = file(&bed, &ended, "ingestion.table");
    let bytes = std::fs::read(&table).expect("a table");
    let value = |row| {
        let table = bed.home.artifacts.open_table(&ended.made()["ingestion.table"]).expect("a table");
        let column = table.schema().index_of("z").expect("a column");
        let rows = table.read(row, 1, Some(&[column])).expect("a row");
        use arrow_array::cast::AsArray as _;
        rows.column(0).as_primitive::<arrow_array::types::Float64Type>().value(0)
    };
    let pair = [value(17).to_le_bytes(), value(18).to_le_bytes()].concat();
    let at = bytes.windows(16).position(|window| window == pair).expect("two values side by side");
    let original = value(17);
    flip(&table, at);
    let found = difference(&bed, &ended.stages);
    assert_eq!((found.part, &*found.artifact, found.is_damaged), (Part::Output, "ingestion.table", true));
    let Some(Place::Cell { column, row, recorded_value, found_value }) = found.place else { panic!("{found:?}") };
    assert_eq!((&*column, row), ("z", 17));
    assert!(recorded_value != found_value && found_value == original, "{recorded_value} {found_value}");

    // An output that is a blob, and one that is a document.
    let (bed, ended) = compared();
    flip(&file(&bed, &ended, "transformation.state"), 1);
    let found = difference(&bed, &ended.stages);
    assert_eq!((&*found.artifact, found.place), ("transformation.state", Some(Place::Byte { offset: 1 })));
    let (bed, ended) = compared();
    let decision = file(&bed, &ended, "promotion.decision");
    let text = std::fs::read_to_string(&decision).expect("a document");
    flip(&decision, text.find("better").expect("the policy"));
    let found = difference(&bed, &ended.stages);
    assert_eq!(&*found.artifact, "promotion.decision");
    let Some(Place::Json { path, recorded_value, found_value }) = found.place else { panic!("{found:?}") };
    assert_eq!((&*path, recorded_value, found_value), ("$.policy", "cetter".into(), "better".into()));
}

#[test]
fn a_step_that_makes_something_else_is_named_with_the_place() {
    let (bed, ended) = compared();
    let rejects = |_: &DecisionInput| StageDecision {
        approved: false,
        reasons: vec![("mood".to_owned(), false, "not today".to_owned())],
    };
    let script = Script { decides: Some(Arc::new(rejects)), ..Script::default() };
    let result = reproduce(&ended.stages, &again(&bed, script)).expect("everything is at hand");
    let found = result.first_difference.expect("a difference");
    assert_eq!((result.identical, result.steps.len(), found.is_damaged), (false, 5, false));
    assert_eq!((found.part, &*found.artifact), (Part::Output, "promotion.decision"));
    assert_eq!(found.recorded, Some(ended.made()["promotion.decision"]));
    let Some(Place::Json { path, .. }) = &found.place else { panic!("{found:?}") };
    assert!(path.starts_with("$.reasons["), "{path}");
    assert_eq!(ended.summary.decision.as_ref().map(|decision| decision.verdict), Some(Verdict::Approved));
    // The record of another table: both are there, and compared cell by cell.
    let mut stages = ended.stages.clone();
    let position = |stage: &StageRecord, name| stage.outputs.iter().position(|output| output.name == name).expect(name);
    let (train, test) = (position(&stages[2], "train"), position(&stages[2], "validation"));
    stages[2].outputs[train].digest = stages[2].outputs[test].digest;
    let found = difference(&bed, &stages);
    assert_eq!((&*found.artifact, found.recorded), ("transformation.train", Some(stages[2].outputs[test].digest)));
    assert!(matches!(&found.place, Some(Place::Cell { column, row: 0, .. }) if column == "id"), "{found:?}");
    // Only the digest is known of what is not stored.
    stages[2].outputs[train].digest = Digest::of(b"never");
    assert_eq!(difference(&bed, &stages).place, None);
    // An artifact that is not recorded, and the reverse.
    let mut stages = ended.stages.clone();
    let importance = position(&stages[3], "importance");
    stages[3].outputs[importance].name = "importances".to_owned();
    let found = difference(&bed, &stages);
    assert_eq!((&*found.artifact, found.found), ("training.importances", None));
    stages[3].outputs.remove(importance);
    let found = difference(&bed, &stages);
    assert_eq!((&*found.artifact, found.recorded), ("training.importance", None));
}

#[test]
fn what_cannot_be_executed_again_is_an_error_that_says_why() {
    let (bed, ended) = compared();
    let refused = |stages: &[StageRecord]| {
        let error = reproduce(stages, &again(&bed, Script::default())).expect_err("it cannot be executed");
        (error.to_string(), error)
    };
    assert!(matches!(refused(&[]).1, ReproduceError::Nothing));
    let changed = |change: &dyn Fn(&mut StageRecord)| {
        let mut stages = ended.stages.clone();
        change(&mut stages[4]);
        refused(&stages)
    };
    assert!(matches!(changed(&|stage| stage.invocation = None).1, ReproduceError::NoInvocation { .. }));
    let set = |pointer: &'static str, value: serde_json::Value| {
        changed(&|stage| {
            let invocation = stage.invocation.as_mut().expect("an invocation");
            *invocation.pointer_mut(pointer).expect(pointer) = value.clone();
        })
    };
    let message = set("/host", 99.into()).0;
    assert!(message.contains("host semantics 99"), "{message}");
    let message = set("/work/champion/guests/training/contract", "0.9.0".into()).0;
    assert!(message.contains("contract 0.9.0"), "{message}");
    assert!(matches!(set("/work", 1.into()).1, ReproduceError::Unreadable { .. }));
    assert!(matches!(set("/inputs/0/digest", Digest::of(b"x").to_string().into()).1, ReproduceError::NoInput { .. }));
    std::fs::remove_file(bed.home.artifacts.path(ArtifactKind::Blob, &ended.stages[5].digest)).expect("a component");
    let (message, error) = refused(&ended.stages);
    assert!(matches!(error, ReproduceError::NoComponent { .. }) && message.contains("`promote`"), "{message}");
}

#[test]
fn a_source_is_read_where_it_is_now_and_its_content_must_be_that_on_record() {
    let folder = tempfile::tempdir().expect("a folder");
    let (first, moved) = (folder.path().join("rows.csv"), folder.path().join("moved.csv"));
    std::fs::write(&first, "id,x,y,z,outcome\na,1,2,3,yes\n").expect("a file");
    let bed = TestBed::new();
    let uri = format!("sources.rows.uri=\"csv:{}\"", first.display());
    let ended = bed.run_ok(RunSpec::whole().set(&uri).set("ingestion.source=rows").set("ingestion.opens=true"));
    std::fs::rename(&first, &moved).expect("a file");
    let with = |source: &Path| {
        let sources = BTreeMap::from([("rows".to_owned(), source.to_owned())]);
        let again = ReproduceEnvironment { sources, ..again(&bed, Script::default()) };
        reproduce(&ended.stages, &again)
    };
    let gone = reproduce(&ended.stages, &again(&bed, Script::default())).expect_err("it is nowhere");
    assert!(matches!(gone, ReproduceError::NoSource { reason: None, .. }), "{gone}");
    let gone = with(&first).expect_err("it is not there");
    assert!(matches!(gone, ReproduceError::NoSource { reason: Some(_), .. }), "{gone}");
    assert!(with(&moved).expect("it is there").identical);
    flip(&moved, 20);
    let found = with(&moved).expect("it is there").first_difference.expect("another content");
    assert_eq!((found.part, &*found.artifact, found.step), (Part::Input, "source", World::Ingestion.into()));
    // A source whose content is an artifact needs no file.
    let staging = bed.home.artifacts.stage();
    let mut blob = staging.create_blob().expect("a blob");
    blob.write(b"id,x,y,z,outcome\na,1,2,3,yes\n").expect("room");
    blob.finish().expect("a blob");
    staging.publish().expect("room");
    assert!(reproduced(&bed, &ended.stages).identical);
}
