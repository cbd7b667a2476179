//! Answers that depend on something else than their row, and elapsed time that is not a stage's
//! own.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{ArrayRef, BooleanArray, DictionaryArray, Float64Array, RecordBatch, StringArray};
use misbehave::{Export, Impurity, Misdeed};
use stagewright_data::Task;
use stagewright_hostile::{Attempt, Ended, Workshop};
use stagewright_lifecycle::sandbox::{
    Cancel, Level, Meter, ModelParts, ModelRunner as _, Shelf, StageContext, Tracker, View,
};
use stagewright_manifest::World;
use stagewright_store::{Blob, DataType, Field, Schema, Table};

use crate::misdeeds::{attempt, fault, nothing_is_visible};
use crate::plans::place;
use crate::specials::well;

/// Row 26: whatever else an answer depends on, the error names the export and a row, and nothing of
/// the stage is kept.
pub(crate) fn impure(workshop: &Workshop, export: Export) -> usize {
    let asked = if export == Export::Predict { "predictor.predict" } else { "transformer.transform" };
    for impurity in Impurity::ALL {
        let what = format!("`{}` in `{}`", impurity.name(), export.name());
        let parameters = [format!("impurity={}", impurity.name())];
        let ended = attempt(workshop, Misdeed::Impure, export, &[], &parameters);
        fault(&what, "contract", &[asked, "row ", "when asked again", "on its row alone"], &ended);
        nothing_is_visible(&what, &ended);
        // A prediction fails where it is first used: in the transformation's repeated sample, or in
        // the evaluation.
        let failed = ended.record.last().map(|stage| stage.name.as_str());
        let late =
            export == Export::Predict || (export, *impurity) == (Export::TransformServed, Impurity::LargeBatches);
        assert_eq!(failed, Some(if late { "evaluation" } else { "transformation" }), "{what}");
    }
    workshop.next_run_is_well(place(export).1);
    Impurity::ALL.len()
}

struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: stagewright_evaluation::figure::Figure) {}
}

fn context(workshop: &Workshop, world: World, workers: usize) -> Arc<StageContext> {
    Arc::new(StageContext {
        world,
        component: workshop.component(world),
        parameters: "{}".into(),
        seed: 7,
        roles: HashMap::new(),
        as_of: 0,
        limits: world.default_limits(),
        staging: None,
        meter: Arc::new(Meter::default()),
        tracker: Arc::new(Nobody),
        workers,
        cancel: Cancel::default(),
        shelf: Shelf::default(),
    })
}

/// Returns a table of several chunks with the features of the suite's table.
fn long_table(workshop: &Workshop) -> Table {
    let field = |name: &str, data_type| Field::new(name, data_type).with_nullable(false);
    let fields = vec![
        field("x", DataType::Float64),
        field("y", DataType::Float64),
        field("plan", DataType::Categorical),
        field("note", DataType::Utf8),
        field("flag", DataType::Boolean),
    ];
    let schema = Schema::new(fields).expect("a schema");
    let rows = 3 * schema.chunk_rows() + 100;
    let numbers = || Arc::new(Float64Array::from_iter_values((0..rows).map(|row| (row % 100) as f64 / 100.0)));
    let plans: DictionaryArray<Int32Type> = (0..rows).map(|row| Some(["basic", "plus"][row % 2])).collect();
    let columns: Vec<ArrayRef> = vec![
        numbers(),
        numbers(),
        Arc::new(plans),
        Arc::new(StringArray::from_iter_values((0..rows).map(|_| "note"))),
        Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0)))),
    ];
    let batch = RecordBatch::try_new(schema.to_arrow(), columns).expect("a batch");
    let mut writer = workshop.home().artifacts.stage().create_table(&schema).expect("a table");
    writer.write(&batch).expect("rows");
    writer.finish().expect("a table")
}

