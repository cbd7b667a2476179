//! The lifecycle's [`Sandbox`], on Wasm components.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::ModelComponent;
use stagewright_lifecycle::sandbox::{
    Check, ColumnSummary, Component, DecisionInput, Level, ModelParts, Sandbox, Sources, StageContext, StageDecision,
    Tracker, TransformSink, View,
};
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Blob, Field, Schema, Table, packed};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre, Resource};

use crate::admission::{self, Grant};
#[cfg(feature = "compiler")]
use crate::against::Difference;
use crate::batch;
use crate::bindings::exports::stagewright::stage::{
    decide, evaluate, ingest, rebalance, shards, train, transform, validate,
};
use crate::bindings::stagewright::stage::types;
use crate::component::{Catalog, Inspection, Installation, Origin, Trust};
use crate::convert;
use crate::desk::LentModel;
use crate::engine::{self, EngineOptions};
use crate::error::RuntimeError;
use crate::guest::{self, Guest};
use crate::imports;
use crate::instance;
use crate::parallel::{Give, in_order, on_stack, permits};
use crate::predictor::{LazyPipeline, Pipeline, Predictor, Transformer, contract, rows_of_crossing};
use crate::wasi::Stubs;

/// Stack for the host's own frames above, between and below guests: an import that checks a batch, or compiles the champion, needs some 100 KiB.
const HOST_STACK: usize = 2 << 20;

/// Parts that one training may fall into, at most.
const MAX_SHARDS: u32 = 1024;

/// The most ranges into which rows are divided for predictions. Each loads the model anew. They are
/// few enough that this costs little beside the rows, and enough for every worker to have its
/// share.
const MAX_RANGES: usize = 32;

/// A tracker for calls that nobody watches.
pub(crate) struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// Runs stages as Wasm components. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Catalog>, EngineOptions);

/// What of WASI a component may link although it always fails.
#[derive(Debug, Clone, Copy, Default)]
pub struct StubGrants {
    /// An empty file system.
    pub filesystem: bool,
    /// Sockets that refuse every address.
    pub sockets: bool,
}

impl From<StubGrants> for Stubs {
    fn from(StubGrants { filesystem, sockets }: StubGrants) -> Self {
        Self { filesystem, sockets }
    }
}

impl Runtime {
    /// Starts an engine over an installation. Raises the process's soft limit on open files.
    ///
    /// # Errors
    /// The cache cannot be made or trusted, or the engine refuses its settings.
    pub fn open(installation: Installation, options: EngineOptions) -> Result<Self, RuntimeError> {
        engine::raise_file_limit();
        Ok(Self(Arc::new(Catalog::new(engine::engine(options)?, installation, options)?), options))
    }

    /// Finds, admits, compiles and describes a component, so that it can be run.
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub fn resolve(
        &self,
        world: World,
        name: &str,
        origin: &Origin,
        stubs: StubGrants,
    ) -> Result<Component, RuntimeError> {
        self.resolve_trusted(world, name, origin, stubs, &|_| Ok(()))
    }

    /// As [`Runtime::resolve`], if `trust` accepts the component's digest: it is asked before anything of the component is compiled or run.
    ///
    /// # Errors
    /// See [`RuntimeError`]; or what `trust` says.
    pub fn resolve_trusted(
        &self,
        world: World,
        name: &str,
        origin: &Origin,
        stubs: StubGrants,
        trust: Trust<'_>,
    ) -> Result<Component, RuntimeError> {
        self.0.resolve(world, name, origin, stubs.into(), trust)
    }

    /// What a component of this world gets for an import, with these stubs allowed.
    pub fn grant(world: World, import: &str, stubs: StubGrants) -> Grant {
        admission::grant(world, import, stubs.into())
    }

    /// Looks at a component without compiling or running anything of it; `stubs` are those that the manifest would allow.
    ///
    /// # Errors
    /// It cannot be read, or is no component.
    pub fn inspect(&self, name: &str, origin: &Origin, stubs: StubGrants) -> Result<Inspection, RuntimeError> {
        self.0.inspect(name, origin, stubs.into())
    }

