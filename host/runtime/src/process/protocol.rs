//! The kinds of messages between a parent and its children, and the tasks of the children.

use serde::{Deserialize, Serialize};
use stagewright_jail::Walls;
use stagewright_manifest::World;

use super::message::Payload;
use crate::bounds::Bounds;
use crate::engine::EngineOptions;
use crate::export_call::CallOutcome;

/// The version that a parent and its children must have in common.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Kinds of messages from a stage process to its parent.
pub(super) mod from_stage {
    /// A call of an import whose result the stage process waits for.
    pub(crate) const IMPORT_CALL: u32 = 1;
    /// A call of an import that has no result.
    pub(crate) const ONE_WAY_CALL: u32 = 2;
    /// A call of an export ended.
    pub(crate) const CALL_OUTCOME: u32 = 3;
    /// A batch was predicted, or failed to be.
    pub(crate) const ROWS_OUTCOME: u32 = 4;
    /// A batch was not predicted: a component calls imports that have a result, which could only
    /// arrive behind the batches that were sent ahead. It must be sent again by itself.
    pub(crate) const ASK_ALONE: u32 = 5;
}

/// The instances in a model process: the transformation's and the training's. A process of one
/// instance has it in seat 0.
pub(super) const SEATS: usize = 2;

/// Kinds of messages are below this number; the kind of a message of another seat is above it.
const SEAT: u32 = 16;

/// Returns the kind of a message of the instance in a seat.
pub(super) fn seated(kind: u32, seat: usize) -> u32 {
    kind + SEAT * seat as u32
}

/// Splits a kind into that of the message and the seat of the instance.
pub(super) fn unseated(kind: u32) -> (u32, usize) {
    (kind % SEAT, (kind / SEAT) as usize)
}

/// Kinds of messages from a parent to a stage process.
pub(super) mod to_stage {
    /// Call an export.
    pub(crate) const EXPORT_CALL: u32 = 1;
    /// The result of an import.
    pub(crate) const IMPORT_RESULT: u32 = 2;
    /// Drop the instance; the next call starts a fresh one.
    pub(crate) const RENEW: u32 = 3;
    /// Transform and predict packed rows.
    pub(crate) const PREDICT_ROWS: u32 = 4;
    /// Answer every batch from here on with the memory as it is now.
    pub(crate) const CHECKPOINT: u32 = 5;
    /// As [`PREDICT_ROWS`], but other batches may follow before the outcome is received.
    pub(crate) const PREDICT_AHEAD: u32 = 6;
}

/// Kinds of messages from a parent to a decoder process.
pub(super) mod to_decoder {
    /// The next bytes of the text; none at its end.
    pub(crate) const TEXT: u32 = 1;
}

/// Kinds of messages from a decoder process to its parent.
pub(super) mod from_decoder {
    /// The source was opened and has the columns of the signature.
    pub(crate) const OPENED: u32 = 1;
    /// Rows: the bytes of a batch, then the number of its rows.
    pub(crate) const ROWS: u32 = 2;
    /// Values that are kept in addition to the last rows: the bytes of a batch, the kind of each
    /// column's values, then the number of rows.
    pub(crate) const KEPT: u32 = 6;
    /// More of the text is wanted.
    pub(crate) const MORE: u32 = 7;
    /// The source has no more rows.
    pub(crate) const END: u32 = 3;
    /// A proposed signature, as JSON.
    pub(crate) const SIGNATURE: u32 = 4;
    /// An error, as JSON.
    pub(crate) const FAILED: u32 = 5;
}

/// Bytes of the number of rows at the end of a batch.
pub(super) const ROWS_BYTES: usize = 4;

/// The longest proposed signature: some hundred bytes for each column of the widest table.
pub(super) const MAX_SIGNATURE: usize = 64 << 20;

/// Private memory of a child in addition to its instance's: the engine's, its stacks, and batches
/// that wait.
pub(super) const OWN_MEMORY: u64 = 96 << 20;

/// The exit code of a child whose parent broke the protocol.
pub(super) const PROTOCOL_BROKEN: u8 = 3;

/// The exit code of a child that could not start.
pub(super) const START_FAILED: u8 = 4;

/// Why a child could not start.
pub(super) type StartError = Box<dyn std::error::Error>;

/// Returns the error for walls that are required and cannot be built.
pub(super) fn missing_walls(walls: Walls) -> String {
    format!(
        "this system cannot build these walls around a stage's process: {walls}\nhint: set `walls = \"sandbox-only\"` in the operator's file to go without them"
    )
}

/// The task of a child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Task {
    /// Run instances of a component.
    Stage(StageTask),
    /// Run the instances of a model.
    Model(ModelTask),
    /// Decode a file.
    Decode(DecodeTask),
}

/// The task of a decoder process: a file to decode.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DecodeTask {
    /// The job, as JSON.
    pub(super) job: String,
    /// The files: the name of each in its folder, and its length in bytes.
    pub(super) files: Vec<(String, u64)>,
    /// Whether they are the files of a folder.
    pub(super) is_folder: bool,
    /// The length of its write-ahead log in bytes.
    pub(super) log: u64,
    /// Whether a text comes in messages in place of a file.
    pub(super) is_streamed: bool,
}

/// The task of a stage process, which it reads before it locks itself in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StageTask {
    pub(super) world: World,
    pub(super) filesystem: bool,
    pub(super) sockets: bool,
    pub(super) canonicalize_nans: bool,
    pub(super) bounds: Bounds,
    pub(super) seed: u64,
    pub(super) as_of: i64,
    /// The memory limit of one instance, in bytes.
    pub(super) memory: u64,
}

impl StageTask {
    pub(super) fn options(&self) -> EngineOptions {
        EngineOptions {
            canonicalize_nans: self.canonicalize_nans,
            without_interruption: true,
            bounds: self.bounds,
            ..EngineOptions::default()
        }
    }
}

/// The task of a model process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ModelTask {
    /// The transformation, then the training.
    pub(super) seats: [StageTask; SEATS],
    /// The most columns that a table may have.
    pub(super) columns: usize,
}

/// The outcome of predicting a batch. The transformed rows stay in the process, so the reply of
/// `transform` has none.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RowsOutcome {
    pub(super) transform: CallOutcome,
    pub(super) check: FeaturesCheck,
    /// The call of `predict`, if the features passed the check.
    pub(super) predict: Option<CallOutcome>,
    /// Bytes of linear memory of both instances.
    pub(super) memory: [u64; SEATS],
}

impl Payload for RowsOutcome {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        self.predict.as_mut().and_then(CallOutcome::payload)
    }
}

/// The result of checking transformed rows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FeaturesCheck {
    /// They fit the columns that the transformer declared.
    Passed,
    /// They have this many bytes, more than a batch may have.
    TooLarge(u64),
    /// They do not fit, for this reason.
    Refused(String),
}
