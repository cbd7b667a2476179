//! Stages without Wasm: a small table, a transformation that passes columns on, and a model that is
//! one of the columns.
//!
//! They record every call, and can be told to fail at any of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use serde_json::json;
use stagewright_data::Task;
use stagewright_evaluation::figure::{Figure, Plot, TextTable};
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::model::ModelComponent;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::predict::ROWS_PER_LIMIT;
use stagewright_lifecycle::sandbox::{
    Cancel, Check, ColumnSummary, Component, ComponentSource, DecisionInput, Description, Level, Meter, ModelParts,
    ModelRunner, PredictionSink, RowStream, Sources, StageContext, StageDecision, StageRunner, TransformSink, View,
};
use stagewright_lifecycle::summary::StageSummary;
use stagewright_manifest::{StepId, World};
use stagewright_store::{ArtifactStore, Blob, DataType, Digest, Field, Role, Schema, Table};

use crate::fake_table::{ROWS, rows};

/// A call of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The step in progress, as the observer was told; `None` outside a run.
    pub step: Option<World>,
    /// The export, as the contract names it; `resolve.*` for what the host does with a component.
    pub export: &'static str,
    /// The columns that the call could see.
    pub columns: Vec<String>,
    /// Those of them that were shown as the target.
    pub targets: Vec<String>,
}

/// The way a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The component reports wrong data.
    Data,
    /// The component traps.
    Trap,
    /// The component breaks the contract.
    Contract,
    /// The component runs past a limit.
    Limit,
    /// The host fails.
    Host,
    /// The run is cancelled, and the call ends with that.
    Cancelled,
    /// The run is cancelled, and the call still completes.
    CancelledUnnoticed,
}

/// Decides in place of a promotion component.
pub(crate) type Decides = Arc<dyn Fn(&DecisionInput) -> StageDecision + Send + Sync>;

/// The deviations from stages that succeed and approve.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// The number of the call that fails, from 0, and how it fails.
    pub fails: Option<(usize, Failure)>,
    /// The decision.
    pub decides: Option<Decides>,
    /// The checks of validation.
    pub finds: Vec<Check>,
}

#[derive(Default)]
struct Seen {
    /// The step of each thread, if it is named as its world.
    at_work: HashMap<ThreadId, Option<World>>,
    calls: Vec<Call>,
}

/// The fake stages of one run, and their observer.
pub(crate) struct Fake {
    script: Script,
    cancel: Cancel,
    seen: Mutex<Seen>,
}

/// Returns the bytes of the component that a manifest calls `name`.
fn code(name: &str) -> Vec<u8> {
    format!("code of {name}").into_bytes()
}

/// Returns the bytes of a component with this digest, with or without the byte that does not change
/// its behaviour.
fn code_of(name: &str, digest: Digest) -> Vec<u8> {
    let plain = code(name);
    if Digest::of(&plain) == digest { plain } else { other_code(name) }
}

/// Returns other bytes of a component that does what `name` does.
pub(crate) fn other_code(name: &str) -> Vec<u8> {
    [code(name), b"!".to_vec()].concat()
}

/// Returns the component that a manifest calls `name`.
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
        assesses: true,
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

/// Returns the rows of a view with the number of the first one, in as many parts as there are
/// workers.
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

/// Returns the features of raw rows that the state names.
fn features(state: &Blob, batch: &RecordBatch) -> RecordBatch {
    let schema = learnt(state);
    let column = |name: String| batch.column_by_name(&name).expect("a column that was learnt").clone();
    let columns = names(&schema).into_iter().map(column).collect();
    RecordBatch::try_new(schema.to_arrow(), columns).expect("numbers")
}

/// Returns the features that a state names.
fn learnt(state: &Blob) -> Schema {
    let names: Vec<String> = serde_json::from_value(read_json(state)).expect("the state is a list of names");
    numbers(names)
}