/// Returns a state or a model with orders.
fn orders(workshop: &Workshop, export: Export, impurity: Option<Impurity>) -> Blob {
    let json = impurity.map_or_else(
        || "{}".to_owned(),
        |impurity| {
            let misdeed = Misdeed::Impure.name();
            format!(r#"{{"misdeed":"{misdeed}","export":"{}","impurity":"{}"}}"#, export.name(), impurity.name())
        },
    );
    let mut writer = workshop.home().artifacts.stage().create_blob().expect("a blob");
    writer.write(json.as_bytes()).expect("bytes");
    writer.finish().expect("a blob")
}

/// Row 26: effects that a sample would miss do not depend on the number of workers. A component
/// that counts its calls starts anew with every chunk.
pub(crate) fn workers(workshop: &Workshop) -> usize {
    let rows = View::whole(long_table(workshop));
    let runtime = workshop.runtime();
    let kept =
        [Impurity::TablePosition, Impurity::Calls, Impurity::FirstCall, Impurity::RowBefore, Impurity::TimeOfDay];
    for impurity in kept {
        let transformed = |workers: usize| {
            let mut bits = Vec::new();
            let context = context(workshop, World::Transformation, workers);
            let state = orders(workshop, Export::Transform, Some(impurity));
            let done = runtime.transform(context, &state, &rows, &mut |_, _, batch| {
                bits.extend(batch.column(0).as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits()));
                Ok(())
            });
            done.unwrap_or_else(|fault| panic!("{fault}"));
            bits
        };
        let predicted = |workers: usize| {
            let parts = ModelParts {
                transformation: context(workshop, World::Transformation, workers),
                state: orders(workshop, Export::Transform, None),
                training: context(workshop, World::Training, workers),
                model: orders(workshop, Export::Predict, Some(impurity)),
                features: rows.schema.clone(),
                task: Task::Binary { negative: "no".into(), positive: "yes".into() },
                importance: Vec::new(),
            };
            let scores = runtime.predict(&parts, &rows).unwrap_or_else(|fault| panic!("{fault}"));
            scores.into_iter().map(f64::to_bits).collect::<Vec<_>>()
        };
        for answers in [&transformed as &dyn Fn(usize) -> Vec<u64>, &predicted] {
            let one = answers(1);
            assert_eq!(one.len() as u64, rows.rows());
            for workers in [2, 3, 5] {
                assert!(answers(workers) == one, "`{}` differs with {workers} workers", impurity.name());
            }
        }
    }
    2 * kept.len()
}

/// Row 27: a model's elapsed time does not count while its evaluator does something else.
pub(crate) fn evaluators_time(workshop: &Workshop) -> usize {
    const LIMIT_MS: f64 = 250.0;
    let limits = ["transformation", "training"].map(|stage| format!("{stage}.limits.wall={LIMIT_MS} ms"));
    dawdled_longer_than(LIMIT_MS, 0, 79, |repeats| {
        // The evaluator works between the model's first answer, which the host asks for, and the
        // one that it asks for itself.
        let dawdles = ["evaluation.misdeed=dawdle".to_owned(), format!("evaluation.variant={repeats}")];
        let set = limits.iter().cloned().chain(dawdles).collect();
        let ended = workshop.attempt(&Attempt { set, ..Attempt::of(World::Evaluation..=World::Evaluation) });
        well("an evaluator that takes its time", &ended);
        ended
    })
}

/// Row 27: an evaluator's elapsed time does not count while models answer the host or the
/// evaluator.
pub(crate) fn models_time(workshop: &Workshop) -> usize {
    const LIMIT_MS: f64 = 1000.0;
    let attempts = dawdled_longer_than(LIMIT_MS, 1, 9, |repeats| {
        let set = vec![
            "training.misdeed=dawdle".to_owned(),
            format!("training.variant={repeats}"),
            format!("evaluation.limits.wall={LIMIT_MS} ms"),
        ];
        let ended = workshop.attempt(&Attempt { set, ..Attempt::of(World::Training..=World::Evaluation) });
        well("a model that takes its time", &ended);
        ended
    });
    workshop.next_run_is_well(World::Training..=World::Evaluation);
    attempts + 1
}

/// Repeats an attempt with twice the work each time until a stage has used more CPU time than the
/// limit of another, however fast the machine is. Returns the number of attempts.
fn dawdled_longer_than(limit_ms: f64, stage: usize, first: u32, attempt: impl Fn(u32) -> Ended) -> usize {
    let mut repeats = first;
    for attempts in 1..=8 {
        let spent = attempt(repeats).summary.stages[stage].usage.cpu_ms;
        if spent > limit_ms {
            return attempts;
        }
        repeats = 2 * repeats + 1;
    }
    panic!("a stage that dawdles never passes {limit_ms} ms");
}
