//! The lifecycle's [`Sandbox`], on Wasm components.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::admission::{self, Grant};
#[cfg(feature = "compiler")]
use crate::against::Difference;
use crate::batch;
use crate::call::{self, Export, Reply};
use crate::component::{Catalog, Inspection, Installation, Origin, Trust};
use crate::convert;
use crate::desk::LentModel;
use crate::engine::{self, EngineOptions};
use crate::error::RuntimeError;
use crate::parallel::{Give, in_order, on_stack, permits};
use crate::predictor::{LazyPipeline, Pipeline, Predictor, Transformer, rows_of_crossing};
use crate::seat::{Seat, contract};
use crate::wasi::Stubs;
use arrow_array::RecordBatch;
use stagewright_data::Task;
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::budget::Budget;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::ModelComponent;
use stagewright_lifecycle::sandbox::{
    Check, ColumnSummary, Component, DecisionInput, Level, ModelParts, Sandbox, Sources, StageContext, StageDecision,
    Tracker, TransformSink, View,
};
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Blob, Field, Schema, Table, packed};

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
pub struct Runtime(Arc<Catalog>);

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
        // What runs in processes of its own is killed, and compiled without looking at a clock.
        let options = EngineOptions {
            without_interruption: options.without_interruption || installation.process.is_some(),
            ..options
        };
        let engine = if installation.process.is_some() { engine::loading(options)? } else { engine::engine(options)? };
        Ok(Self(Arc::new(Catalog::new(engine, installation, options)?)))
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

    /// Compiles a component into a folder, to be copied into the cache of a host with the key in
    /// the file `key`. Returns the names of the files, which are what that host looks for: the
    /// first if its stages run in processes of their own, else the second. With `baseline` it runs
    /// on every processor of this architecture, else on those that can what this one can.
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
    ) -> Result<[String; 2], RuntimeError> {
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

    /// The budget that all runs of this process share.
    fn budget(&self) -> &'static Budget {
        self.0.options().budget
    }

    /// A new instance, with the desk that answers it.
    pub(crate) fn seat(
        &self,
        context: &Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
    ) -> Result<Seat, StageFault> {
        Seat::open(&self.0, context.clone(), sources)
    }

    /// One part of a sharded training, as a blob.
    fn train_shard(
        &self,
        context: &Arc<StageContext>,
        inputs: &TrainInputs<'_>,
        plan: &Plan,
        shard: u32,
    ) -> Result<Blob, StageFault> {
        let mut seat = self.seat(context, None)?;
        let inputs = inputs.lend(&mut seat)?;
        let (common, settings) = (seat.lend_blob(&plan.common)?, seat.settings());
        made(seat, Export::TrainShard { inputs, settings, common, shard, shards: plan.shards })
    }

    fn merge(&self, context: &Arc<StageContext>, plan: &Plan, parts: &[Blob]) -> Result<Blob, StageFault> {
        let mut seat = self.seat(context, None)?;
        let parts = parts.iter().map(|part| seat.lend_blob(part)).collect::<Result<Vec<_>, _>>()?;
        let (common, settings) = (seat.lend_blob(&plan.common)?, seat.settings());
        made(seat, Export::Merge { parts, settings, common })
    }

    fn train_whole(&self, context: &Arc<StageContext>, inputs: &TrainInputs<'_>) -> Result<Blob, StageFault> {
        let mut seat = self.seat(context, None)?;
        let (inputs, settings) = (inputs.lend(&mut seat)?, seat.settings());
        made(seat, Export::Train { inputs, settings })
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
            permits(self.budget(), &model.training, pieces.div_ceil(range))?,
            self.stack(),
            || Ok(Kept::nothing(&model.training)),
            |kept, number, give| {
                let pipeline = kept.fresh(|before| match before {
                    Some(pipeline) => Pipeline::renewed(pipeline, model),
                    None => Pipeline::new(self, model, inputs),
                })?;
                let mut done = Vec::new();
                for number in number * range..((number + 1) * range).min(pieces) {
                    done.extend(piece(pipeline, number)?);
                }
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
        let mut seat = self.seat(context, None)?;
        let (inputs, settings) = (inputs.lend(&mut seat)?, seat.settings());
        match seat.call(Export::PlanShards { inputs, settings })? {
            Reply::Plan { shards, common } => Ok(Plan { shards, common: seat.take_blob(common)? }),
            _ => Err(seat.other("shards.plan-shards")),
        }
    }
}

/// The instance that a worker keeps from one piece to the next. To give it back takes time, which
/// is the stage's.
struct Kept<'a, T> {
    context: &'a StageContext,
    kept: Option<T>,
}

impl<'a, T> Kept<'a, T> {
    fn nothing(context: &'a StageContext) -> Self {
        Self { context, kept: None }
    }

    /// Puts another in the place of the one that was kept.
    fn fresh(&mut self, make: impl FnOnce(Option<T>) -> Result<T, StageFault>) -> Result<&mut T, StageFault> {
        let made = make(self.kept.take())?;
        Ok(self.kept.insert(made))
    }
}

impl<T> Drop for Kept<'_, T> {
    fn drop(&mut self) {
        let kept = self.kept.take();
        // The stage is over, or another worker's fault ends it.
        let _ = self.context.on_behalf(|| {
            drop(kept);
            Ok(())
        });
    }
}

/// How a training falls into parts, and what they have in common.
struct Plan {
    shards: u32,
    common: Blob,
}

/// The tables that every part of a training reads.
struct TrainInputs<'a> {
    train: &'a Table,
    validation: Option<&'a Table>,
    task: &'a Task,
}

