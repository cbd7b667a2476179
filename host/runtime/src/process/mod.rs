//! Stages and decoders in processes of their own, behind the walls of `stagewright-jail`.
//!
//! A child process is trusted as little as the guest or the file in it. It gets compiled code or a
//! file, a task and a channel, and nothing else. The parent answers its imports, checks every byte
//! that it sends, and ends it.
//!
//! - `protocol`: kinds of messages, tasks. `message`: how values are encoded.
//! - `child`: the program of every child.
//! - `stage_parent`: the parent's side of an instance; `stage_process`: its process, from start to
//!   end, and which instances may use it; `process_account`: the time that it may use;
//!   `stage_child`: the program in the process; `remote_host`: the child's connection to the parent.
//! - `model_parent`, `model_child`: the two sides of a process that has both components of a model
//!   and answers batch after batch.
//! - `decoder_parent`, `decoder_child`: the two sides of a process that decodes one file.

pub(crate) mod child;
pub(crate) mod decoder_child;
pub(crate) mod decoder_parent;
pub(crate) mod message;
mod model_child;
pub(crate) mod model_parent;
mod process_account;
mod protocol;
pub(crate) mod remote_host;
pub(crate) mod stage_child;
pub(crate) mod stage_parent;
pub(crate) mod stage_process;
