//! Calls of exports as values, and an instance that performs them.
//!
//! The same code performs a call in this process and in another one: [`Running`].

use serde::{Deserialize, Serialize};
use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::{Contract, World};
use wasmtime::component::{Instance, InstancePre, Resource, ResourceAny, ResourceTableError};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::ask::{Heard, Host};
use crate::bindings::exports::stagewright::stage::{
    decide, evaluate, ingest, metadata, predict, prepare, rebalance, train, transform, validate,
};
use crate::bindings::sharded::exports::stagewright::stage::shards;
use crate::bindings::stagewright::stage::types::{
    Batch, DataFault, Failure, Field, Metric, Output, ParameterFault, Settings, Task,
};
use crate::desk::Handle;
use crate::engine::EngineOptions;
use crate::far::wire::Heavy;
use crate::guest::{self, Guest};

/// Interfaces that a component exports although its world leaves them to its author.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Optional {
    /// WIT `shards`.
    pub(crate) sharded: bool,
    /// WIT `rebalance`.
    pub(crate) rebalances: bool,
}

/// Inputs of a training, by their numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrainInputs {
    pub(crate) train: Handle,
    pub(crate) validation: Option<Handle>,
    pub(crate) task: Task,
}

/// A call of an export. Handles are those of the desk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Export {
    /// Checks the types of what is exported, and asks the component what it is.
    Describe {
        world: World,
        optional: Optional,
    },
    Ingest {
        sources: Vec<String>,
        settings: Settings,
    },
    Prepare {
        inputs: Vec<(String, Handle)>,
        settings: Settings,
    },
    Validate {
        table: Handle,
        expected: Vec<Field>,
        settings: Settings,
    },
    Fit {
        train: Handle,
        task: Task,
        settings: Settings,
    },
    Rebalance {
        train: Handle,
        task: Task,
        settings: Settings,
    },
    LoadTransformer {
        state: Handle,
        inputs: Vec<Field>,
    },
    TransformerFields,
    Transform {
        rows: Batch,
    },
    Train {
        inputs: TrainInputs,
        settings: Settings,
    },
    PlanShards {
        inputs: TrainInputs,
        settings: Settings,
    },
    TrainShard {
        inputs: TrainInputs,
        settings: Settings,
        common: Handle,
        shard: u32,
        shards: u32,
    },
    Merge {
        parts: Vec<Handle>,
        settings: Settings,
        common: Handle,
    },
    LoadPredictor {
        model: Handle,
        inputs: Vec<Field>,
    },
    PredictorOutputs,
    Predict {
        rows: Batch,
    },
    PredictorImportance,
    Evaluate {
        test: Handle,
        candidate: Handle,
        champion: Option<Handle>,
        task: Task,
        settings: Settings,
    },
    Decide {
        evaluation: decide::Evaluation,
        settings: Settings,
    },
}

impl Export {
    /// Its name in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Describe { .. } => "describe",
            Self::Ingest { .. } => "ingest.ingest",
            Self::Prepare { .. } => "prepare.prepare",
            Self::Validate { .. } => "validate.validate",
            Self::Fit { .. } => "transform.fit",
            Self::Rebalance { .. } => "rebalance.rebalance",
            Self::LoadTransformer { .. } => "transformer.load",
            Self::TransformerFields => "transformer.fields",
            Self::Transform { .. } => "transformer.transform",
            Self::Train { .. } => "train.train",
            Self::PlanShards { .. } => "shards.plan-shards",
            Self::TrainShard { .. } => "shards.train-shard",
            Self::Merge { .. } => "shards.merge",
            Self::LoadPredictor { .. } => "predictor.load",
            Self::PredictorOutputs => "predictor.outputs",
            Self::Predict { .. } => "predictor.predict",
            Self::PredictorImportance => "predictor.importance",
            Self::Evaluate { .. } => "evaluate.evaluate",
            Self::Decide { .. } => "decide.decide",
        }
    }
}

impl Heavy for Export {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Transform { rows } | Self::Predict { rows } => Some(&mut rows.bytes),
            _ => None,
        }
    }
}