    /// Where the imports and exports of a component differ from the WIT in a folder or file.
    /// Nothing of the component is compiled or run.
    ///
    /// # Errors
    /// The component or the WIT cannot be read as one.
    #[cfg(feature = "compiler")]
    pub fn differences(&self, name: &str, origin: &Origin, wit: &Path) -> Result<Vec<Difference>, RuntimeError> {
        self.0.differences(name, origin, wit)
    }

    /// Compiles a component into a folder, to be copied into the cache of a host with the key in the file `key`. Returns the name of the file, which is what
    /// that host looks for. With `baseline` it runs on every processor of this architecture, else on those that can what this one can.
    ///
    /// # Errors
    /// It cannot be read or compiled, or the folder or key cannot be used.
    pub fn precompile(
        &self,
        name: &str,
        origin: &Origin,
        folder: &Path,
        key: &Path,
        baseline: bool,
    ) -> Result<String, RuntimeError> {
        self.0.precompile(name, origin, folder, key, baseline)
    }

    /// Whether a component's code is in the cache and can be used: what a host without a compiler needs. What lies there and cannot be used is reported.
    ///
    /// # Errors
    /// The component cannot be read.
    pub fn is_compiled(&self, name: &str, origin: &Origin) -> Result<bool, RuntimeError> {
        self.0.is_compiled(name, origin)
    }

    /// Names and files of the built-in stages.
    pub fn built_in(&self) -> Vec<(String, PathBuf)> {
        self.0.built_in().into_iter().collect()
    }

    /// The stack of a thread that runs guests. Two may lie on one, an evaluator and a model that it asks; each may use all of its own; the rest is the host's.
    fn stack(&self) -> usize {
        2 * self.0.bounds.stack + HOST_STACK
    }

    /// A new instance in a store of its own.
    pub(crate) fn start(
        &self,
        context: Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
    ) -> Result<(Store<Guest>, InstancePre<Guest>, Instance), StageFault> {
        let pre = self
            .0
            .ready(&context.component)
            .ok_or_else(|| StageFault::host(format!("component `{}` was not resolved", context.component.name)))?;
        let mut store = guest::store(&self.0.engine, self.1, context, sources);
        let started = instance::start(&mut store, &pre)?;
        Ok((store, pre, started))
    }

    /// One part of a sharded training, as a blob.
    fn train_shard(
        &self,
        context: &Arc<StageContext>,
        inputs: &TrainInputs<'_>,
        plan: &Plan,
        shard: u32,
    ) -> Result<Blob, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = shards::GuestIndices::new(&pre);
        let (train, validation) = inputs.push(&mut store)?;
        let common = push_blob(&mut store, &plan.common)?;
        let (task, settings) = (&inputs.task, settings(context));
        let blob = instance::call(&mut store, "shards.train-shard", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_train_shard(store, train, validation, task, &settings, common, shard, plan.shards)
        })?;
        take_blob(&mut store, blob)
    }

    fn merge(&self, context: &Arc<StageContext>, plan: &Plan, parts: &[Blob]) -> Result<Blob, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = shards::GuestIndices::new(&pre);
        let handles = parts.iter().map(|part| push_blob(&mut store, part)).collect::<Result<Vec<_>, _>>()?;
        let common = push_blob(&mut store, &plan.common)?;
        let settings = settings(context);
        let blob = instance::call(&mut store, "shards.merge", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_merge(store, &handles, &settings, common)
        })?;
        take_blob(&mut store, blob)
    }

    fn train_whole(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Blob, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = train::GuestIndices::new(&pre);
        let (train, validation) = inputs.push(&mut store)?;
        let (task, settings) = (&inputs.task, settings(context));
        let blob = instance::call(&mut store, "train.train", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_train(store, train, validation, task, &settings)
        })?;
        take_blob(&mut store, blob)
    }

    /// Predictions piece by piece, in order, each range of pieces by a new instance: so they hang
    /// neither on other ranges nor on the number of workers.
    fn predict_pieces(
        &self,
        model: &ModelParts,
        inputs: &Schema,
        rows: u64,
        pieces: usize,
        piece: impl Fn(&mut Pipeline, usize) -> Result<Vec<f64>, StageFault> + Sync,
    ) -> Result<Vec<f64>, StageFault> {
        // By the pieces alone, never by the workers.
        let range = pieces.div_ceil(MAX_RANGES).max(1);
        let mut scores = Vec::with_capacity(rows as usize * model.width());
        in_order(
            pieces.div_ceil(range),
            permits(self.1.budget, &model.training, pieces.div_ceil(range))?,
            self.stack(),
            || Ok(()),
            |(): &mut (), number, give| {
                let mut pipeline = Pipeline::new(self, model, inputs)?;
                let mut done = Vec::new();
                for number in number * range..((number + 1) * range).min(pieces) {
                    done.extend(piece(&mut pipeline, number)?);
                }
                model.training.on_behalf(|| {
                    drop(pipeline);
                    Ok(())
                })?;
                give(done)
            },
            |_, done| {
                scores.extend(done);
                Ok(())
            },
        )?;
        Ok(scores)
    }

    fn plan_shards(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Plan, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = shards::GuestIndices::new(&pre);
        let (train, validation) = inputs.push(&mut store)?;
        let (task, settings) = (&inputs.task, settings(context));
        let plan = instance::call(&mut store, "shards.plan-shards", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_plan_shards(store, train, validation, task, &settings)
        })?;
        Ok(Plan { shards: plan.shards, common: take_blob(&mut store, plan.common)? })
    }
}

