//! Stages without Wasm: a small table, a transformation that passes columns on, a model that is one
//! of them. It writes down every call, and can be told to fail at any of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::Duration;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use serde_json::json;
use stagewright_data::Task;
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::model::ModelComponent;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::{
    Cancel, Check, ColumnSummary, Component, ComponentSource, DecisionInput, Description, Level, ModelParts,
    ModelRunner, Sources, StageContext, StageDecision, StageRunner, TransformSink, View,
};
use stagewright_lifecycle::summary::StageSummary;
use stagewright_manifest::{StepId, World};
use stagewright_store::{ArtifactStore, Blob, DataType, Digest, Field, Role, Schema, Table};

/// Rows of the table that ingestion makes.
const ROWS: usize = 240;

/// A call of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The step that was at work, as the observer was told; `None` outside of a run.
    pub step: Option<World>,
    /// The export, in the contract's words; for `resolve.*`, what the host does with a component.
    pub export: &'static str,
    /// The columns that it was shown.
    pub columns: Vec<String>,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The stage says that the data is wrong.
    Data,
    /// The stage traps.
    Trap,
    /// The stage breaks the contract.
    Contract,
    /// The stage runs past a limit.
    Limit,
    /// The host fails.
    Host,
    /// Somebody asks to stop, and the call ends with that.
    Cancelled,
    /// Somebody asks to stop, and the call comes to its end all the same.
    CancelledUnnoticed,
}

/// Decides in a promotion stage's place.
pub(crate) type Decides = Arc<dyn Fn(&DecisionInput) -> StageDecision + Send + Sync>;

/// Whatever differs from stages that do well and approve.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// The number of a call, from 0, and how it ends.
    pub fails: Option<(usize, Failure)>,
    /// Decides.
    pub decides: Option<Decides>,
    /// The findings of validation.
    pub finds: Vec<Check>,
}

#[derive(Default)]
struct Seen {
    /// The step of each thread, if it is named as its world.
    at_work: HashMap<ThreadId, Option<World>>,
    calls: Vec<Call>,
}

/// The stages of one run, and who watches them.
pub(crate) struct Fake {
    script: Script,
    cancel: Cancel,
    seen: Mutex<Seen>,
}

/// The bytes of the component that a manifest calls `name`.
fn code(name: &str) -> Vec<u8> {
    format!("code of {name}").into_bytes()
}

/// The bytes of a component with this digest: as they are, or with another byte that changes
/// nothing of what it does.
fn code_of(name: &str, digest: Digest) -> Vec<u8> {
    let plain = code(name);
    if Digest::of(&plain) == digest { plain } else { other_code(name) }
}

/// The bytes of a component that does what `name` does.
pub(crate) fn other_code(name: &str) -> Vec<u8> {
    [code(name), b"!".to_vec()].concat()
}

/// The component that a manifest calls `name`.
pub(crate) fn component(world: World, name: &str) -> Component {
    Component {
        name: name.to_owned(),
        world,
        digest: Digest::of(&code(name)),
        description: Description {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            summary: "It is made up.".to_owned(),
            parameters: json!({ "properties": {} }),
            tasks: Vec::new(),
        },
        sharded: false,
        rebalances: true,
        imports: Vec::new(),
        stubs: Vec::new(),
    }
}

fn parameters(context: &StageContext) -> serde_json::Value {
    serde_json::from_str(&context.parameters).expect("parameters are JSON")
}

fn read_json(blob: &Blob) -> serde_json::Value {
    serde_json::from_slice(&blob.read_all().expect("a blob that was passed")).expect("a blob of these stages")
}

fn put_json(context: &StageContext, value: &serde_json::Value) -> Result<Blob, StageFault> {
    let staging = context.staging.as_ref().expect("a stage that makes something has a place for it");
    let mut writer = staging.create_blob().map_err(StageFault::host)?;
    writer.write(value.to_string().as_bytes()).map_err(StageFault::host)?;
    writer.finish().map_err(StageFault::host)
}

fn numbers(names: impl IntoIterator<Item = String>) -> Schema {
    let field = |name| Field::new(name, DataType::Float64).with_nullable(false);
    Schema::new(names.into_iter().map(field).collect()).expect("names of a schema")
}

fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name.clone()).collect()
}

/// A number in [0, 1) that looks like chance.
fn noise(row: usize, column: u64) -> f64 {
    let mixed = (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(column * 0x517c_c1b7_2722_0a95);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 32)) % 10_000) as f64 / 10_000.0
}

