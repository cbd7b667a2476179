//! An instance in this process, and how it performs calls.
//!
//! The same code runs in the host and in a stage process; only the [`Host`] differs.

use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::{Contract, World};
use wasmtime::component::{Instance, InstancePre, Resource, ResourceAny, ResourceTableError};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bindings::GuestResult;
use crate::bindings::exports::stagewright::stage::{
    assess, decide, evaluate, ingest, metadata, predict, prepare, rebalance, train, transform, validate,
};
use crate::bindings::sharded::exports::stagewright::stage::shards;
use crate::bindings::stagewright::stage::types::Batch;
use crate::engine::EngineOptions;
use crate::export_call::{CallOutcome, Crash, EngineLimit, ExportCall, OptionalExports, Reply, TrainInputs};
use crate::import_call::Host;
use crate::resource_types::{Blob, Table};
use crate::store_data::{self, StoreData};

/// The transformer or predictor that an instance has loaded.
enum Loaded {
    Transformer(transform::Guest, ResourceAny),
    Predictor(predict::Guest, ResourceAny),
}

/// An instance in this process, which starts with its first call.
pub(crate) struct LocalInstance<H: Host> {
    pub(crate) store: Store<StoreData<H>>,
    pre: InstancePre<StoreData<H>>,
    options: EngineOptions,
    instance: Option<Instance>,
    loaded: Option<Loaded>,
}

impl<H: Host> LocalInstance<H> {
    pub(crate) fn new(data: StoreData<H>, pre: InstancePre<StoreData<H>>, options: EngineOptions) -> Self {
        Self { store: store_data::new_store(pre.engine(), options, data), pre, options, instance: None, loaded: None }
    }

    /// Replaces the instance by a fresh one, which shares no state with it.
    #[must_use]
    pub(crate) fn renewed(self, host: H) -> Self {
        // The old store is dropped first: the pool may have room for one only.
        Self::new(self.store.into_data().restarted(host), self.pre, self.options)
    }

    /// Performs a call.
    ///
    /// # Errors
    /// Returns the fault of an import, which ends the instance.
    pub(crate) fn call(&mut self, export: ExportCall) -> Result<CallOutcome, StageFault> {
        let at_start = self.instance.is_none();
        let started = if at_start { self.start() } else { Ok(()) };
        let at_start = at_start && started.is_err();
        let result = started.and_then(|()| self.perform(export));
        self.outcome(at_start, result)
    }

    /// Calls `transformer.transform` or `predictor.predict`, whichever was loaded. As
    /// [`LocalInstance::call`], without moving the rows.
    ///
    /// # Errors
    /// Returns the fault of an import, which ends the instance.
    pub(crate) fn call_rows(&mut self, rows: &Batch) -> Result<CallOutcome, StageFault> {
        let store = &mut self.store;
        let result = match &self.loaded {
            Some(Loaded::Transformer(guest, transformer)) => {
                guest.transformer().call_transform(store, *transformer, rows)
            }
            Some(Loaded::Predictor(guest, predictor)) => guest.predictor().call_predict(store, *predictor, rows),
            None => Err(wasmtime::Error::msg("nothing was loaded")),
        };
        self.outcome(false, result.map(|result| result.map(Reply::Rows)))
    }

