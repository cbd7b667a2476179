//! Predictions over HTTP.
//!
//! A [`Service`] has models by name. Each served version has a [`Pool`] of sessions: loaded models
//! that run behind the walls of their sandboxes and answer batch after batch. Requests that wait
//! are predicted together. [`Server`] is the HTTP side; it knows no model, and the sessions know no
//! HTTP.
//!
//! - `pool`: the queue of a version, and the threads that answer it
//! - `served_version`: a version that is loaded: its decoder, its pool
//! - `service`: the models, and the way of a request from its bytes to its predictions
//! - `served_model`: a model, whose version changes; `traffic`: how a deployment shares its
//!   requests
//! - `origin`: where versions come from; `follow` loads what it names, `warm` tries it, and
//!   `last_verified` remembers it
//! - `prediction`: predictions as JSON
//! - `prediction_log`: what was asked and answered, as files
//! - `outcomes`: what became of requests, for the registry
//! - `known_values`: what a model knows of its features from training
//! - `fault`: why a request was not answered, and the status that says so
//! - `routes`: the paths of the interface, a file each
//! - `server`: listens, and reads tokens; connections are the matter of [`stagewright_http`]
//! - `front`: what happens to every request around its route
//!   - `authentication`: tokens and roles; `body`: bodies within their limits; `refusal`: errors
//!   - `metrics`: what is counted; `access_log`: a line for each request
//!   - `handled`: what a route tells the front about its answer

mod access_log;
mod arm;
mod authentication;
mod body;
mod fault;
mod follow;
mod front;
mod handled;
mod known_values;
mod last_verified;
mod metrics;
mod origin;
mod outcomes;
mod pool;
mod prediction;
mod prediction_log;
mod protocol;
mod refusal;
mod request_id;
mod routes;
mod served_model;
mod served_version;
mod server;
mod service;
mod traffic;
mod warm;

pub use arm::Arm;
pub use authentication::{Role, Tokens, TokensError};
pub use fault::{PredictFault, RowError};
pub use follow::{FollowOptions, Follower, VersionSettings};
pub use handled::Handled;
pub use last_verified::{LastVerified, VersionKey};
pub use metrics::{ArmMetrics, Metrics, VersionMetrics};
pub use origin::{
    LocationOrigin, OfferedDeployment, OfferedVersion, OpenRegistry, OriginError, RecordedBlobs, RegistryOrigin,
    Selector, VersionOrigin,
};
pub use outcomes::OutcomeRecorder;
pub use pool::{GATHERED_ROWS, OpenSession, Overloaded, Pool, PoolCounts, PoolFault, PoolOptions};
pub use prediction_log::{
    LogBatches, LogCounts, LogFile, LogPolicy, LogReadError, LoggedRows, ModelLog, PredictionLog, PredictionLogFiles,
    VersionLog, fixed_columns,
};
pub use protocol::Protocol;
pub use request_id::RequestId;
pub use served_model::{ModelStatus, RefusedVersion, ServedModel};
pub use served_version::{ModelLoader, ServedVersion, VersionOptions};
pub use server::{HttpLimits, Reload, Server, ServerError, ServerOptions, TokenSource};
pub use service::{Answer, Failure, Service};
pub use stagewright_http::{SecretFileError, TlsError, TlsFiles};
pub use traffic::{Conductor, LiveError, OpenSharedRegistry, OperationFault, Operations, Production, PromotionFault};
pub use warm::sample_rows;
