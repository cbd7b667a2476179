//! Who may do what through the tracking server: users, their tokens and their permissions.
//!
//! - [`users`]: names, passwords ([`password`]) and administrators
//! - [`tokens`]: what programs send, and what browsers keep of a login
//! - [`permissions`]: what a user may do with an experiment or a model
//!
//! Commands on the machine of the registry ask nobody: whoever reads and writes the database may do
//! everything.

mod error;
mod password;
mod permission;
mod permissions;
mod tokens;
mod users;

pub use error::AccountError;
pub use permission::Permission;
pub use permissions::{Grant, Resource, Visible};
pub(super) use permissions::{manage_experiment, manage_model};
pub use tokens::{Token, TokenSecret};
pub use users::{AccountsState, User};
