//! Calls of exports as values, and how they end.
//!
//! The same values are used in this process and between a stage process and its parent.

use serde::{Deserialize, Serialize};
use stagewright_manifest::World;

use crate::bindings::GuestResult;
use crate::bindings::exports::stagewright::stage::{assess, decide, metadata, validate};
use crate::bindings::stagewright::stage::types::{
    Batch, DataFault, Failure, Field, Metric, Output, ParameterFault, Settings, Task,
};
use crate::process::message::Payload;
use crate::resource_types::Handle;

/// The interfaces that are optional in a component's world and that it exports.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct OptionalExports {
    /// WIT `shards`.
    pub(crate) sharded: bool,
    /// WIT `rebalance`.
    pub(crate) rebalances: bool,
    /// WIT `assess`.
    pub(crate) assesses: bool,
}

/// The inputs of a training.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrainInputs {
    pub(crate) train: Handle,
    pub(crate) validation: Option<Handle>,
    pub(crate) task: Task,
}

/// A call of an export. Handles are those of the instance's host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ExportCall {
    /// Checks the types of all exports and calls `describe`.
    Describe {
        world: World,
        optional: OptionalExports,
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
    Assess {
        table: Handle,
        references: Vec<(String, Handle)>,
        expected: Vec<Field>,
        settings: Settings,
    },
}

impl ExportCall {
    /// Returns the name of the export in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Describe { .. } => "describe",
            Self::Ingest { .. } => "ingest.ingest",
            Self::Prepare { .. } => "prepare.prepare",
            Self::Validate { .. } => "validate.validate",
            Self::Assess { .. } => "assess.assess",
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

impl Payload for ExportCall {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Transform { rows } | Self::Predict { rows } => Some(&mut rows.bytes),
            _ => None,
        }
    }
}

/// The result of an export.
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
    Assessment(assess::Assessment),
}

/// The outcome of a call, which a stage process sends to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CallOutcome {
    /// The text that the guest wrote to standard output and error.
    pub(crate) written: String,
    /// The number of lines that exceeded the buffer.
    pub(crate) dropped: u64,
    /// Whether the call failed during instantiation, before the export was called.
    pub(crate) at_start: bool,
    pub(crate) result: Result<GuestResult<Reply>, Crash>,
}

/// The longest text that is sent to the parent, in bytes. The parent shows less.
const MAX_TEXT: usize = 64 << 10;

/// The longest list of importances that is sent to the parent. No table has as many columns.
const MAX_IMPORTANCES: usize = 1 << 20;

impl CallOutcome {
    /// Truncates texts and lists to the sizes that the parent reads.
    pub(crate) fn shorten(&mut self) {
        fn cut(text: &mut String) {
            text.truncate(text.floor_char_boundary(MAX_TEXT));
        }
        match &mut self.result {
            Ok(Err(Failure::Data(DataFault { message, column, value, .. }))) => {
                [Some(message), column.as_mut(), value.as_mut()].into_iter().flatten().for_each(cut);
            }
            Ok(Err(Failure::Parameter(ParameterFault { parameter, message }))) => {
                [parameter, message].into_iter().for_each(cut);
            }
            Ok(Err(Failure::Internal(message))) => cut(message),
            Ok(Ok(Reply::Importance(numbers))) => numbers.truncate(MAX_IMPORTANCES),
            _ => {}
        }
    }
}

impl Payload for CallOutcome {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.result {
            Ok(Ok(Reply::Rows(rows))) => Some(&mut rows.bytes),
            _ => None,
        }
    }
}

/// Why a call did not return.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Crash {
    /// The memory limit: bytes that the guest asked for.
    #[error("it wants {0} bytes of memory")]
    Memory(u64),
    /// One of the operator's limits: the amount that the guest asked for, where that is known.
    #[error("one of the operator's limits")]
    OperatorLimit(EngineLimit, Option<u64>),
    /// The types of its exports differ from the contract's.
    #[error("{0}")]
    Types(String),
    /// A trap: the engine's message and the last output of the guest.
    #[error("{0}")]
    Trap(String),
    /// The engine interrupted it.
    #[error("it was told to stop")]
    Interrupted,
    /// The instance pool is full, which is not the guest's fault.
    #[error("this process has as many instances as it can")]
    NoRoom,
}

/// A limit of the operator that the engine enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EngineLimit {
    Handles,
    CallBytes,
    Stack,
    TableElements,
}