/// The value that an export returned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Nothing,
    Description(metadata::Description),
    Table(Handle),
    Findings(validate::Findings),
    Blob(Handle),
    Rebalanced(Option<Handle>),
    Fields(Vec<Field>),
    Rows(Batch),
    Plan { shards: u32, common: Handle },
    Outputs(Vec<Output>),
    Importance(Vec<f64>),
    Metrics(Vec<Metric>),
    Decision(decide::Decision),
}

/// How a call ended, as the instance's process says it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Returned {
    /// The text that the guest wrote to standard output and error.
    pub(crate) written: String,
    /// Lines of it that were not kept.
    pub(crate) dropped: u64,
    /// Whether it ended before the export was called, in the start functions.
    pub(crate) at_start: bool,
    pub(crate) result: Result<Heard<Reply>, Crash>,
}

/// Bytes of a text that cross. The parent shows less.
const TEXT: usize = 64 << 10;

/// Numbers of a list that the parent compares with something of its own. It never has as many.
const NUMBERS: usize = 1 << 20;

impl Returned {
    /// Cuts off what the parent would not look at: a failure that is too long is one all the same.
    pub(crate) fn shorten(&mut self) {
        fn cut(text: &mut String) {
            text.truncate(text.floor_char_boundary(TEXT));
        }
        match &mut self.result {
            Ok(Err(Failure::Data(DataFault { message, column, value, .. }))) => {
                [Some(message), column.as_mut(), value.as_mut()].into_iter().flatten().for_each(cut);
            }
            Ok(Err(Failure::Parameter(ParameterFault { parameter, message }))) => {
                [parameter, message].into_iter().for_each(cut);
            }
            Ok(Err(Failure::Internal(message))) => cut(message),
            Ok(Ok(Reply::Importance(numbers))) => numbers.truncate(NUMBERS),
            _ => {}
        }
    }
}

impl Heavy for Returned {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.result {
            Ok(Ok(Reply::Rows(rows))) => Some(&mut rows.bytes),
            _ => None,
        }
    }
}

/// Why a call did not return.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Crash {
    /// A limit on its memory: bytes that it wanted.
    #[error("it wants {0} bytes of memory")]
    Memory(u64),
    /// One of the operator's limits: what it wanted, where that is known.
    #[error("one of the operator's limits")]
    Bound(Bound, Option<u64>),
    /// The types of its exports are not the contract's.
    #[error("{0}")]
    Types(String),
    /// A trap: in the engine's words, and the guest's last ones.
    #[error("{0}")]
    Trap(String),
    /// It was told to stop.
    #[error("it was told to stop")]
    Interrupted,
    /// There is no room for another instance: no fault of the guest's.
    #[error("this process has as many instances as it can")]
    NoRoom,
}

/// A limit of the operator's that an engine notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bound {
    Handles,
    CallBytes,
    Stack,
    TableElements,
}

/// Something that an instance has loaded, and is asked.
enum Loaded {
    Transformer(transform::Guest, ResourceAny),
    Predictor(predict::Guest, ResourceAny),
}

/// An instance, from its start on.
pub(crate) struct Running<D: Host> {
    pub(crate) store: Store<Guest<D>>,
    pre: InstancePre<Guest<D>>,
    options: EngineOptions,
    instance: Option<Instance>,
    loaded: Option<Loaded>,
}

impl<D: Host> Running<D> {
    /// An instance that starts with its first call.
    pub(crate) fn new(guest: Guest<D>, pre: InstancePre<Guest<D>>, options: EngineOptions) -> Self {
        Self { store: guest::store(pre.engine(), options, guest), pre, options, instance: None, loaded: None }
    }

    /// The same with a fresh instance, which finds nothing of this one.
    #[must_use]
    pub(crate) fn renewed(self, desk: D) -> Self {
        // The store goes first: a pool may have room for one.
        Self::new(self.store.into_data().restarted(desk), self.pre, self.options)
    }

