//! Which version answers a request while a deployment is under way, and what becomes of that.
//!
//! The registry says what is to be done, and every server does it: the follower of a model turns a
//! deployment of the registry into the [`Traffic`] of the model; the [`Conductor`] tells the
//! registry what was counted, and makes the next step when its plan says so. No server knows of
//! another: steps are made by compare-and-set.
//!
//! - `route`: who answers a request; without a deployment that is one pointer
//! - `live`: a deployment with its versions loaded, each a `live_arm`
//! - `counter`: requests, errors and latencies of an arm, until the registry has them
//! - `mirror`: copies of requests for a shadow
//! - `conductor`: counts and decisions, each second
//! - `operations`: starting, advancing and aborting, for the routes and the conductor

mod conductor;
mod counter;
mod live;
mod live_arm;
mod mirror;
mod operations;
mod route;

pub use conductor::Conductor;
pub(crate) use counter::Ledger;
pub(crate) use live::Live;
pub use live::LiveError;
pub(crate) use mirror::{RequestCopy, TallyCounts};
pub use operations::{OpenSharedRegistry, OperationFault, Operations, Production, PromotionFault};
pub(crate) use route::{Route, Traffic};
