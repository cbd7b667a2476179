//! Predictions over HTTP.
//!
//! A [`Service`] has models by name. Each served version has a [`Pool`] of sessions: loaded models
//! that run behind the walls of their sandboxes and answer batch after batch. Requests that wait are
//! predicted together. [`Server`] is the HTTP side; it knows no model, and the sessions know no
//! HTTP.
//!
//! - `pool`: the queue of a version, and the threads that answer it
//! - `served_version`: a version that is loaded: its decoder, its pool
//! - `service`: the models, and the way of a request from its bytes to its predictions
//! - `prediction`: predictions as JSON
//! - `fault`: why a request was not answered, and the status that says so
//! - `routes`: the paths of the interface, a file each
//! - `server`: listens, limits and drains

mod fault;
mod pool;
mod prediction;
mod request_id;
mod routes;
mod served_version;
mod server;
mod service;

pub use fault::{PredictFault, RowError};
pub use pool::{OpenSession, Overloaded, Pool, PoolCounts, PoolFault, PoolOptions};
pub use request_id::RequestId;
pub use served_version::{ModelLoader, ServedVersion, VersionOptions};
pub use server::{Server, ServerError, ServerOptions};
pub use service::{Answer, BodyFormat, Service};