    /// Performs a call.
    ///
    /// # Errors
    /// A fault of an import, which ends the instance.
    pub(crate) fn call(&mut self, export: Export) -> Result<Returned, StageFault> {
        let at_start = self.instance.is_none();
        let started = if at_start { self.start() } else { Ok(()) };
        let at_start = at_start && started.is_err();
        let result = started.and_then(|()| self.perform(export));
        let written = self.store.data().written.take();
        let result = match result {
            Ok(heard) => Ok(heard),
            Err(error) => Err(self.crash(error)?),
        };
        Ok(Returned { written: written.text, dropped: written.dropped, at_start, result })
    }

    fn start(&mut self) -> wasmtime::Result<()> {
        self.instance = Some(self.pre.instantiate(&mut self.store)?);
        Ok(())
    }

    fn perform(&mut self, export: Export) -> wasmtime::Result<Heard<Reply>> {
        let Self { store, pre, instance: Some(instance), loaded, .. } = self else {
            return Err(wasmtime::Error::msg("the instance did not start"));
        };
        let (mut store, pre, instance) = (&mut *store, &*pre, &*instance);
        /// The guest's side of an exported interface.
        macro_rules! guest {
            ($interface:ident) => {
                $interface::GuestIndices::new(pre)?.load(&mut store, instance)?
            };
        }
        Ok(match export {
            Export::Describe { world, optional } => {
                check_types(store, pre, instance, world, optional)
                    .map_err(|error| Crash::Types(format!("{error:#}")))?;
                Ok(Reply::Description(guest!(metadata).call_describe(store)?))
            }
            Export::Ingest { sources, settings } => guest!(ingest).call_ingest(store, &sources, &settings)?.map(table),
            Export::Prepare { inputs, settings } => {
                let inputs: Vec<_> = inputs.into_iter().map(|(name, table)| (name, Resource::new_own(table))).collect();
                guest!(prepare).call_prepare(store, &inputs, &settings)?.map(table)
            }
            Export::Validate { table, expected, settings } => guest!(validate)
                .call_validate(store, Resource::new_own(table), &expected, &settings)?
                .map(Reply::Findings),
            Export::Fit { train, task, settings } => {
                guest!(transform).call_fit(store, Resource::new_own(train), &task, &settings)?.map(blob)
            }
            Export::Rebalance { train, task, settings } => guest!(rebalance)
                .call_rebalance(store, Resource::new_own(train), &task, &settings)?
                .map(|made| Reply::Rebalanced(made.map(|made| made.rep()))),
            Export::LoadTransformer { state, inputs } => {
                let guest = guest!(transform);
                let made = guest.transformer().call_load(store, Resource::new_own(state), &inputs)?;
                made.map(|made| {
                    *loaded = Some(Loaded::Transformer(guest, made));
                    Reply::Nothing
                })
            }
            Export::LoadPredictor { model, inputs } => {
                let guest = guest!(predict);
                let made = guest.predictor().call_load(store, Resource::new_own(model), &inputs)?;
                made.map(|made| {
                    *loaded = Some(Loaded::Predictor(guest, made));
                    Reply::Nothing
                })
            }
            Export::Train { inputs: TrainInputs { train, validation, task }, settings } => {
                let validation = validation.map(Resource::new_own);
                guest!(train).call_train(store, Resource::new_own(train), validation, &task, &settings)?.map(blob)
            }
            Export::PlanShards { inputs: TrainInputs { train, validation, task }, settings } => {
                let validation = validation.map(Resource::new_own);
                guest!(shards)
                    .call_plan_shards(store, Resource::new_own(train), validation, &task, &settings)?
                    .map(|plan| Reply::Plan { shards: plan.shards, common: plan.common.rep() })
            }
            Export::TrainShard {
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
            Export::Merge { parts, settings, common } => {
                let parts: Vec<_> = parts.into_iter().map(Resource::new_own).collect();
                guest!(shards).call_merge(store, &parts, &settings, Resource::new_own(common))?.map(blob)
            }
            Export::Evaluate { test, candidate, champion, task, settings } => {
                let (test, candidate) = (Resource::new_own(test), Resource::new_own(candidate));
                let champion = champion.map(Resource::new_own);
                guest!(evaluate).call_evaluate(store, test, candidate, champion, &task, &settings)?.map(Reply::Metrics)
            }
            Export::Decide { evaluation, settings } => {
                guest!(decide).call_decide(store, &evaluation, &settings)?.map(Reply::Decision)
            }
            asked => match loaded {
                Some(Loaded::Transformer(guest, made)) => ask_transformer(store, guest, *made, asked)?,
                Some(Loaded::Predictor(guest, made)) => ask_predictor(store, guest, *made, asked)?,
                None => return Err(wasmtime::Error::msg("nothing was loaded")),
            },
        })
    }

    /// Why a call ended early.
    ///
    /// # Errors
    /// A fault of an import, as it is.
    fn crash(&self, error: wasmtime::Error) -> Result<Crash, StageFault> {
        let error = match error.downcast::<StageFault>() {
            Ok(fault) => return Err(fault),
            Err(error) => error,
        };
        if let Some(crash) = error.downcast_ref::<Crash>() {
            return Ok(crash.clone());
        }
        let cause = error.root_cause().to_string();
        if let Some(bound) = bound(&error, &cause) {
            return Ok(Crash::Bound(bound, None));
        }
        if let Some(Trap::Interrupt) = error.downcast_ref::<Trap>() {
            return Ok(Crash::Interrupted);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Ok(Crash::NoRoom);
        }
        let last = self.store.data().written.last();
        Ok(Crash::Trap(if last.is_empty() { cause } else { format!("{cause}; it wrote: {last}") }))
    }
}

fn table(made: Resource<crate::imports::Table>) -> Reply {
    Reply::Table(made.rep())
}

fn blob(made: Resource<crate::imports::Blob>) -> Reply {
    Reply::Blob(made.rep())
}

fn ask_transformer<D: Host>(
    store: &mut Store<Guest<D>>,
    guest: &transform::Guest,
    made: ResourceAny,
    asked: Export,
) -> wasmtime::Result<Heard<Reply>> {
    let guest = guest.transformer();
    match asked {
        Export::TransformerFields => Ok(Ok(Reply::Fields(guest.call_fields(store, made)?))),
        Export::Transform { rows } => Ok(guest.call_transform(store, made, &rows)?.map(Reply::Rows)),
        other => Err(wasmtime::Error::msg(format!("a transformer has no `{}`", other.name()))),
    }
}

fn ask_predictor<D: Host>(
    store: &mut Store<Guest<D>>,
    guest: &predict::Guest,
    made: ResourceAny,
    asked: Export,
) -> wasmtime::Result<Heard<Reply>> {
    let guest = guest.predictor();
    match asked {
        Export::PredictorOutputs => Ok(Ok(Reply::Outputs(guest.call_outputs(store, made)?))),
        Export::Predict { rows } => Ok(guest.call_predict(store, made, &rows)?.map(Reply::Rows)),
        Export::PredictorImportance => Ok(Ok(Reply::Importance(guest.call_importance(store, made)?))),
        other => Err(wasmtime::Error::msg(format!("a predictor has no `{}`", other.name()))),
    }
}

/// Looks that everything that a world asks for is exported with the world's types: a name alone
/// says nothing.
fn check_types<D: Host>(
    store: &mut Store<Guest<D>>,
    pre: &InstancePre<Guest<D>>,
    instance: &Instance,
    world: World,
    optional: Optional,
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
            "ingest" => check!(ingest),
            "prepare" => check!(prepare),
            "validate" => check!(validate),
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

/// The operator's limit that an error of the engine stands for, if it stands for one.
fn bound(error: &wasmtime::Error, cause: &str) -> Option<Bound> {
    // These two have no type of their own in the engine's interface; the hostile suite notices if
    // their words change.
    let full = cause.contains("store handle limit exceeded");
    let exhausted = cause.contains("fuel allocated for hostcalls has been exhausted");
    if full || matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        Some(Bound::Handles)
    } else if exhausted {
        Some(Bound::CallBytes)
    } else if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        Some(Bound::Stack)
    } else {
        None
    }
}
