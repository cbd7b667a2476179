//! An instance in a process of its own, behind a second wall.
//!
//! The process is as little trusted as the guest in it. It gets compiled code, what it is to do and
//! a channel, and nothing else; `parent` keeps the desk, checks every byte that comes, and ends it;
//! `process` says for whom it may work next.
//! `child` is what runs in it; `wire` is how the two speak.
//!
//! The same program decodes files of others, in a process for each reading: `decoder` starts and
//! checks it, `decoding` runs in it.

pub(crate) mod child;
pub(crate) mod decoder;
mod decoding;
pub(crate) mod parent;
pub(crate) mod process;
pub(crate) mod wire;

use serde::{Deserialize, Serialize};
use stagewright_manifest::World;

use crate::bounds::Bounds;
use crate::engine::EngineOptions;

/// The version that a parent and its children have in common.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Messages of a child.
pub(super) mod up {
    /// An import is called; an answer is due.
    pub(crate) const ASK: u32 = 1;
    /// An import is called that nobody answers.
    pub(crate) const TELL: u32 = 2;
    /// A call of an export ended.
    pub(crate) const RETURNED: u32 = 3;
}

/// Messages of a parent.
pub(super) mod down {
    /// Call an export.
    pub(crate) const CALL: u32 = 1;
    /// The answer of an import.
    pub(crate) const ANSWER: u32 = 2;
    /// Let the instance go; the next call is a fresh one's.
    pub(crate) const RENEW: u32 = 3;
}

/// Messages of a child that decodes. Its parent sends none.
pub(super) mod decoded {
    /// The source is there and has the columns.
    pub(crate) const OPENED: u32 = 1;
    /// Rows: a batch's bytes, and how many rows they are.
    pub(crate) const ROWS: u32 = 2;
    /// Values that are kept beside rows, as a batch.
    pub(crate) const KEPT: u32 = 6;
    /// There are no more.
    pub(crate) const END: u32 = 3;
    /// A proposal of a signature, as JSON.
    pub(crate) const SIGNATURE: u32 = 4;
    /// An error, as JSON.
    pub(crate) const FAILED: u32 = 5;
}

/// Bytes of the number of rows at the end of a batch.
pub(super) const ROWS_BYTES: usize = 4;

/// The longest proposal: some hundred bytes for each column of the widest table.
pub(super) const LONGEST_SIGNATURE: usize = 64 << 20;

/// The work of a child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Work {
    /// To run instances of a component.
    Stage(Task),
    /// To decode a file.
    Decode(Decode),
}

/// A file to decode.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Decode {
    /// The job, as JSON.
    pub(super) job: String,
    /// Bytes of the file.
    pub(super) length: u64,
    /// Bytes of the log beside it.
    pub(super) log: u64,
}

/// All that a child of a stage is told before it locks itself in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) world: World,
    pub(super) filesystem: bool,
    pub(super) sockets: bool,
    pub(super) canonicalize_nans: bool,
    pub(super) bounds: Bounds,
    pub(super) seed: u64,
    pub(super) as_of: i64,
    /// Bytes of memory that one instance may have.
    pub(super) memory: u64,
}

impl Task {
    fn options(&self) -> EngineOptions {
        EngineOptions {
            canonicalize_nans: self.canonicalize_nans,
            without_interruption: true,
            bounds: self.bounds,
            ..EngineOptions::default()
        }
    }
}
