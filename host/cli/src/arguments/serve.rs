//! The arguments of `serve`.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The models: `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`. The first answers where a
    /// request names no model.
    #[arg(required = true, value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// The address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 lets the system choose one.
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// Where versions come from: `registry`, or a production location (a folder, or
    /// `s3://BUCKET/PREFIX`).
    #[arg(long, value_name = "registry|FOLDER|s3://...", default_value = "registry")]
    pub(crate) from: String,
    /// Whether a request may meet what an earlier one left in the model's components. `pooled`: it
    /// may, if a component keeps state. `fresh`: it finds them as they were after loading. `auto`:
    /// `pooled` if both components are built in or signed by a key that the operator trusts.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) isolation: IsolationArgument,
    /// The sessions of each version that answer at once. [default: half the number of cores]
    #[arg(long)]
    pub(crate) workers: Option<usize>,
}

/// The isolation of requests from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum IsolationArgument {
    #[default]
    Auto,
    Pooled,
    Fresh,
}
