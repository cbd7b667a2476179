//! Hooks: programs and servers that are told when a model has another champion.
//!
//! The operator's file names them (`stagewright-manifest`). The registry (`stagewright-store`) has
//! the changes, in the order of its audit, and remembers how far each hook was told. This crate
//! makes the events. It delivers each at least once, in order, with growing pauses after failures.
//! It decides nothing about models, and a failure of a hook changes no model.
//!
//! - [`Hooks`]: all hooks of a machine; [`Hooks::deliver`]: now, with patience
//! - [`HookFollower`]: a thread for each hook, for programs that stay
//! - [`Event`]: the message; [`signature`]: how a receiver knows who sent it
//!
//! docs/hooks.md is the page for those who receive.

mod attempt;
mod command;
mod delivery;
mod event;
mod failure;
mod follower;
mod hooks;
mod request;
mod secret;
mod signature;

pub use delivery::{Patience, Problem, Report};
pub use event::Event;
pub use follower::{HookFollower, OpenRegistry};
pub use hooks::Hooks;
pub use signature::signature;