/// Returns the predictions of the model, which are the column that it names.
fn scores(model: &Blob, features: &RecordBatch) -> Vec<f64> {
    let model = read_json(model);
    let column = features.column_by_name(model["column"].as_str().expect("a name")).expect("a feature");
    column.as_primitive::<Float64Type>().values().to_vec()
}

impl Fake {
    /// Creates stages that follow a script, in a run that `cancel` cancels.
    pub(crate) fn new(script: Script, cancel: Cancel) -> Self {
        Self { script, cancel, seen: Mutex::default() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("nobody panics with this lock")
    }

    /// Returns all calls so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.seen().calls.clone()
    }

    /// Records a call, and fails if the script says so.
    fn call(&self, export: &'static str, shown: &[&Schema]) -> Result<(), StageFault> {
        let mut seen = self.seen();
        let step = seen.at_work.get(&std::thread::current().id()).copied().flatten();
        let number = seen.calls.len();
        let columns = shown.iter().flat_map(|schema| names(schema)).collect();
        let fields = shown.iter().flat_map(|schema| schema.fields());
        let targets = fields.filter(|field| field.role == Role::Target).map(|field| field.name.clone()).collect();
        seen.calls.push(Call { step, export, columns, targets });
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
    /// Generates its table. If the parameters say so, it opens and reads its source before.
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
        // As for a source in which the host found an identifier.
        if let Some(name) = parameters(&context)["identifier"].as_str() {
            roles.insert(name.to_owned(), Role::Identifier);
        }
        let (schema, batch) = rows(&columns, &roles, &parameters(&context));
        let staging = context.staging.as_ref().expect("ingestion has a place for its table");
        let mut writer = staging.create_table(&schema).map_err(StageFault::host)?;
        writer.write(&batch).map_err(StageFault::host)?;
        writer.finish().map_err(StageFault::host)
    }

    /// Makes a table of the columns that the parameters name, each from the first input that has
    /// it.
    fn prepare(&self, context: Arc<StageContext>, inputs: &[(String, View)]) -> Result<Table, StageFault> {
        self.call("prepare.prepare", &inputs.iter().map(|(_, table)| &table.schema).collect::<Vec<_>>())?;
        let asked = parameters(&context);
        if let Some(cell) = asked["says"].as_str() {
            let plot = Plot::Text(TextTable { columns: vec!["said".to_owned()], rows: vec![vec![cell.to_owned()]] });
            context.tracker.figure(Figure { name: "joins".to_owned(), title: "Joins".to_owned(), plot });
            context.tracker.log(Level::Warn, cell);
            context.tracker.log(Level::Info, "a line for the log alone");
        }
        if let Some(name) = asked["returns"].as_str() {
            return Ok(inputs.iter().find(|(input, _)| input == name).expect("an input of this name").1.table.clone());
        }
        let columns: Vec<String> = serde_json::from_value(asked["columns"].clone()).expect("a list of columns");
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        for name in &columns {
            let found = inputs.iter().find_map(|(_, table)| {
                let place = table.schema.fields().iter().position(|field| field.name == *name)?;
                Some((&table.table, place))
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
        references: &[(String, Table)],
        _: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        let schemas: Vec<_> = [table].into_iter().chain(references.iter().map(|(_, table)| table)).collect();
        self.call("validate.validate", &schemas.iter().map(|table| table.schema()).collect::<Vec<_>>())?;
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

    fn predict_stream(
        &self,
        model: &ModelParts,
        rows: &mut dyn RowStream,
        take: PredictionSink<'_>,
    ) -> Result<(), StageFault> {
        // The meter shows how many rows fall under its limits.
        while let Some(batch) = rows.next()? {
            self.batches("predictor.predict", std::slice::from_ref(&batch))?;
            Meter::add(&model.training.meter.rows_in, batch.num_rows() as u64);
            assert!(Meter::get(&model.training.meter.rows_in) <= ROWS_PER_LIMIT);
            model.transformation.meter.count_cells("unseen", 0, 1);
            take(scores(&model.model, &features(&model.state, &batch)))?;
        }
        Ok(())
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