impl TrainInputs<'_> {
    fn lend(&self, seat: &mut Seat) -> Result<call::TrainInputs, StageFault> {
        let train = seat.lend_table(View::whole(self.train.clone()))?;
        let validation = self.validation.map(|table| seat.lend_table(View::whole(table.clone()))).transpose()?;
        Ok(call::TrainInputs { train, validation, task: convert::task_out(self.task) })
    }
}

/// The blob that a call makes.
fn made(mut seat: Seat, export: Export) -> Result<Blob, StageFault> {
    let name = export.name();
    match seat.call(export)? {
        Reply::Blob(blob) => seat.take_blob(blob),
        _ => Err(seat.other(name)),
    }
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
        let mut seat = self.seat(&context, Some(sources))?;
        let (sources, settings) = (source.into_iter().map(str::to_owned).collect(), seat.settings());
        match seat.call(Export::Ingest { sources, settings })? {
            Reply::Table(table) => seat.take_table(table, "ingest.ingest"),
            _ => Err(seat.other("ingest.ingest")),
        }
    }

    fn validate(
        &self,
        context: Arc<StageContext>,
        table: &Table,
        expected: &[Field],
    ) -> Result<(Vec<Check>, Vec<ColumnSummary>), StageFault> {
        let mut seat = self.seat(&context, None)?;
        let table = seat.lend_table(View::whole(table.clone()))?;
        let (expected, settings) = (batch::fields_out(expected), seat.settings());
        let Reply::Findings(findings) = seat.call(Export::Validate { table, expected, settings })? else {
            return Err(seat.other("validate.validate"));
        };
        context.on_behalf(|| {
            let (checks, columns) =
                convert::findings_in(findings).map_err(|message| seat.broke("validate.validate", message))?;
            // Findings become a document.
            seat.desk().account.charge_output(convert::findings_bytes(&checks, &columns))?;
            Ok((checks, columns))
        })
    }

    fn fit(&self, context: Arc<StageContext>, train: &View, task: &Task) -> Result<Blob, StageFault> {
        let mut seat = self.seat(&context, None)?;
        let (train, settings) = (seat.lend_table(train.clone())?, seat.settings());
        made(seat, Export::Fit { train, task: convert::task_out(task), settings })
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
        let fresh = |piece: usize, before: Option<Transformer>| {
            // The lock is over before an instance starts: workers do not wait for each other.
            let first = first.lock().unwrap_or_else(PoisonError::into_inner).take_if(|_| piece == 0);
            match (first, before) {
                (Some(first), _) => Ok(first),
                (None, Some(before)) => before.renewed(state),
                (None, None) => Transformer::new(self, &context, state, &rows.schema),
            }
        };
        let step = |kept: &mut Kept<'_, _>, piece: usize, give: Give<'_, (Schema, Option<(u64, RecordBatch)>)>| {
            let transformer = kept.fresh(|before| fresh(piece, before))?;
            let schema = transformer.schema().clone();
            if rows.rows() == 0 {
                give((schema.clone(), None))?;
            }
            each_batch(rows, &context, piece, piece_rows, |start, batch| {
                transformer.transform(&batch, |place, features| {
                    give((schema.clone(), Some((start + place as u64, features))))?;
                    Ok(0)
                })
            })
        };
        let mut declared = None;
        let start = || Ok(Kept::nothing(&context));
        let pieces = pieces(rows, piece_rows).max(1);
        let permits = permits(self.budget(), &context, pieces)?;
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
        let mut seat = self.seat(&context, None)?;
        let (train, settings) = (seat.lend_table(View::whole(train.clone()))?, seat.settings());
        match seat.call(Export::Rebalance { train, task: convert::task_out(task), settings })? {
            Reply::Rebalanced(table) => table.map(|table| seat.take_table(table, "rebalance.rebalance")).transpose(),
            _ => Err(seat.other("rebalance.rebalance")),
        }
    }

    fn train(
        &self,
        context: Arc<StageContext>,
        train: &Table,
        validation: Option<&Table>,
        task: &Task,
    ) -> Result<Blob, StageFault> {
        let inputs = TrainInputs { train, validation, task };
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
            permits(self.budget(), &context, shards as usize)?,
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
            let mut seat = self.seat(&context, None)?;
            let mut lend = |parts: ModelParts| {
                let (features, importance) = (parts.features.clone(), parts.importance.clone());
                let lent = LentModel::new(&features, importance, &test.schema, |inputs| {
                    Box::new(LazyPipeline::new(self.clone(), parts, inputs))
                })?;
                seat.desk().lend_model(lent)
            };
            let candidate = lend(candidate)?;
            let champion = champion.map(lend).transpose()?;
            let test = seat.lend_table(test.clone())?;
            let (task, settings) = (convert::task_out(task), seat.settings());
            let Reply::Metrics(metrics) = seat.call(Export::Evaluate { test, candidate, champion, task, settings })?
            else {
                return Err(seat.other("evaluate.evaluate"));
            };
            context
                .on_behalf(|| convert::metrics_in(metrics).map_err(|message| seat.broke("evaluate.evaluate", message)))
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
        let mut seat = self.seat(&context, None)?;
        let (evaluation, settings) = (convert::evaluation_out(input), seat.settings());
        let Reply::Decision(decision) = seat.call(Export::Decide { evaluation, settings })? else {
            return Err(seat.other("decide.decide"));
        };
        context.on_behalf(|| convert::decision_in(decision).map_err(|message| seat.broke("decide.decide", message)))
    }
}
