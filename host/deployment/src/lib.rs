//! Deployments: plans, who answers a request, when to advance and when to give up, A/B reports.
//!
//! This crate decides, and servers carry out. It has no threads, no network and no clock: the
//! caller gives the time. Servers share requests by [`Assignment`] and act on [`decide`]. The
//! command line and servers start and advance deployments for people by [`start`] and [`advance`].
//!
//! - [`Plan`]: what a deployment does, as its configuration in the registry has it
//! - [`Assignment`]: which arm answers a request
//! - [`decide`], [`next_move`]: what is to be done with a deployment now
//! - [`report`](fn@report): what an A/B test found
//! - [`start`], [`advance`], [`abort`], [`status`]: what operators do, on the registry

mod assignment;
mod breach;
mod decision;
mod error;
mod file;
mod observed;
mod operations;
mod plan;
mod report;
mod request;
mod statistics;
mod units;
mod view;

pub use assignment::Assignment;
pub use decision::{Decision, Move, decide, next_move};
pub use error::{OperationError, PlanError};
pub use file::parse_file;
pub use observed::Observed;
pub use operations::{Candidate, abort, advance, candidate, check, finish_promoted, start};
pub use plan::{
    Ab, Better, BlueGreen, CONTROL, Canary, DEFAULT_KEY_HEADER, DEFAULT_POSITIVE, Guard, Key, Metric, Metrics,
    OutcomeBound, OutcomeFigure, Plan, Shadow, Variant, Variants,
};
pub use report::{AbReport, MetricReport, Verdict, report};
pub use statistics::{Comparison, Mean, Proportion, means, proportions};
pub use units::{Rate, Span, percent};
pub use view::{ArmView, Next, Requests, View, observe, status};
