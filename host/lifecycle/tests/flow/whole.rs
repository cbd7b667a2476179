//! A whole run that succeeds.

use std::sync::Arc;

use arrow_array::{Float64Array, RecordBatch};
use stagewright_evaluation::report::{Check, Severity};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::{LoadedModel, ROWS_PER_LIMIT};
use stagewright_lifecycle::sandbox::{Cancel, Level, RowStream, Tracker};
use stagewright_manifest::World;
use stagewright_store::RunStatus;

use crate::fake::{Fake, Script};
use crate::test_bed::{MODEL, RunSpec, TestBed};

struct Silent;

impl Tracker for Silent {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: stagewright_evaluation::figure::Figure) {}
}

#[test]
fn a_whole_run_registers_judges_and_promotes() {
    let bed = TestBed::new();
    let first = bed.run_ok(RunSpec::whole());
    assert_eq!(
        first.exports(),
        [
            "ingest.ingest",
            "resolve.bytes",
            "validate.validate",
            "resolve.bytes",
            "transform.fit",
            "transformer.transform",
            "transform.rebalance",
            "transformer.transform",
            "resolve.bytes",
            "train.train",
            "predictor.importance",
            "resolve.bytes",
            "predictor.predict",
            "transformer.transform",
            "predictor.predict",
            "evaluate.evaluate",
            "resolve.bytes",
            "decide.decide",
            "resolve.bytes"
        ]
    );
    let all: Vec<_> = World::required().map(|world| (world.as_str(), "finished")).collect();
    assert_eq!(first.steps(), all);
    assert_eq!(first.record.status, RunStatus::Finished);
    assert!(first.record.metrics.iter().any(|metric| metric.name == "training.loss"), "{:?}", first.record.metrics);
    let metrics = &first.summary.metrics.as_ref().expect("metrics").candidate;
    assert_eq!(metrics.get("roc_auc"), Some(1.0), "`x` tells the outcome");
    assert_eq!(first.verdict(), Some("approved"));
    assert_eq!(bed.champion(), Some(1));

    // A worse model is registered, and no more.
    let second = bed.run_ok(RunSpec::whole().column("y"));
    assert_eq!(second.verdict(), Some("rejected"));
    assert_eq!(second.summary.decision.as_ref().expect("a decision").judged_against, Some(1));
    let model = second.summary.model.as_ref().expect("a version");
    assert_eq!((model.version, model.is_new, model.aliases.len()), (2, true, 0));
    assert_eq!(bed.champion(), Some(1));
    assert_eq!(second.count("resolve.restore"), 2, "the champion's components are made ready again");

    // The champion predicts with what the registry has of it.
    let contents = bed.home.registry.version(MODEL, 1).expect("version 1").contents;
    let model: RegisteredModel = serde_json::from_value(contents).expect("a model");
    let fake = Fake::new(Script::default(), Cancel::default());
    let limits = [World::Transformation, World::Training].map(|world| (world, world.default_limits()));
    let ready = LoadedModel::new(&model, &fake, &bed.home.artifacts, limits, Arc::new(Silent), 1, &Cancel::default());
    let numbers = |number: f64| Arc::new(Float64Array::from(vec![number])) as arrow_array::ArrayRef;
    let columns = vec![numbers(0.25), numbers(0.5), numbers(0.75)];
    let row = RecordBatch::try_new(model.features().to_arrow(), columns).expect("the features of a row");
    let mut predicted = Vec::new();
    let mut take = |numbers: Vec<f64>| {
        predicted.push(numbers);
        Ok(())
    };
    let ready = ready.expect("a whole version");
    ready.predict_stream(&fake, &mut Repeated { row, times: 2 }, &mut take).expect("predictions");
    assert_eq!(predicted, [[0.25], [0.25]]);

    // The limits of a long stream count for a part of it: the fake checks that. Counts of cells are
    // of all rows.
    let numbers = Arc::new(Float64Array::from(vec![0.5; ROWS_PER_LIMIT as usize / 2])) as arrow_array::ArrayRef;
    let row = RecordBatch::try_new(model.features().to_arrow(), vec![numbers; 3]).expect("features");
    let mut rows = 0;
    let mut count = |numbers: Vec<f64>| {
        rows += numbers.len() as u64;
        Ok(())
    };
    ready.predict_stream(&fake, &mut Repeated { row, times: 7 }, &mut count).expect("predictions");
    assert_eq!(rows, 7 * ROWS_PER_LIMIT / 2);
    assert_eq!(ready.unseen().map(|unseen| unseen[0].1), Some(2 + 7));
}

/// Gives the same rows several times.
struct Repeated {
    row: RecordBatch,
    times: usize,
}

impl RowStream for Repeated {
    fn next(&mut self) -> Result<Option<RecordBatch>, StageFault> {
        let left = self.times.checked_sub(1);
        Ok(left.map(|left| {
            self.times = left;
            self.row.clone()
        }))
    }

    fn stopper(&self) -> Box<dyn Fn() + Send + Sync> {
        Box::new(|| {})
    }
}

