//! The arguments of commands that exchange runs and models with other MLflow servers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::json::JsonArgument;

#[derive(Debug, Subcommand)]
pub(crate) enum ImportCommand {
    /// Takes over experiments, runs, models and files from an MLflow server. Adds nothing twice:
    /// an import that was interrupted goes on, and a later one adds what is new.
    Mlflow(ImportMlflowArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ImportMlflowArguments {
    /// The address of the server, such as `http://127.0.0.1:5000`. [default: MLFLOW_TRACKING_URI]
    #[arg(long, value_name = "URL")]
    pub(crate) uri: Option<String>,
    /// Imports this experiment, with its runs and logged models. Repeatable. [default: all, unless
    /// --model is given]
    #[arg(long = "experiment", value_name = "NAME")]
    pub(crate) experiments: Vec<String>,
    /// Imports this registered model, with its versions. Repeatable. [default: all, unless
    /// --experiment is given]
    #[arg(long = "model", value_name = "NAME")]
    pub(crate) models: Vec<String>,
    /// Gives a registered model another name here. Repeatable.
    #[arg(long = "rename", value_name = "OLD=NEW")]
    pub(crate) renamed: Vec<String>,
    /// Leaves the files of runs and models where they are.
    #[arg(long)]
    pub(crate) without_artifacts: bool,
    /// Looks again at records that were imported and have not changed since.
    #[arg(long)]
    pub(crate) recheck: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ExportRunArguments {
    #[command(subcommand)]
    pub(crate) command: Option<ExportRunCommand>,
    /// A run's identifier, or the beginning of it.
    #[arg(required = true)]
    pub(crate) run: Option<String>,
    /// The file of the run.
    #[arg(required = true)]
    pub(crate) file: Option<PathBuf>,
    /// The current file of the run's source, if it was moved.
    #[arg(long, value_name = "FILE")]
    pub(crate) source: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportRunCommand {
    /// Sends runs to an MLflow server, with their children. A run that is there already is brought
    /// up to date.
    Mlflow {
        /// Identifiers of runs, or the beginnings of them.
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<String>,
        /// The address of the server, such as `http://127.0.0.1:5000`. [default:
        /// MLFLOW_TRACKING_URI]
        #[arg(long, value_name = "URL")]
        to: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
}