/// The region of a row: `north` has 120, `south` 100, and 20 have the one that the parameters name,
/// or none.
fn region(row: usize, parameters: &serde_json::Value) -> Option<&str> {
    match row % 12 {
        0..6 => Some("north"),
        6..11 => Some("south"),
        _ => parameters["rest"].as_str(),
    }
}

fn is_yes(row: usize) -> bool {
    row.is_multiple_of(3)
}

/// The values of the column of this name: `x` tells the outcome, `y` tells it often, `z` never.
fn value(name: &str, row: usize) -> f64 {
    match (name, is_yes(row)) {
        ("x", true) => 0.6 + 0.4 * noise(row, 1),
        ("x", false) => 0.5 * noise(row, 1),
        ("y", true) => 0.3 + 0.5 * noise(row, 2),
        ("y", false) => 0.5 * noise(row, 2),
        _ => noise(row, 3),
    }
}

/// The table, in the order and with the columns that the parameters ask for.
fn rows(columns: &[String], roles: &HashMap<String, Role>, parameters: &serde_json::Value) -> (Schema, RecordBatch) {
    let moved = |row: usize| region(row, parameters).is_some_and(|region| parameters["moved"] == region);
    let column = |name: &String| -> ArrayRef {
        match name.as_str() {
            "id" => Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("row-{row}")))),
            "outcome" => {
                Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| if is_yes(row) { "yes" } else { "no" })))
            }
            "region" => Arc::new((0..ROWS).map(|row| region(row, parameters)).collect::<StringArray>()),
            "z" => Arc::new(Float64Array::from_iter_values(
                (0..ROWS).map(|row| value("z", row) + if moved(row) { 1.0 } else { 0.0 }),
            )),
            name => Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| value(name, row)))),
        }
    };
    let data_type = |name: &String| match name.as_str() {
        "id" | "outcome" | "region" => DataType::Utf8,
        _ => DataType::Float64,
    };
    let role = |name: &String| roles.get(name).copied().unwrap_or(Role::Feature);
    let field = |name: &String| Field::new(name, data_type(name)).with_nullable(name == "region").with_role(role(name));
    let schema = Schema::new(columns.iter().map(field).collect()).expect("columns of different names");
    let batch = RecordBatch::try_new(schema.to_arrow(), columns.iter().map(column).collect());
    (schema, batch.expect("columns of one length"))
}

/// The rows of a view, with the number of the first: as many pieces as there are workers.
fn pieces(view: &View, workers: usize) -> impl Iterator<Item = (u64, RecordBatch)> {
    let piece = (view.rows() as usize).div_ceil(workers).max(1);
    let mut start = 0;
    std::iter::from_fn(move || {
        (start < view.rows()).then(|| {
            let batch = view.table.read(start, piece, Some(&view.columns)).expect("rows of a table that was passed");
            let first = start;
            start += batch.num_rows() as u64;
            (first, batch)
        })
    })
}

/// The features that the state names, of raw rows.
fn features(state: &Blob, batch: &RecordBatch) -> RecordBatch {
    let schema = learnt(state);
    let column = |name: String| batch.column_by_name(&name).expect("a column that was learnt").clone();
    let columns = names(&schema).into_iter().map(column).collect();
    RecordBatch::try_new(schema.to_arrow(), columns).expect("numbers")
}

/// The features that a state names.
fn learnt(state: &Blob) -> Schema {
    let names: Vec<String> = serde_json::from_value(read_json(state)).expect("the state is a list of names");
    numbers(names)
}

/// The model's answers: the column that it names.
fn scores(model: &Blob, features: &RecordBatch) -> Vec<f64> {
    let model = read_json(model);
    let column = features.column_by_name(model["column"].as_str().expect("a name")).expect("a feature");
    column.as_primitive::<Float64Type>().values().to_vec()
}

impl Fake {
    /// Stages that follow a script, in a run that `cancel` ends.
    pub(crate) fn new(script: Script, cancel: Cancel) -> Self {
        Self { script, cancel, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics with this lock")
    }

    /// Every call so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen().calls.clone()
    }

    /// Writes a call down, and ends it if it is the one that fails.
    fn call(&self, export: &'static str, shown: &[&Schema]) -> Result<(), StageFault> {
        let mut seen = self.seen();
        let step = seen.at_work.get(&std::thread::current().id()).copied().flatten();
        let number = seen.calls.len();
        let columns = shown.iter().flat_map(|schema| names(schema)).collect();
        seen.calls.push(Call { step, export, columns });
        match self.script.fails {
            Some((failing, how)) if failing == number => self.fail(step.expect("a call of a run"), export, how),
            _ => Ok(()),
        }
    }

