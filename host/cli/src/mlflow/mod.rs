//! Another MLflow server, which the user names: runs are logged to it, and imported from it.
//!
//! `MLFLOW_TRACKING_URI` names the server that runs are logged to. Its credentials and its TLS have
//! the variables that MLflow's client reads too. They are shown nowhere. Nothing about that server
//! fails a run: it is warned of, and a command sends what is missing.

mod run_log;

use stagewright_exchange::export::{Card, Exporter};
use stagewright_mlflow_client::{Address, Limits, Server, Settings};
use stagewright_store::Home;

use crate::environment;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

pub(crate) use run_log::{LoggedRuns, RunLog};

/// The variable that names the server.
pub(crate) const VARIABLE: &str = "MLFLOW_TRACKING_URI";

/// Returns the server that the environment names.
pub(crate) fn named() -> Option<String> {
    environment::variable(VARIABLE).filter(|uri| !uri.trim().is_empty())
}

/// Returns the server that an option names, or else the environment.
///
/// # Errors
/// Neither names one.
pub(crate) fn address_or_named(option: Option<&str>, name: &str) -> anyhow::Result<String> {
    option.map(str::to_owned).or_else(named).ok_or_else(|| {
        UsageError::error(
            ErrorCode::MlflowAddress,
            "no MLflow server is named",
            format!("name one with {name} http://HOST:PORT, or export {VARIABLE}"),
        )
    })
}

/// Makes a client of a server. Sends nothing yet.
///
/// # Errors
/// The address or a variable cannot be used.
pub(crate) fn server(uri: &str, limits: Limits) -> anyhow::Result<Server> {
    let address = Address::parse(uri)?;
    let settings = Settings::read(&address, &environment::variable)?;
    Ok(Server::new(address, settings, limits))
}

/// Makes what sends runs of a home to a server, with the cards of their versions.
pub(crate) fn exporter(server: Server, home: &Home, card: Box<Card>) -> Exporter {
    Exporter::new(server, home.registry.clone(), home.artifacts.clone(), card)
}