/// How a training falls into parts, and what they have in common.
struct Plan {
    shards: u32,
    common: Blob,
}

/// What every part of a training reads.
struct TrainInputs<'a> {
    train: &'a Table,
    validation: Option<&'a Table>,
    task: types::Task,
}

impl TrainInputs<'_> {
    fn push(
        &self,
        store: &mut Store<Guest>,
    ) -> Result<(Resource<imports::Table>, Option<Resource<imports::Table>>), StageFault> {
        let train = push_table(store, View::whole(self.train.clone()))?;
        let validation = self.validation.map(|table| push_table(store, View::whole(table.clone()))).transpose()?;
        Ok((train, validation))
    }
}

fn settings(context: &StageContext) -> types::Settings {
    types::Settings { parameters: context.parameters.clone(), seed: context.seed, as_of: context.as_of }
}

/// Hands a table to a guest, as far as the view goes.
fn push_table(store: &mut Store<Guest>, view: View) -> Result<Resource<imports::Table>, StageFault> {
    Ok(Resource::new_own(store.data_mut().desk.lend_table(view)?))
}

fn push_blob(store: &mut Store<Guest>, blob: &Blob) -> Result<Resource<imports::Blob>, StageFault> {
    Ok(Resource::new_own(store.data_mut().desk.lend_blob(blob.clone())?))
}

/// Takes back a table that a guest returned. A selection shares its rows with another table, so it
/// is none of its own.
fn take_table(store: &mut Store<Guest>, table: Resource<imports::Table>, export: &str) -> Result<Table, StageFault> {
    let View { table, columns, .. } = store.data_mut().desk.take_table(table.rep())?;
    if columns.into_iter().eq(0..table.schema().len()) {
        return Ok(table);
    }
    let message = "a selection came back: write its rows to a table of its own";
    Err(contract(store.data().desk.context(), export, message))
}

fn take_blob(store: &mut Store<Guest>, blob: Resource<imports::Blob>) -> Result<Blob, StageFault> {
    store.data_mut().desk.take_blob(blob.rep())
}

/// Into how many pieces of `rows` rows a view falls.
fn pieces(view: &View, rows: usize) -> usize {
    view.rows().div_ceil(rows as u64) as usize
}

