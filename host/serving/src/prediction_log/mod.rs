//! The prediction log: what a model was asked and what it answered, as Parquet files by the hour
//! (`docs/formats/prediction-log.md`).
//!
//! A request that is logged hands over its rows as they were decoded, by reference. A thread of the
//! log's own makes columns and files of them. Requests never wait for it: if it does not keep up,
//! rows are dropped and counted.
//!
//! - `policy`: what the operator lets be logged
//! - `columns`: the columns of a version's log; `mask`: keyed hashes in place of values
//! - `request`: the facts about a request; `entry`: a request on its way to the log; `channel`: the
//!   way; `batch`: batches of requests
//! - `log`: the log of a server, of a model and of a version
//! - `writer`: the thread; `stream`: files that are being made
//! - `name`: names of files; `folder`: the files of a model, and which are removed
//! - `reader`: reads the files

mod batch;
mod channel;
mod columns;
mod entry;
mod folder;
mod log;
mod mask;
mod name;
mod policy;
mod reader;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod writer;

pub use columns::fixed_columns;
pub use folder::LogCounts;
pub use log::{ModelLog, PredictionLog, VersionLog};
pub use policy::LogPolicy;
pub use reader::{LogBatches, LogFile, LogReadError, PredictionLogFiles};
pub use request::LoggedRows;

pub(crate) use request::LoggedRequest;