    fn fail(&self, world: World, export: &str, how: Failure) -> Result<(), StageFault> {
        let (stage, component, export, message) =
            (world.into(), "fake".to_owned(), export.to_owned(), format!("told to fail: {how:?}"));
        Err(match how {
            Failure::Data => StageFault::Data { stage, message, column: None, row: None, value: None },
            Failure::Trap => StageFault::Trap { stage, component, export, message },
            Failure::Contract => StageFault::Contract { stage, component, export, message },
            Failure::Limit => StageFault::Limit { stage, kind: LimitKind::Memory, used: 2 << 20, allowed: 1 << 20 },
            Failure::Host => StageFault::host(message),
            Failure::Cancelled => {
                self.cancel.cancel();
                StageFault::Cancelled { stage }
            }
            Failure::CancelledUnnoticed => {
                self.cancel.cancel();
                return Ok(());
            }
        })
    }

    fn batches(&self, export: &'static str, batches: &[RecordBatch]) -> Result<(), StageFault> {
        let columns = batches.first().map(|batch| {
            let schema = batch.schema();
            numbers(schema.fields().iter().map(|field| field.name().clone()))
        });
        self.call(export, &columns.iter().collect::<Vec<_>>())
    }
}

impl Observer for Fake {
    fn stage_started(&self, step: &StepId, _: &str) {
        self.seen().at_work.insert(std::thread::current().id(), World::from_name(step.as_str()));
    }
    fn progress(&self, _: &StepId, _: u64, _: u64) {}
    fn log(&self, _: &StepId, _: Level, _: &str) {}
    fn stage_finished(&self, _: &StepId, _: &StageSummary) {}
}

impl StageRunner for Fake {
    /// Makes its table up. Told to, it opens its source before, and reads it.
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault> {
        self.call("ingest.ingest", &[])?;
        if let Some(source) = source.filter(|_| parameters(&context)["opens"] == true) {
            let rows = sources.open(source)?.next(10)?.expect("rows of the source");
            assert_eq!((rows.num_rows(), rows.num_columns()), (1, 5));
        }
        let columns = parameters(&context)["columns"].clone();
        let columns: Vec<String> = serde_json::from_value(columns).expect("a list of columns");
        let mut roles = context.roles.clone();
        // As of a source in which the host found an identifier.
        if let Some(name) = parameters(&context)["identifier"].as_str() {
            roles.insert(name.to_owned(), Role::Identifier);
        }
        let (schema, batch) = rows(&columns, &roles, &parameters(&context));
        let staging = context.staging.as_ref().expect("ingestion has a place for its table");
        let mut writer = staging.create_table(&schema).map_err(StageFault::host)?;
        writer.write(&batch).map_err(StageFault::host)?;
        writer.finish().map_err(StageFault::host)
    }

    /// Makes a table of the columns that the parameters ask for, each of the first input that has
    /// it.
    fn prepare(&self, context: Arc<StageContext>, inputs: &[(String, Table)]) -> Result<Table, StageFault> {
        self.call("prepare.prepare", &inputs.iter().map(|(_, table)| table.schema()).collect::<Vec<_>>())?;
        let asked = parameters(&context);
        if let Some(name) = asked["returns"].as_str() {
            return Ok(inputs.iter().find(|(input, _)| input == name).expect("an input of this name").1.clone());
        }
        let columns: Vec<String> = serde_json::from_value(asked["columns"].clone()).expect("a list of columns");
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for name in &columns {
            let found = inputs.iter().find_map(|(_, table)| {
                let place = table.schema().fields().iter().position(|field| field.name == *name)?;
                Some((table, place))
            });
            let (table, place) = found.expect("a column of an input");
            let role = context.roles.get(name).copied().unwrap_or(Role::Feature);
            fields.push(table.schema().fields()[place].clone().with_role(role));
            values
                .push(table.read(0, ROWS, Some(&[place])).expect("rows of a table that was passed").column(0).clone());
        }
        let schema = Schema::new(fields).expect("columns of different names");
        let batch = RecordBatch::try_new(schema.to_arrow(), values).expect("columns of one length");
        let staging = context.staging.as_ref().expect("preparation has a place for its table");
        let mut writer = staging.create_table(&schema).map_err(StageFault::host)?;
        let rows = if asked["empty"] == true { batch.slice(0, 0) } else { batch };
        writer.write(&rows).map_err(StageFault::host)?;
        writer.finish().map_err(StageFault::host)
    }

    fn validate(
        &self,
        _: Arc<StageContext>,
        table: &Table,
        _: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        self.call("validate.validate", &[table.schema()])?;
        Ok((self.script.finds.clone(), Vec::new()))
    }

    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault> {
        self.call("transform.fit", &[&train.schema])?;
        assert!(matches!(task, Task::Binary { .. }), "{task:?}");
        let features = train.schema.indices_with(Role::Feature);
        put_json(&context, &json!(names(&train.schema.project(&features))))
    }

