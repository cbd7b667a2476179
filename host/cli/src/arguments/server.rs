//! The arguments of `server`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Args;

use super::webhooks::WebhookArguments;

#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// The address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// The port to listen on; 0 lets the system choose one.
    #[arg(long, default_value_t = 5000)]
    pub(crate) port: u16,
    /// Listens on an address that other machines reach, even if the registry has no users, so that
    /// all of them may change everything.
    #[arg(long)]
    pub(crate) insecure: bool,
    /// The certificate in PEM, with those that lead to its root: HTTPS in place of HTTP.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// A further name of this server, such as that of a proxy in front of it, without a port.
    /// Requests for other names than `localhost` and addresses are refused. Repeatable.
    #[arg(long, value_name = "HOST", value_parser = host_name)]
    pub(crate) allowed_host: Vec<String>,
    #[command(flatten)]
    pub(crate) webhooks: WebhookArguments,
}

/// Reads the name of a host.
fn host_name(text: &str) -> Result<String, String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    if text.is_empty() || !text.chars().all(is_part) {
        return Err("give the name alone, without scheme, port and path: `tracking.example`".to_owned());
    }
    Ok(text.to_owned())
}