    /// Returns how a call ended.
    fn outcome(
        &mut self,
        at_start: bool,
        result: wasmtime::Result<GuestResult<Reply>>,
    ) -> Result<CallOutcome, StageFault> {
        let output = self.store.data().output.take();
        let result = match result {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.crash(error)?),
        };
        Ok(CallOutcome { written: output.text, dropped: output.dropped, at_start, result })
    }

    fn start(&mut self) -> wasmtime::Result<()> {
        self.instance = Some(self.pre.instantiate(&mut self.store)?);
        Ok(())
    }

    fn perform(&mut self, export: ExportCall) -> wasmtime::Result<GuestResult<Reply>> {
        let Self { store, pre, instance: Some(instance), loaded, .. } = self else {
            return Err(wasmtime::Error::msg("the instance did not start"));
        };
        let (mut store, pre, instance) = (&mut *store, &*pre, &*instance);
        /// Loads the bindings of an exported interface.
        macro_rules! guest {
            ($interface:ident) => {
                $interface::GuestIndices::new(pre)?.load(&mut store, instance)?
            };
        }
        Ok(match export {
            ExportCall::Describe { world, optional } => {
                check_types(store, pre, instance, world, optional)
                    .map_err(|error| Crash::Types(format!("{error:#}")))?;
                Ok(Reply::Description(guest!(metadata).call_describe(store)?))
            }
            ExportCall::Ingest { sources, settings } => {
                guest!(ingest).call_ingest(store, &sources, &settings)?.map(table)
            }
            ExportCall::Prepare { inputs, settings } => {
                let inputs: Vec<_> = inputs.into_iter().map(|(name, table)| (name, Resource::new_own(table))).collect();
                guest!(prepare).call_prepare(store, &inputs, &settings)?.map(table)
            }
            ExportCall::Validate { table, expected, settings } => guest!(validate)
                .call_validate(store, Resource::new_own(table), &expected, &settings)?
                .map(Reply::Findings),
            ExportCall::Assess { table, references, expected, settings } => {
                let references: Vec<_> =
                    references.into_iter().map(|(name, table)| (name, Resource::new_own(table))).collect();
                guest!(assess)
                    .call_assess(store, Resource::new_own(table), &references, &expected, &settings)?
                    .map(Reply::Assessment)
            }
            ExportCall::Fit { train, task, settings } => {
                guest!(transform).call_fit(store, Resource::new_own(train), &task, &settings)?.map(blob)
            }
            ExportCall::Rebalance { train, task, settings } => guest!(rebalance)
                .call_rebalance(store, Resource::new_own(train), &task, &settings)?
                .map(|table| Reply::Rebalanced(table.map(|table| table.rep()))),
            ExportCall::LoadTransformer { state, inputs } => {
                let guest = guest!(transform);
                let transformer = guest.transformer().call_load(store, Resource::new_own(state), &inputs)?;
                transformer.map(|transformer| {
                    *loaded = Some(Loaded::Transformer(guest, transformer));
                    Reply::Nothing
                })
            }
            ExportCall::LoadPredictor { model, inputs } => {
                let guest = guest!(predict);
                let predictor = guest.predictor().call_load(store, Resource::new_own(model), &inputs)?;
                predictor.map(|predictor| {
                    *loaded = Some(Loaded::Predictor(guest, predictor));
                    Reply::Nothing
                })
            }
            ExportCall::Train { inputs: TrainInputs { train, validation, task }, settings } => {
                let validation = validation.map(Resource::new_own);
                guest!(train).call_train(store, Resource::new_own(train), validation, &task, &settings)?.map(blob)
            }
            ExportCall::PlanShards { inputs: TrainInputs { train, validation, task }, settings } => {
                let validation = validation.map(Resource::new_own);
                guest!(shards)
                    .call_plan_shards(store, Resource::new_own(train), validation, &task, &settings)?
                    .map(|plan| Reply::Plan { shards: plan.shards, common: plan.common.rep() })
            }
            ExportCall::TrainShard {
                inputs: TrainInputs { train, validation, task },
                settings,
                common,
                shard,
                shards: of,
            } => {
                let (train, validation) = (Resource::new_own(train), validation.map(Resource::new_own));
                let common = Resource::new_own(common);
                guest!(shards)
                    .call_train_shard(store, train, validation, &task, &settings, common, shard, of)?
                    .map(blob)
            }
            ExportCall::Merge { parts, settings, common } => {
                let parts: Vec<_> = parts.into_iter().map(Resource::new_own).collect();
                guest!(shards).call_merge(store, &parts, &settings, Resource::new_own(common))?.map(blob)
            }
            ExportCall::Evaluate { test, candidate, champion, task, settings } => {
                let (test, candidate) = (Resource::new_own(test), Resource::new_own(candidate));
                let champion = champion.map(Resource::new_own);
                guest!(evaluate).call_evaluate(store, test, candidate, champion, &task, &settings)?.map(Reply::Metrics)
            }
            ExportCall::Decide { evaluation, settings } => {
                guest!(decide).call_decide(store, &evaluation, &settings)?.map(Reply::Decision)
            }
            call => match loaded {
                Some(Loaded::Transformer(guest, transformer)) => call_transformer(store, guest, *transformer, call)?,
                Some(Loaded::Predictor(guest, predictor)) => call_predictor(store, guest, *predictor, call)?,
                None => return Err(wasmtime::Error::msg("nothing was loaded")),
            },
        })
    }

    /// Classifies the error that ended a call.
    ///
    /// # Errors
    /// Returns the fault of an import unchanged.
    fn crash(&self, error: wasmtime::Error) -> Result<Crash, StageFault> {
        let error = match error.downcast::<StageFault>() {
            Ok(fault) => return Err(fault),
            Err(error) => error,
        };
        if let Some(crash) = error.downcast_ref::<Crash>() {
            return Ok(crash.clone());
        }
        let cause = error.root_cause().to_string();
        if let Some(limit) = engine_limit(&error, &cause) {
            return Ok(Crash::OperatorLimit(limit, None));
        }
        if let Some(Trap::Interrupt) = error.downcast_ref::<Trap>() {
            return Ok(Crash::Interrupted);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Ok(Crash::NoRoom);
        }
        let last = self.store.data().output.last();
        Ok(Crash::Trap(if last.is_empty() { cause } else { format!("{cause}; it wrote: {last}") }))
    }
}

