//! Deployments: the ways in which a version takes over from another, step by step.
//!
//! A model has one active deployment at most, and a history of those that ended. A deployment has a
//! strategy with its configuration, and arms: versions that each answer a share of the requests.
//! Versions of arms never change; each step gives them other shares. A step is made by
//! compare-and-set, so that of several servers and people one makes it, and each adds an entry to
//! the audit.
//!
//! - [`record`]: the types; [`steps`]: starting, changing, ending, reading; [`error`]: refusals
//! - [`counters`]: requests, errors and latencies of each arm, which servers add up
//!
//! The default arm of a model is its champion all the same: a deployment says how requests are
//! shared, and only a promotion makes a champion. What a configuration means is for the servers
//! that carry it out to say.

mod counters;
mod error;
mod record;
mod steps;

pub use counters::ArmCounts;
pub use error::DeploymentError;
pub use record::{
    Deployment, DeploymentArm, DeploymentRevision, DeploymentStatus, DeploymentStep, DeploymentStrategy, NewDeployment,
};
pub(super) use steps::{check_not_deployed, remove_all};