/// The rows of one piece. Reads may end early, at a chunk or at the cap of a crossing; so a piece may come as several batches.
fn each_batch(
    view: &View,
    context: &StageContext,
    piece: usize,
    piece_rows: usize,
    mut take: impl FnMut(u64, RecordBatch) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let mut start = (piece * piece_rows) as u64;
    let end = (start + piece_rows as u64).min(view.rows());
    while start < end {
        let rows = context.on_behalf(|| {
            let rows = view.table.read(start, (end - start) as usize, Some(&view.columns)).map_err(StageFault::host)?;
            batch::within_cap(&rows, &view.schema, context.world, start)
        })?;
        let count = rows.num_rows() as u64;
        take(start, rows).map_err(|fault| fault.counted_from(start))?;
        start += count;
    }
    Ok(())
}

/// A batch in as many as crossings take; its rows are counted from `first` on.
fn each_within_cap(
    batch: &RecordBatch,
    schema: &Schema,
    context: &StageContext,
    first: u64,
    mut take: impl FnMut(RecordBatch) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let mut done = 0;
    while done < batch.num_rows() {
        let start = first + done as u64;
        let part = context.on_behalf(|| {
            batch::within_cap(&batch.slice(done, batch.num_rows() - done), schema, context.world, start)
        })?;
        done += part.num_rows();
        take(part).map_err(|fault| fault.counted_from(start))?;
    }
    Ok(())
}

