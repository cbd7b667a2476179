//! Webhooks: the addresses of users are told what happens to models and runs.
//!
//! The registry (`stagewright-store`) queues events in the transaction of the change that they are
//! about. This crate sends them: at least once, in order, signed, with growing pauses after
//! failures, and to no address that the operator does not allow. Bodies, headers and signatures are
//! MLflow's, so that its receivers understand them.
//!
//! - [`WebhookPolicy`]: where events may go
//! - [`WebhookFollower`]: sends events while a server runs
//! - [`try_webhook`]: sends an example now
//!
//! docs/webhooks.md is the page for those who receive.

mod delivery;
mod example;
mod follower;
mod message;
mod policy;
mod trial;

pub use follower::WebhookFollower;
pub use message::signature;
pub use policy::WebhookPolicy;
pub use trial::{Trial, try_webhook};
