//! The kinds of messages between a parent and its children, and the tasks of the children.

use serde::{Deserialize, Serialize};
use stagewright_jail::Walls;
use stagewright_manifest::World;

use crate::bounds::Bounds;
use crate::engine::EngineOptions;

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
}

/// Kinds of messages from a parent to a stage process.
pub(super) mod to_stage {
    /// Call an export.
    pub(crate) const EXPORT_CALL: u32 = 1;
    /// The result of an import.
    pub(crate) const IMPORT_RESULT: u32 = 2;
    /// Drop the instance; the next call starts a fresh one.
    pub(crate) const RENEW: u32 = 3;
}

/// Kinds of messages from a decoder process to its parent, which sends none.
pub(super) mod from_decoder {
    /// The source was opened and has the columns of the signature.
    pub(crate) const OPENED: u32 = 1;
    /// Rows: the bytes of a batch, then the number of its rows.
    pub(crate) const ROWS: u32 = 2;
    /// Values that are kept in addition to the rows, as a batch.
    pub(crate) const KEPT: u32 = 6;
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
    /// Decode a file.
    Decode(DecodeTask),
}

/// The task of a decoder process: a file to decode.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DecodeTask {
    /// The job, as JSON.
    pub(super) job: String,
    /// The length of the file in bytes.
    pub(super) length: u64,
    /// The length of its write-ahead log in bytes.
    pub(super) log: u64,
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