fn table(table: Resource<Table>) -> Reply {
    Reply::Table(table.rep())
}

fn blob(blob: Resource<Blob>) -> Reply {
    Reply::Blob(blob.rep())
}

fn call_transformer<H: Host>(
    store: &mut Store<StoreData<H>>,
    guest: &transform::Guest,
    transformer: ResourceAny,
    call: ExportCall,
) -> wasmtime::Result<GuestResult<Reply>> {
    let guest = guest.transformer();
    match call {
        ExportCall::TransformerFields => Ok(Ok(Reply::Fields(guest.call_fields(store, transformer)?))),
        ExportCall::Transform { rows } => Ok(guest.call_transform(store, transformer, &rows)?.map(Reply::Rows)),
        other => Err(wasmtime::Error::msg(format!("a transformer has no `{}`", other.name()))),
    }
}

fn call_predictor<H: Host>(
    store: &mut Store<StoreData<H>>,
    guest: &predict::Guest,
    predictor: ResourceAny,
    call: ExportCall,
) -> wasmtime::Result<GuestResult<Reply>> {
    let guest = guest.predictor();
    match call {
        ExportCall::PredictorOutputs => Ok(Ok(Reply::Outputs(guest.call_outputs(store, predictor)?))),
        ExportCall::Predict { rows } => Ok(guest.call_predict(store, predictor, &rows)?.map(Reply::Rows)),
        ExportCall::PredictorImportance => Ok(Ok(Reply::Importance(guest.call_importance(store, predictor)?))),
        other => Err(wasmtime::Error::msg(format!("a predictor has no `{}`", other.name()))),
    }
}

/// Checks that every interface of a world is exported with the contract's types. Admission has
/// checked the names only.
fn check_types<H: Host>(
    store: &mut Store<StoreData<H>>,
    pre: &InstancePre<StoreData<H>>,
    instance: &Instance,
    world: World,
    optional: OptionalExports,
) -> wasmtime::Result<()> {
    macro_rules! check {
        ($interface:ident) => {{
            $interface::GuestIndices::new(pre)?.load(&mut *store, instance)?;
        }};
    }
    let Contract { exports, optional: own, .. } = world.contract();
    for interface in exports.iter().chain(*own) {
        match *interface {
            "shards" if !optional.sharded => {}
            "rebalance" if !optional.rebalances => {}
            "assess" if !optional.assesses => {}
            "ingest" => check!(ingest),
            "prepare" => check!(prepare),
            "validate" => check!(validate),
            "assess" => check!(assess),
            "transform" => check!(transform),
            "rebalance" => check!(rebalance),
            "train" => check!(train),
            "predict" => check!(predict),
            "shards" => check!(shards),
            "evaluate" => check!(evaluate),
            "decide" => check!(decide),
            other => wasmtime::bail!("nothing calls the interface `{other}`"),
        }
    }
    Ok(())
}

/// Returns the operator's limit that an engine error reports, if it reports one.
fn engine_limit(error: &wasmtime::Error, cause: &str) -> Option<EngineLimit> {
    // wasmtime has no error types for these two. The hostile test suite fails if their texts
    // change.
    let full = cause.contains("store handle limit exceeded");
    let exhausted = cause.contains("fuel allocated for hostcalls has been exhausted");
    if full || matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        Some(EngineLimit::Handles)
    } else if exhausted {
        Some(EngineLimit::CallBytes)
    } else if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        Some(EngineLimit::Stack)
    } else {
        None
    }
}