    fn rebalance(&self, _: Arc<StageContext>, train: &Table, _: &Task) -> Result<Option<Table>, StageFault> {
        self.call("transform.rebalance", &[train.schema()])?;
        Ok(None)
    }

    fn train(
        &self,
        context: Arc<StageContext>,
        train: &Table,
        validation: Option<&Table>,
        _: &Task,
    ) -> Result<Blob, StageFault> {
        let shown: Vec<&Schema> = [Some(train), validation].into_iter().flatten().map(Table::schema).collect();
        self.call("train.train", &shown)?;
        if let Some(pause) = parameters(&context)["pause"].as_u64() {
            std::thread::sleep(Duration::from_millis(pause));
        }
        if parameters(&context)["fails"] == true {
            let stage = World::Training.into();
            let message = "told to fail".to_owned();
            return Err(StageFault::Data { stage, message, column: None, row: None, value: None });
        }
        context.tracker.metric("loss", 0.5, 1);
        put_json(&context, &json!({ "column": parameters(&context)["column"], "rows": train.rows() }))
    }

    fn evaluate(
        &self,
        _: Arc<StageContext>,
        test: &View,
        _: ModelParts,
        champion: Option<ModelParts>,
        _: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        self.call("evaluate.evaluate", &[&test.schema])?;
        Ok(vec![
            ("rows_seen".to_owned(), test.rows() as f64),
            ("champions_seen".to_owned(), f64::from(u8::from(champion.is_some()))),
        ])
    }

    fn decide(&self, _: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault> {
        self.call("decide.decide", &[])?;
        Ok(match &self.script.decides {
            Some(decides) => decides(input),
            None => StageDecision { approved: true, reasons: Vec::new() },
        })
    }
}

impl ModelRunner for Fake {
    fn transform(
        &self,
        context: Arc<StageContext>,
        state: &Blob,
        rows: &View,
        sink: TransformSink<'_>,
    ) -> Result<(), StageFault> {
        self.call("transformer.transform", &[&rows.schema])?;
        for (start, batch) in pieces(rows, context.workers) {
            let features = features(state, &batch);
            let schema = numbers(features.schema().fields().iter().map(|field| field.name().clone()));
            sink(&schema, start, features)?;
        }
        Ok(())
    }

    fn importance(
        &self,
        _: Arc<StageContext>,
        model: &Blob,
        _: &Schema,
        _: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        self.call("predictor.importance", &[])?;
        Ok(vec![(read_json(model)["column"].as_str().expect("a name").to_owned(), 1.0)])
    }

    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault> {
        self.call("predictor.predict", &[&rows.schema])?;
        let pieces = pieces(rows, model.training.workers);
        Ok(pieces.flat_map(|(_, batch)| scores(&model.model, &features(&model.state, &batch))).collect())
    }

    fn predict_batch(&self, model: &ModelParts, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        self.batches("predictor.predict", std::slice::from_ref(rows))?;
        Ok(scores(&model.model, &features(&model.state, rows)))
    }

    fn transform_again(
        &self,
        _: &Arc<StageContext>,
        state: &Blob,
        _: &Schema,
        batches: &[RecordBatch],
    ) -> Result<(Schema, Vec<RecordBatch>), StageFault> {
        self.batches("transformer.transform", batches)?;
        Ok((learnt(state), batches.iter().map(|batch| features(state, batch)).collect()))
    }

    fn predict_again(
        &self,
        _: &Arc<StageContext>,
        model: &Blob,
        _: &Schema,
        _: &Task,
        batches: &[RecordBatch],
    ) -> Result<Vec<f64>, StageFault> {
        self.batches("predictor.predict", batches)?;
        Ok(batches.iter().flat_map(|batch| scores(model, batch)).collect())
    }
}

impl ComponentSource for Fake {
    fn component_bytes(&self, component: &Component) -> Result<Vec<u8>, StageFault> {
        self.call("resolve.bytes", &[])?;
        Ok(code_of(&component.name, component.digest))
    }

    fn restore(
        &self,
        world: World,
        component: &ModelComponent,
        artifacts: &ArtifactStore,
    ) -> Result<Component, StageFault> {
        self.call("resolve.restore", &[])?;
        let kept = artifacts.open_blob(&component.digest).map_err(StageFault::host)?;
        assert_eq!(kept.read_all().expect("a blob that opened"), code_of(&component.name, component.digest));
        Ok(Component { digest: component.digest, ..self::component(world, &component.name) })
    }
}
