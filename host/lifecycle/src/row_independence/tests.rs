//! Small stages that answer in different ways, and the result of the check for each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::{ArrayRef, Float64Array};
use stagewright_data::Task;
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Field, Schema, Table};

use super::*;
use crate::model::ModelComponent;
use crate::sandbox::{
    Cancel, Check, ColumnSummary, Component, ComponentSource, DecisionInput, Description, PredictionSink, RowStream,
    Shelf, Sources, StageDecision, StageRunner, TransformSink,
};

/// Returns what an instance adds to the numbers of a batch, given the number of rows that it has
/// seen, the number of its calls, and the batch.
type Taint = fn(seen: usize, calls: usize, rows: &[f64]) -> Vec<f64>;

fn pure(_: usize, _: usize, rows: &[f64]) -> Vec<f64> {
    vec![0.0; rows.len()]
}

/// A transformer that halves `x`, and a predictor that adds one. Each adds its taint to the result.
struct Fake {
    transform: Taint,
    predict: Taint,
    /// The CPU time of each instance, in nanoseconds.
    costs: u64,
    instances: AtomicU64,
}

fn numbers(batch: &RecordBatch) -> &[f64] {
    batch.column(0).as_primitive::<Float64Type>().values()
}

impl Fake {
    fn new(transform: Taint, predict: Taint) -> Self {
        Self { transform, predict, costs: 5, instances: AtomicU64::new(0) }
    }

    /// Calls one instance with batch after batch.
    fn ask<'b>(
        &self,
        context: &StageContext,
        taint: Taint,
        batches: impl IntoIterator<Item = &'b [f64]>,
        answer: fn(f64) -> f64,
    ) -> Vec<Vec<f64>> {
        Meter::add(&context.meter.cpu_ns, self.costs);
        self.instances.fetch_add(1, Ordering::Relaxed);
        let (mut seen, mut calls) = (0, 0);
        let asked = batches.into_iter().map(|rows| {
            let taints = taint(seen, calls, rows);
            seen += rows.len();
            calls += 1;
            rows.iter().zip(taints).map(|(row, taint)| answer(*row) + taint).collect()
        });
        asked.collect()
    }
}

impl StageRunner for Fake {
    fn ingest(&self, _: Arc<StageContext>, _: Option<&str>, _: Arc<dyn Sources>) -> Result<Table, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn prepare(&self, _: Arc<StageContext>, _: &[(String, View)]) -> Result<Table, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn validate(
        &self,
        _: Arc<StageContext>,
        _: &Table,
        _: &[(String, Table)],
        _: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn fit(&self, _: Arc<StageContext>, _: &View, _: &Task) -> Result<Blob, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn rebalance(&self, _: Arc<StageContext>, _: &Table, _: &Task) -> Result<Option<Table>, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn train(&self, _: Arc<StageContext>, _: &Table, _: Option<&Table>, _: &Task) -> Result<Blob, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn evaluate(
        &self,
        _: Arc<StageContext>,
        _: &View,
        _: ModelParts,
        _: Option<ModelParts>,
        _: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn decide(&self, _: Arc<StageContext>, _: &DecisionInput) -> Result<StageDecision, StageFault> {
        unreachable!("the check asks for nothing else")
    }
}

impl ModelRunner for Fake {
    fn transform(&self, _: Arc<StageContext>, _: &Blob, _: &View, _: TransformSink<'_>) -> Result<(), StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn importance(
        &self,
        _: Arc<StageContext>,
        _: &Blob,
        _: &Schema,
        _: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    /// As in the runtime, each chunk has its own instances.
    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault> {
        let mut scores = Vec::new();
        for chunk in rows.table.batches(None) {
            let chunk = [chunk.expect("a chunk")];
            let (inputs, features) = self.transform_again(&model.transformation, &model.state, &rows.schema, &chunk)?;
            scores.extend(self.predict_again(&model.training, &model.model, &inputs, &model.task, &features)?);
        }
        Ok(scores)
    }

    fn predict_stream(&self, _: &ModelParts, _: &mut dyn RowStream, _: PredictionSink<'_>) -> Result<(), StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn transform_again(
        &self,
        context: &Arc<StageContext>,
        _: &Blob,
        inputs: &Schema,
        batches: &[RecordBatch],
    ) -> Result<(Schema, Vec<RecordBatch>), StageFault> {
        let answers = self.ask(context, self.transform, batches.iter().map(numbers), |x| x / 2.0);
        Ok((inputs.clone(), answers.into_iter().map(batch).collect()))
    }

    fn predict_again(
        &self,
        context: &Arc<StageContext>,
        _: &Blob,
        _: &Schema,
        _: &Task,
        batches: &[RecordBatch],
    ) -> Result<Vec<f64>, StageFault> {
        Ok(self.ask(context, self.predict, batches.iter().map(numbers), |x| x + 1.0).concat())
    }
}

impl ComponentSource for Fake {
    fn component_bytes(&self, _: &Component) -> Result<Vec<u8>, StageFault> {
        unreachable!("the check asks for nothing else")
    }

    fn restore(&self, _: World, _: &ModelComponent, _: &ArtifactStore) -> Result<Component, StageFault> {
        unreachable!("the check asks for nothing else")
    }
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("x", DataType::Float64).with_nullable(false)]).expect("a schema")
}

fn batch(numbers: Vec<f64>) -> RecordBatch {
    RecordBatch::try_new(schema().to_arrow(), vec![Arc::new(Float64Array::from(numbers)) as ArrayRef]).expect("a batch")
}

/// A store, a table with a number of rows, and a model.
struct Fixture {
    _folder: tempfile::TempDir,
    store: ArtifactStore,
    rows: View,
    model: ModelParts,
}

impl Fixture {
    fn new(rows: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let store = ArtifactStore::open(folder.path()).expect("a store");
        let table = table(&store, (0..rows).map(|row| row as f64).collect());
        let mut blob = store.stage().create_blob().expect("a blob");
        blob.write(b"anything").expect("bytes");
        let blob = blob.finish().expect("a blob");
        let model = ModelParts {
            transformation: context(World::Transformation),
            state: blob.clone(),
            training: context(World::Training),
            model: blob,
            features: schema(),
            task: Task::Regression,
            importance: Vec::new(),
        };
        Self { _folder: folder, store, rows: View::whole(table), model }
    }