impl Sandbox for Runtime {
    fn ingest(
        &self,
        context: Arc<StageContext>,
        source: Option<&str>,
        sources: Arc<dyn Sources>,
    ) -> Result<Table, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), Some(sources))?;
        let indices = ingest::GuestIndices::new(&pre);
        let sources_given: Vec<String> = source.into_iter().map(str::to_owned).collect();
        let table = instance::call(&mut store, "ingest.ingest", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_ingest(store, &sources_given, &settings(&context))
        })?;
        take_table(&mut store, table, "ingest.ingest")
    }

    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = validate::GuestIndices::new(&pre);
        let handle = push_table(&mut store, View::whole(table.clone()))?;
        let expected = batch::fields_out(expected);
        let findings = instance::call(&mut store, "validate.validate", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_validate(store, handle, &expected, &settings(&context))
        })?;
        context.on_behalf(|| {
            let (checks, columns) =
                convert::findings_in(findings).map_err(|message| contract(&context, "validate.validate", message))?;
            // Findings become a document.
            store.data().desk.account.charge_output(convert::findings_bytes(&checks, &columns))?;
            Ok((checks, columns))
        })
    }

    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = transform::GuestIndices::new(&pre);
        let handle = push_table(&mut store, train.clone())?;
        let task = convert::task_out(task);
        let blob = instance::call(&mut store, "transform.fit", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_fit(store, handle, &task, &settings(&context))
        })?;
        take_blob(&mut store, blob)
    }

    fn transform(
        &self,
        context: Arc<StageContext>,
        state: &Blob,
        rows: &View,
        sink: TransformSink<'_>,
    ) -> Result<(), StageFault> {
        // The size of the transformed rows decides how many of them an instance gets: of those of a
        // usual width, what fits a crossing. However wide they are, a worker holds three parts at
        // most, each of one crossing. The instance that tells the size makes the first of them.
        let first = Transformer::new(self, &context, state, &rows.schema)?;
        let piece_rows = rows.table.schema().chunk_rows().min(rows_of_crossing(first.schema()));
        let first = Mutex::new(Some(first));
        // A new instance for each piece: what it made of other rows, and how many workers there
        // are, leaves no trace.
        let fresh = |piece: usize| {
            // The lock is over before an instance starts: workers do not wait for each other.
            let kept = first.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| piece == 0);
            kept.map_or_else(|| Transformer::new(self, &context, state, &rows.schema), Ok)
        };
        let step = |(): &mut (), piece: usize, give: Give<'_, (Schema, Option<(u64, RecordBatch)>)>| {
            let mut transformer = fresh(piece)?;
            let schema = transformer.schema().clone();
            if rows.rows() == 0 {
                give((schema.clone(), None))?;
            }
            each_batch(rows, &context, piece, piece_rows, |start, batch| {
                transformer.transform(&batch, |place, features| {
                    give((schema.clone(), Some((start + place as u64, features))))?;
                    Ok(0)
                })
            })?;
            // To give back an instance's memory takes time too.
            context.on_behalf(|| {
                drop(transformer);
                Ok(())
            })
        };
        let mut declared = None;
        let start = || Ok(());
        let pieces = pieces(rows, piece_rows).max(1);
        let permits = permits(self.1.budget, &context, pieces)?;
        in_order(pieces, permits, self.stack(), start, step, |_, (schema, part)| {
            if declared.get_or_insert_with(|| schema.clone()) != &schema {
                return Err(contract(&context, "transformer.fields", "two instances declare different columns"));
            }
            match part {
                Some((start, batch)) => sink(&schema, start, batch),
                None => sink(&schema, 0, RecordBatch::new_empty(schema.to_arrow())),
            }
        })
    }

    fn rebalance(&self, context: Arc<StageContext>, train: &Table, task: &Task) -> Result<Option<Table>, StageFault> {
        if !context.component.rebalances {
            return Ok(None);
        }
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = rebalance::GuestIndices::new(&pre);
        let handle = push_table(&mut store, View::whole(train.clone()))?;
        let task = convert::task_out(task);
        let table = instance::call(&mut store, "rebalance.rebalance", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_rebalance(store, handle, &task, &settings(&context))
        })?;
        table.map(|table| take_table(&mut store, table, "rebalance.rebalance")).transpose()
    }

    fn train(
        &self,
        context: Arc<StageContext>,
        train: &Table,
        validation: Option<&Table>,
        task: &Task,
    ) -> Result<Blob, StageFault> {
        let inputs = TrainInputs { train, validation, task: convert::task_out(task) };
        if !context.component.sharded {
            return self.train_whole(&context, &inputs);
        }
        let plan = self.plan_shards(&context, &inputs)?;
        let shards = plan.shards;
        if shards <= 1 {
            return self.train_whole(&context, &inputs);
        }
        if shards > MAX_SHARDS {
            return Err(contract(&context, "shards.plan-shards", format!("{shards} shards; at most {MAX_SHARDS}")));
        }
        let mut parts = Vec::with_capacity(shards as usize);
        let step = |(): &mut (), shard: usize, give: Give<'_, Blob>| {
            give(context.on_behalf(|| self.train_shard(&context, &inputs, &plan, shard as u32))?)
        };
        in_order(
            shards as usize,
            permits(self.1.budget, &context, shards as usize)?,
            self.stack(),
            || Ok(()),
            step,
            |_, part| {
                parts.push(part);
                Ok(())
            },
        )?;
        self.merge(&context, &plan, &parts)
    }

    fn importance(
        &self,
        context: Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        Predictor::new(self, &context, model, inputs, task)?.importance()
    }

    fn predict(&self, model: &ModelParts, rows: &View) -> Result<Vec<f64>, StageFault> {
        let piece_rows = rows.table.schema().chunk_rows();
        let piece = |pipeline: &mut Pipeline, piece: usize| {
            let mut done = Vec::new();
            each_batch(rows, &model.transformation, piece, piece_rows, |_, batch| {
                done.extend(pipeline.predict(&batch)?);
                Ok(())
            })?;
            Ok(done)
        };
        self.predict_pieces(model, &rows.schema, rows.rows(), pieces(rows, piece_rows), piece)
    }

    fn predict_batch(&self, model: &ModelParts, rows: &RecordBatch) -> Result<Vec<f64>, StageFault> {
        let most = model.features.chunk_rows();
        let piece = |pipeline: &mut Pipeline, piece: usize| {
            let start = piece * most;
            let mut done = Vec::new();
            let part = rows.slice(start, most.min(rows.num_rows() - start));
            each_within_cap(&part, &model.features, &model.transformation, start as u64, |batch| {
                done.extend(pipeline.predict(&batch)?);
                Ok(())
            })?;
            Ok(done)
        };
        self.predict_pieces(model, &model.features, rows.num_rows() as u64, rows.num_rows().div_ceil(most), piece)
    }

    fn transform_again(
        &self,
        context: &Arc<StageContext>,
        state: &Blob,
        inputs: &Schema,
        batches: &[RecordBatch],
    ) -> Result<(Schema, Vec<RecordBatch>), StageFault> {
        let mut transformer = Transformer::new(self, context, state, inputs)?;
        let mut transformed = Vec::with_capacity(batches.len());
        for batch in batches {
            each_within_cap(batch, inputs, context, 0, |batch| {
                transformer.transform(&batch, |_, features| {
                    let kept = packed::held_bytes(&features);
                    transformed.push(features);
                    Ok(kept as u64)
                })
            })?;
        }
        Ok((transformer.schema().clone(), transformed))
    }

    fn predict_again(
        &self,
        context: &Arc<StageContext>,
        model: &Blob,
        inputs: &Schema,
        task: &Task,
        batches: &[RecordBatch],
    ) -> Result<Vec<f64>, StageFault> {
        let mut predictor = Predictor::new(self, context, model, inputs, task)?;
        let mut numbers = Vec::new();
        for batch in batches {
            each_within_cap(batch, inputs, context, 0, |batch| {
                predictor.predict(&batch, |predictor, part| numbers.extend(predictor.by_row(&part)))
            })?;
        }
        Ok(numbers)
    }

    fn evaluate(
        &self,
        context: Arc<StageContext>,
        test: &View,
        candidate: ModelParts,
        champion: Option<ModelParts>,
        task: &Task,
    ) -> Result<Vec<(String, f64)>, StageFault> {
        on_stack(self.stack(), || {
            let (mut store, pre, started) = self.start(context.clone(), None)?;
            let indices = evaluate::GuestIndices::new(&pre);
            let table = push_table(&mut store, test.clone())?;
            let mut lend = |parts: ModelParts| -> Result<Resource<imports::Model>, StageFault> {
                let (features, importance) = (parts.features.clone(), parts.importance.clone());
                let lent = LentModel::new(&features, importance, &test.schema, |inputs| {
                    Box::new(LazyPipeline::new(self.clone(), parts, inputs))
                })?;
                Ok(Resource::new_own(store.data_mut().desk.lend_model(lent)?))
            };
            let candidate = lend(candidate)?;
            let champion = champion.map(lend).transpose()?;
            let task = convert::task_out(task);
            let metrics = instance::call(&mut store, "evaluate.evaluate", |mut store| {
                let guest = indices?.load(&mut store, &started)?;
                guest.call_evaluate(store, table, candidate, champion, &task, &settings(&context))
            })?;
            context.on_behalf(|| {
                convert::metrics_in(metrics).map_err(|message| contract(&context, "evaluate.evaluate", message))
            })
        })
    }

    fn component_bytes(&self, component: &Component) -> Result<Vec<u8>, StageFault> {
        self.0.bytes(component).map_err(StageFault::host)
    }

    fn restore(
        &self,
        world: World,
        component: &ModelComponent,
        artifacts: &ArtifactStore,
    ) -> Result<Component, StageFault> {
        let stubs = Stubs::named(&component.stubs);
        let origin = Origin::Stored(component.digest, artifacts.clone());
        // The model's own components were admitted when it was registered, and are named by digest;
        // the operator may want more.
        let trust = |digest| self.0.stored.admit(&component.name, digest);
        self.0.resolve(world, &component.name, &origin, stubs, &trust).map_err(|error| match error {
            RuntimeError::Refused { message, hint } => StageFault::Untrusted { message, hint },
            RuntimeError::Contract { name, found, wanted, .. } => {
                StageFault::Outdated { component: name, found, wanted }
            }
            error => StageFault::host(error),
        })
    }

    fn decide(&self, context: Arc<StageContext>, input: &DecisionInput) -> Result<StageDecision, StageFault> {
        let (mut store, pre, started) = self.start(context.clone(), None)?;
        let indices = decide::GuestIndices::new(&pre);
        let evaluation = convert::evaluation_out(input);
        let decision = instance::call(&mut store, "decide.decide", |mut store| {
            let guest = indices?.load(&mut store, &started)?;
            guest.call_decide(store, &evaluation, &settings(&context))
        })?;
        context.on_behalf(|| {
            convert::decision_in(decision).map_err(|message| contract(&context, "decide.decide", message))
        })
    }
}