// invariant: The host calls no component of a step that was not requested.
#[test]
fn no_call_is_made_of_a_step_that_was_not_asked_for() {
    /// Returns the world that an export belongs to; `None` for exports of models, which several
    /// steps call.
    fn owner(export: &str) -> Option<World> {
        Some(match export {
            "ingest.ingest" => World::Ingestion,
            "validate.validate" => World::Validation,
            "transform.fit" | "transform.rebalance" => World::Transformation,
            "train.train" | "predictor.importance" => World::Training,
            "evaluate.evaluate" => World::Evaluation,
            "decide.decide" => World::Promotion,
            _ => return None,
        })
    }
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole());
    let whole = bed.run_ok(RunSpec::whole().column("y"));
    for (first, start) in World::required().enumerate() {
        for end in World::required().skip(first) {
            let ended = bed.run_ok(RunSpec::of(start..=end).based_on(&whole).column("y").fresh());
            let wanted: Vec<World> = World::required().filter(|world| (start..=end).contains(world)).collect();
            let recorded: Vec<&str> = ended.stages.iter().map(|stage| stage.name.as_str()).collect();
            assert_eq!(recorded, wanted.iter().map(|world| world.as_str()).collect::<Vec<_>>(), "{start} to {end}");
            let mut called: Vec<World> = ended.calls.iter().filter_map(|call| owner(call.export)).collect();
            called.dedup();
            assert_eq!(called, wanted, "{start} to {end}");
            assert!(ended.calls.iter().all(|call| call.step.is_some_and(|step| wanted.contains(&step))));
        }
    }
}

// invariant: Only ingestion, preparation and validation see identifiers, and no component that
// predicts sees the target.
#[test]
fn no_stage_is_shown_names_of_rows_and_only_those_that_learn_or_measure_the_outcome() {
    let bed = TestBed::new();
    bed.run_ok(RunSpec::whole());
    let ended = bed.run_ok(RunSpec::whole().column("y").fresh());
    for call in &ended.calls {
        let shows = |name: &str| call.columns.iter().any(|column| column == name);
        let (names, outcome) = match call.export {
            "validate.validate" => (true, true),
            "transform.fit" | "transform.rebalance" | "train.train" | "evaluate.evaluate" => (false, true),
            _ => (false, false),
        };
        assert_eq!((shows("id"), shows("outcome")), (names, outcome), "{call:?}");
    }
}

// invariant: as `artifacts_do_not_depend_on_workers_or_processes`
#[test]
fn results_do_not_depend_on_workers() {
    let runs: Vec<_> = [1, 2, 7, 1000]
        .into_iter()
        .map(|workers| {
            let bed = TestBed::new();
            bed.run_ok(RunSpec::whole().workers(workers));
            let ended = bed.run_ok(RunSpec::whole().column("y").workers(workers));
            (workers, ended.made(), bed.home.registry.version(MODEL, 2).expect("version 2").parts)
        })
        .collect();
    for (workers, made, parts) in &runs[1..] {
        assert_eq!((made, parts), (&runs[0].1, &runs[0].2), "{workers} workers");
    }
}

/// Returns a check that failed.
fn failed_check() -> Check {
    Check {
        name: "range".to_owned(),
        column: Some("x".to_owned()),
        passed: false,
        severity: Severity::Error,
        observed: "1 value above 1".to_owned(),
        expected: "at most 1".to_owned(),
        failures: 1,
        examples: Vec::new(),
    }
}

// invariant: as `a_column_of_nulls_fails_validation_and_nothing_is_trained`
#[test]
fn data_that_failed_a_check_is_not_learnt_from() {
    let by_component = RunSpec::whole().script(Script { finds: vec![failed_check()], ..Script::default() });
    // The component reports nothing; the host finds that a declared column is missing.
    let by_host = RunSpec::whole().set("ingestion.columns=[\"id\", \"x\", \"y\", \"outcome\"]");
    for asked in [by_component, by_host] {
        let bed = TestBed::new();
        let ended = bed.run(asked);
        assert!(matches!(ended.result, Err(RunError::Unfit { .. })), "{}", ended.error());
        assert_eq!(ended.steps(), [("ingestion", "finished"), ("validation", "finished")]);
        assert!(ended.made().contains_key("validation.findings"), "the findings are there to be read");
        assert_eq!(ended.exports(), ["ingest.ingest", "resolve.bytes", "validate.validate", "resolve.bytes"]);
        assert_eq!(ended.record.status, RunStatus::Failed);
        // A later run does not train on it either.
        for first in [World::Transformation, World::Training, World::Evaluation, World::Promotion] {
            let later = bed.run(RunSpec::of(first..=World::Promotion).based_on(&ended));
            assert!(matches!(later.result, Err(RunError::Unfit { .. })), "{first}: {}", later.error());
            assert_eq!((later.calls.len(), later.stages.len()), (0, 0), "{first}");
        }
        assert_eq!(bed.versions(), 0);
    }
}

// invariant: as `a_column_of_nulls_fails_validation_and_nothing_is_trained`
#[test]
fn data_that_nobody_checked_is_not_learnt_from() {
    let bed = TestBed::new();
    let ingested = bed.run_ok(RunSpec::of(World::Ingestion..=World::Ingestion));
    let ended = bed.run(RunSpec::of(World::Transformation..=World::Promotion).based_on(&ingested));
    assert!(
        matches!(ended.result, Err(RunError::MissingArtifact { ref stage, .. }) if *stage == World::Validation.into()),
        "{}",
        ended.error()
    );
    assert_eq!(ended.calls, []);
}
