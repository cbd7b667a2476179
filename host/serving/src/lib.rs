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
//! - `served_model`: a model, whose version changes
//! - `origin`: where versions come from; `follow` loads what it names, `warm` tries it, and
//!   `last_verified` remembers it
//! - `prediction`: predictions as JSON
//! - `known_values`: what a model knows of its features from training
//! - `fault`: why a request was not answered, and the status that says so
//! - `routes`: the paths of the interface, a file each
//! - `server`: listens, limits and drains

mod fault;
mod follow;
mod known_values;
mod last_verified;
mod origin;
mod pool;
mod prediction;
mod request_id;
mod routes;
mod served_model;
mod served_version;
mod server;
mod service;
mod warm;

pub use fault::{PredictFault, RowError};
pub use follow::{FollowOptions, Follower, VersionSettings};
pub use last_verified::LastVerified;
pub use origin::{LocationOrigin, OfferedVersion, OpenRegistry, OriginError, RegistryOrigin, Selector, VersionOrigin};
pub use pool::{OpenSession, Overloaded, Pool, PoolCounts, PoolFault, PoolOptions};
pub use request_id::RequestId;
pub use served_model::{ModelStatus, RefusedVersion, ServedModel, retire};
pub use served_version::{ModelLoader, ServedVersion, VersionOptions};
pub use server::{Server, ServerError, ServerOptions};
pub use service::{Answer, BodyFormat, Service};
