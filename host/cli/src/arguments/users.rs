//! The arguments of `users` and `tokens`.

use clap::{Args, Subcommand};
use stagewright_store::Permission;

use super::json::JsonArgument;

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Creates a user, whose password comes from standard input or is asked for. From the first
    /// one on, the tracking server asks everybody who they are.
    Create {
        /// The name.
        name: String,
        /// Makes it an administrator, who may do everything. The first user has to be one.
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Lists users.
    List(JsonArgument),
    /// Deletes a user with its tokens and permissions. What it logged stays.
    Delete {
        /// The user.
        name: String,
        /// Deletes all users, so that a server that is started from then on asks nobody who they
        /// are.
        #[arg(long)]
        switch_off: bool,
    },
    /// Gives a user another password, which comes from standard input or is asked for. Ends its
    /// sessions in browsers.
    Password {
        /// The user.
        name: String,
    },
    /// Makes a user an administrator, who may do everything.
    Admin {
        /// The user.
        name: String,
        /// Ends that.
        #[arg(long)]
        revoke: bool,
    },
    /// Gives a user a permission on an experiment or a registered model, in place of the one
    /// before.
    Grant {
        /// The user.
        name: String,
        /// NO_PERMISSIONS, READ, EDIT or MANAGE; each includes those before it.
        permission: Permission,
        #[command(flatten)]
        resource: ResourceArguments,
    },
    /// Takes back a permission, so that the default one holds.
    Revoke {
        /// The user.
        name: String,
        #[command(flatten)]
        resource: ResourceArguments,
    },
    /// Lists permissions.
    Permissions {
        /// The user. [default: all]
        name: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows or sets the permission on experiments and models for which none was granted.
    DefaultPermission {
        /// NO_PERMISSIONS, READ, EDIT or MANAGE.
        permission: Option<Permission>,
    },
}

/// The thing that a permission is on.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ResourceArguments {
    /// The experiment, by name.
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,
    /// The registered model.
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Creates a token, which a program sends in place of a name and a password. It is shown once.
    Create {
        /// The user.
        user: String,
        /// The purpose.
        #[arg(long)]
        label: String,
        /// The days until it expires; 0 for never.
        #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(..=36_500))]
        days: u32,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Lists tokens, without what is secret of them.
    List {
        /// The user. [default: all]
        user: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Revokes a token.
    Revoke {
        /// Its number, as `tokens list` shows it.
        id: i64,
    },
}
