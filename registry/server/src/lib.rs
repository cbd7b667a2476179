//! The tracking server: MLflow's REST interface over the registry.
//!
//! Clients of MLflow log to it, search it and load from it unchanged. Their runs, models and files
//! are in the same registry as those of pipelines, so that both sides see both.
//!
//! - [`Server`]: listens, limits and ends; [`ServerOptions`], [`HttpLimits`], [`ServerError`]
//! - the frame: `router` (the one place where paths are mounted), `operation` (a JSON request from
//!   its body to its answer), `json_body` (bodies within time and memory), `request` (members by
//!   name and type), `paging`, `mlflow_error`, `origin` (whose requests are answered), `pool`
//!   (threads that wait for the registry), `unread` (what is left of a refused body)
//! - `routes`: the operations, one file a subject; `wire` and `wire_models`: records as JSON
//! - artifacts: `stream` (pieces of bounded size, both ways), `artifact_path`, `media_type`
//!
//! Operations are plain functions that block, so that each is as easy to read as the call of the
//! registry that it is. They run on a bounded number of threads. No request holds one of them while
//! it waits for its client.

// Tests write long JSON.
#![cfg_attr(test, recursion_limit = "256")]

mod access;
#[cfg(test)]
mod access_tests;
mod app;
mod artifact_path;
mod authentication;
mod caller;
mod context;
mod json_body;
mod media_type;
mod mlflow_error;
#[cfg(test)]
mod mutated;
mod network;
mod operation;
mod origin;
mod page;
mod paging;
mod pool;
mod quota;
mod request;
mod router;
mod routes;
mod run_names;
mod server;
mod site;
mod stream;
mod unread;
mod wire;
mod wire_models;

pub use app::HttpLimits;
pub use server::{Reload, Server, ServerError, ServerOptions};
pub use stagewright_http::TlsFiles;
pub use stagewright_mlmodel::MLFLOW_VERSION;