    fn predict(&self, fake: &Fake) -> Result<Vec<f64>, String> {
        predict_checked(fake, &self.model, &self.rows).map_err(|fault| fault.to_string())
    }

    /// Checks what a transformer made of the table's rows, chunk by chunk.
    fn transform(&self, fake: &Fake) -> Result<(), String> {
        let chunks: Vec<RecordBatch> = self.rows.table.batches(None).map(|chunk| chunk.expect("a chunk")).collect();
        let context = &self.model.transformation;
        let made =
            chunks.iter().flat_map(|chunk| fake.ask(context, fake.transform, [numbers(chunk)], |x| x / 2.0).concat());
        let made = View::whole(table(&self.store, made.collect()));
        // The fault may be in the second of two tables.
        let honest = chunks.iter().flat_map(|chunk| fake.ask(context, pure, [numbers(chunk)], |x| x / 2.0).concat());
        let honest = View::whole(table(&self.store, honest.collect()));
        let both = [(self.rows.clone(), honest), (self.rows.clone(), made)];
        let one = check_transform(fake, context, &self.model.state, &both[1..]).map_err(|fault| fault.to_string());
        let two = check_transform(fake, context, &self.model.state, &both).map_err(|fault| fault.to_string());
        assert_eq!(one.is_ok(), two.is_ok(), "{one:?} {two:?}");
        one
    }
}

fn table(store: &ArtifactStore, numbers: Vec<f64>) -> Table {
    let mut writer = store.stage().create_table(&schema()).expect("a table");
    writer.write(&batch(numbers)).expect("rows");
    writer.finish().expect("a table")
}

fn context(world: World) -> Arc<StageContext> {
    struct Nobody;
    impl Tracker for Nobody {
        fn log(&self, _: Level, _: &str) {}
        fn progress(&self, _: u64, _: u64) {}
        fn metric(&self, _: &str, _: f64, _: u64) {}
        fn figure(&self, _: Figure) {}
    }
    let description = Description {
        name: "fake".into(),
        version: "1.0.0".into(),
        summary: String::new(),
        parameters: serde_json::Value::Null,
        tasks: Vec::new(),
    };
    Arc::new(StageContext {
        world,
        component: Arc::new(Component {
            name: "fake".into(),
            world,
            digest: Digest::of(b"fake"),
            description,
            sharded: false,
            rebalances: false,
            assesses: false,
            imports: Vec::new(),
            stubs: Vec::new(),
        }),
        parameters: "{}".into(),
        seed: 0,
        roles: HashMap::new(),
        as_of: 0,
        limits: world.default_limits(),
        staging: None,
        meter: Arc::new(Meter::default()),
        tracker: Arc::new(Nobody),
        workers: 1,
        cancel: Cancel::default(),
        shelf: Shelf::default(),
    })
}

const TAINTS: [(&str, Taint); 7] = [
    ("place in the table", |seen, _, rows| (0..rows.len()).map(|row| (seen + row) as f64).collect()),
    ("place in the batch", |_, _, rows| (0..rows.len()).map(|row| row as f64).collect()),
    ("size of the batch", |_, _, rows| vec![rows.len() as f64; rows.len()]),
    ("calls", |_, calls, rows| vec![calls as f64; rows.len()]),
    ("first call", |_, calls, rows| vec![f64::from(u8::from(calls == 0)); rows.len()]),
    ("other rows", |_, _, rows| vec![rows.iter().sum(); rows.len()]),
    ("large batches", |_, _, rows| {
        (0..rows.len()).map(|row| if rows.len() > 30 { row as f64 / 1e9 } else { 0.0 }).collect()
    }),
];

#[test]
fn answers_that_depend_on_their_rows_alone_pass_and_are_the_first_ones() {
    for rows in [0, 1, 2, 3, 40, 20_000] {
        let place = Fixture::new(rows);
        let fake = Fake::new(pure, pure);
        assert_eq!(place.transform(&fake), Ok(()), "{rows} rows");
        let expected: Vec<f64> = (0..rows).map(|row| row as f64 / 2.0 + 1.0).collect();
        assert_eq!(place.predict(&fake), Ok(expected), "{rows} rows");
    }
}

// invariant: A prediction depends on its row alone. Otherwise the run fails and names the export
// and a row.
#[test]
fn whatever_else_an_answer_hangs_on_is_a_fault_that_names_the_export_and_a_row() {
    for rows in [40, 20_000] {
        let place = Fixture::new(rows);
        for (name, taint) in TAINTS {
            let told = place.transform(&Fake::new(taint, pure)).expect_err(name);
            for part in ["stage `transformation`", "`transformer.transform`", "row ", "column `x`", "asked again"] {
                assert!(told.contains(part), "{name}: no {part} in {told}");
            }
            // In a prediction, the transformer's fault is told from the predictor's.
            let told = place.predict(&Fake::new(taint, pure)).expect_err(name);
            assert!(told.contains("`transformer.transform`") && told.contains("column `x`"), "{name}: {told}");
            let told = place.predict(&Fake::new(pure, taint)).expect_err(name);
            for part in ["stage `training`", "`predictor.predict`", "row ", "asked again"] {
                assert!(told.contains(part), "{name}: no {part} in {told}");
            }
        }
    }
}

#[test]
fn a_single_bit_is_a_difference() {
    let place = Fixture::new(40);
    let bit: Taint = |_, calls, rows| {
        rows.iter().map(|row| if calls == 0 && *row == 2.0 { f64::EPSILON * 2.0 } else { 0.0 }).collect()
    };
    let told = place.predict(&Fake::new(pure, bit)).expect_err("2 + 1 in the first call");
    assert!(told.contains("row 4: 3.0000000000000004 among all rows, and 3 when asked again"), "{told}");
}

#[test]
fn the_time_counts_against_the_stage_and_the_rows_do_not() {
    let place = Fixture::new(40);
    let fake = Fake::new(pure, pure);
    place.predict(&fake).expect("it is pure");
    let (transformation, training) = (&place.model.transformation.meter, &place.model.training.meter);
    let spent = Meter::get(&transformation.cpu_ns) + Meter::get(&training.cpu_ns);
    let instances = fake.instances.load(Ordering::Relaxed);
    assert_eq!(spent, fake.costs * instances);
    // The first call and the second, each with a transformer and a predictor.
    assert_eq!(instances, 2 * (1 + 1));
    assert_eq!(Meter::get(&training.rows_in) + Meter::get(&training.rows_out), 0);
}

#[test]
fn a_sample_is_spread_over_the_table_and_all_of_a_small_one() {
    let random = || Random::new(Digest::of(b"seed"));
    assert_eq!(chosen(5, 5, &mut random()), [0, 1, 2, 3, 4]);
    let some = chosen(1_000_000, 1000, &mut random());
    assert!(some.iter().enumerate().all(|(part, row)| row / 1000 == part as u64), "one of each thousand");
    assert_eq!(some, chosen(1_000_000, 1000, &mut random()));
    assert_ne!(some, chosen(1_000_000, 1000, &mut Random::new(Digest::of(b"another"))));
}

#[test]
fn no_row_is_asked_again_at_its_first_position() {
    for rows in 2..40 {
        let place = Fixture::new(rows);
        let seed = Digest::of(&[rows as u8]);
        let sample = Sample::of(&place.rows, usize::MAX, seed).expect("rows").expect("some");
        assert_eq!(sample.rows.len(), rows);
        let asked = sample.questions(seed);
        let way = |wanted| asked.in_turn().filter(move |(way, _)| *way == wanted).map(|(_, position)| position);
        let mut order: Vec<usize> = way(REORDERED).collect();
        assert!(order.iter().enumerate().all(|(place, position)| place != *position), "{order:?}");
        order.sort_unstable();
        assert!(order.into_iter().eq(0..rows));
        let (singles, batches) = asked.batches.split_at(rows.min(SINGLES));
        assert!(singles.iter().all(|batch| batch.len() == 1) && way(ONE_BY_ONE).eq(singles.concat()));
        assert!(rows < 3 || batches.iter().any(|batch| batch.len() > 1), "{batches:?}");
    }
}

#[test]
fn rows_are_the_same_however_near_they_are() {
    let place = Fixture::new(20_000);
    let all = place.rows.table.schema().chunk_rows() as u64;
    let far = [0, 1, 2, 70, 200, 201, 263, 264, all - 1, all, all + 1, 19_999];
    for rows in [&far[..], &[7], &[all - 1, all]] {
        let found = read(&place.rows, rows).expect("rows of the table");
        assert!(numbers(&found).iter().copied().eq(rows.iter().map(|&row| row as f64)), "{rows:?}");
    }
}
