//! The page of what clients of MLflow get, which a test makes.

use crate::build;
use crate::python::mlflow;
use crate::steps::{Result, run};
use crate::workspace::cargo;

/// The test that makes the page, or compares it.
const TEST: &str = "compatibility::clients_and_requests_get_what_a_stock_server_gives";

/// Writes docs/tracking-compatibility.md from sessions of clients and a comparison with a stock
/// server.
pub(crate) fn write() -> Result<()> {
    let built = build::everything(build::Guests::Without)?;
    let mut command = cargo();
    command.args(["test", "--release", "--package", "stagewright-end-to-end", "--test", "tracking"]);
    command.args(["--", "--include-ignored", "--exact", TEST]);
    command.env("STAGEWRIGHT_BIN", &built.binary).envs(mlflow()?).env("STAGEWRIGHT_WRITE_DOCS", "1");
    run(&mut command)
}
