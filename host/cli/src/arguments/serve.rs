//! The arguments of `serve`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The models: `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`. The first answers where a
    /// request names no model. Without any, those of `--config` are served.
    #[arg(value_name = "MODEL", required_unless_present = "config")]
    pub(crate) models: Vec<String>,
    /// The server's file (docs/serving.md). Flags override it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where versions come from: `registry`, or a production location (a folder, or
    /// `s3://BUCKET/PREFIX`).
    #[arg(long, value_name = "registry|FOLDER|s3://...", default_value = "registry")]
    pub(crate) from: String,
    /// Whether a request may meet what an earlier one left in the model's components. `pooled`: it
    /// may, if a component keeps state. `fresh`: it finds them as they were after loading. `auto`:
    /// `pooled` if both components are built in or signed by a key that the operator trusts.
    /// [default: auto]
    #[arg(long, value_enum)]
    pub(crate) isolation: Option<IsolationArgument>,
    /// The address to listen on. [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host: Option<IpAddr>,
    /// The port to listen on; 0 lets the system choose one. [default: 8000]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Serves without tokens on an address that other machines reach.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The file of tokens: on each line a token and its roles, such as `TOKEN predict,metrics`.
    #[arg(long, value_name = "FILE")]
    pub(crate) tokens_file: Option<PathBuf>,
    /// The certificate in PEM, with those that lead to its root: HTTPS in place of HTTP.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Writes a JSON line for each request to standard output.
    #[arg(long)]
    pub(crate) access_log: bool,
    /// The sessions of each version that answer at once. [default: half the number of cores]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) workers: Option<u64>,
}

/// The isolation of requests from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArgument {
    Auto,
    Pooled,
    Fresh,
}
