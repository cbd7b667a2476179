//! The arguments of all commands. Their doc comments are the text of `--help` and of manual pages.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

mod changes;
#[cfg(feature = "pipelines")]
mod data;
mod deploy;
mod exchange;
mod hooks;
mod json;
mod probe;
mod registry;
mod serve;
#[cfg(feature = "pipelines")]
mod server;
#[cfg(feature = "pipelines")]
mod users;
#[cfg(feature = "pipelines")]
mod webhooks;

pub(crate) use changes::Changes;
#[cfg(feature = "pipelines")]
pub(crate) use data::{DataAddArguments, DataCommand, DataDiffArguments, DataPullArguments, DataPushArguments};
pub(crate) use deploy::{DeployCommand, DeployStartArguments};
pub(crate) use exchange::{ExportRunArguments, ExportRunCommand};
#[cfg(feature = "pipelines")]
pub(crate) use exchange::{ImportCommand, ImportMlflowArguments};
pub(crate) use hooks::HooksCommand;
pub(crate) use json::JsonArgument;
pub(crate) use probe::ProbeArguments;
pub(crate) use registry::{
    AuditCommand, DecisionArguments, DestinationArguments, GateArguments, GcArguments, ModelsArguments, ModelsCommand,
    OutcomesArguments, PolicyName, RetireArguments, RunsArguments, RunsCommand, SearchArguments,
};
pub(crate) use serve::{IsolationArgument, ServeArguments};
#[cfg(feature = "pipelines")]
pub(crate) use server::ServerArguments;
#[cfg(feature = "pipelines")]
pub(crate) use users::{ResourceArguments, TokensCommand, UsersCommand};
#[cfg(feature = "pipelines")]
pub(crate) use webhooks::{WebhookArguments, WebhooksCommand};

/// Runs machine-learning lifecycles as pipelines of sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "stagewright", version, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    // Help shows options that every command has after those of the command.
    /// Shows more log lines; twice for all.
    #[arg(short, long, global = true, display_order = 900, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The folder of artifacts, runs and models. [default: .stagewright]
    #[arg(long, global = true, display_order = 901, env = "STAGEWRIGHT_HOME", value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// The registry, if it is not in the home: `postgresql://USER@HOST/DATABASE`.
    #[arg(
        long,
        global = true,
        display_order = 902,
        env = "STAGEWRIGHT_REGISTRY",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) registry: Option<String>,
    /// The place where several machines share artifacts: `s3://BUCKET/PREFIX` or a folder. The home
    /// keeps copies of those it uses.
    #[arg(
        long,
        global = true,
        display_order = 903,
        env = "STAGEWRIGHT_ARTIFACTS",
        value_name = "URI",
        hide_env_values = true
    )]
    pub(crate) artifacts: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[cfg(feature = "pipelines")]
const AFTER_HELP: &str = "\
Exit codes: 0 done or accepted, 2 usage or manifest, 3 data, 4 rejected by a gate or not reproduced, \
5 stage fault, 6 limit, 7 host fault, 130 interrupted.

Begin with: stagewright init FILE
An error has a code, which `stagewright explain CODE` explains.";

#[cfg(not(feature = "pipelines"))]
const AFTER_HELP: &str = "\
Exit codes: 0 done or accepted, 2 usage or manifest, 3 data, 4 rejected by a gate or not reproduced, \
5 stage fault, 6 limit, 7 host fault, 130 interrupted.

Begin with: stagewright serve MODEL
An error has a code, which `stagewright explain CODE` explains.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes a manifest for a table.
    #[cfg(feature = "pipelines")]
    Init(InitArguments),
    /// Runs a pipeline: ingestion, validation, transformation, training, evaluation, promotion.
    /// Takes over the results of stages that an earlier run executed with the same inputs.
    #[cfg(feature = "pipelines")]
    Run(RunArguments),
    /// Continues a run that did not finish. Its finished stages are not executed again.
    #[cfg(feature = "pipelines")]
    Resume(ResumeArguments),
    /// Shows what a run would do, and checks everything that can be checked without running it.
    #[cfg(feature = "pipelines")]
    Plan(PlanArguments),
    /// Runs a single stage; inspects, signs and compiles components.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Stage(StageCommand),
    /// Pins the digests of the components that a manifest names by path, in `stagewright.lock`
    /// beside it.
    #[cfg(feature = "pipelines")]
    Lock(LockArguments),
    /// Lists, shows, compares, searches and exports runs.
    #[cfg(feature = "pipelines")]
    Runs(RunsArguments),
    /// Executes the stages of a recorded run again, and names the first artifact that differs.
    #[cfg(feature = "pipelines")]
    Reproduce(ReproduceArguments),
    /// Shows the origin of a run, a version or an artifact, and what was made of it.
    #[cfg(feature = "pipelines")]
    Lineage(LineageArguments),
    /// Lists, shows, compares, promotes, rolls back and exports registered models.
    Models(ModelsArguments),
    /// Judges a registered version by gates. Can record the verdict, and promote the version if it
    /// passes.
    #[cfg(feature = "pipelines")]
    Gate(GateArguments),
    /// Verifies and lists the chain of all changes of models.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Lists hooks, and tells them of changes of champions.
    #[command(subcommand)]
    Hooks(HooksCommand),
    /// Removes artifacts that no run, version or alias refers to, and orphans at the production
    /// location.
    #[cfg(feature = "pipelines")]
    Gc(GcArguments),
    /// Predicts new rows with a registered model.
    Predict(PredictArguments),
    /// Serves predictions over HTTP.
    Serve(ServeArguments),
    /// Runs the tracking server: clients of MLflow log to it, search it and load from it.
    #[cfg(feature = "pipelines")]
    Server(ServerArguments),
    /// Creates and lists users of the tracking server, and says what they may do.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Users(UsersCommand),
    /// Creates, lists and revokes tokens, which programs send to the tracking server.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Lists, makes and deletes webhooks: addresses that are told of models and runs.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Webhooks(WebhooksCommand),
    /// Starts, advances, aborts and shows deployments: the ways in which a version takes over from
    /// the champion, step by step.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Deploy(DeployCommand),
    /// Takes over runs and models from another server.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Import(ImportCommand),
    /// Versions of data: adds, lists, compares, exports, pushes and pulls them.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Data(DataCommand),
    /// Lists and exports the artifacts of stages.
    #[cfg(feature = "pipelines")]
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
    /// Checks this installation and its home.
    Doctor(JsonArgument),
    /// Asks a server whether it is ready. Exit code 0 says yes.
    Probe(ProbeArguments),
    /// Explains an error by its code, such as `SW0103`; without a code, lists all codes.
    Explain {
        /// The code that the message of the error begins with.
        code: Option<String>,
    },
    /// Prints the completions of a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes completions and manual pages to a folder such as `PREFIX/share`.
    #[command(hide = true)]
    ShareFiles {
        /// The folder.
        folder: PathBuf,
    },
}

impl Command {
    /// Returns whether the command goes on until it is told to end.
    pub(crate) fn is_server(&self) -> bool {
        match self {
            Self::Serve(_) => true,
            #[cfg(feature = "pipelines")]
            Self::Server(_) => true,
            _ => false,
        }
    }
}

/// The stages that may take over the results of earlier runs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CacheArguments {
    /// Executes every stage, even if an earlier run has its results.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Executes this stage, even if an earlier run has its results. Repeatable.
    #[arg(long, value_name = "STAGE")]
    pub(crate) refresh: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The manifest.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Writes the run's metrics to this file, as JSON sorted by name.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_out: Option<PathBuf>,
    /// Stops after this stage.
    #[arg(long, value_name = "STAGE")]
    pub(crate) until: Option<String>,
    /// Prints limits for the manifest, with room above what the stages used.
    #[arg(long)]
    pub(crate) suggest_limits: bool,
    #[command(flatten)]
    pub(crate) log: LogArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// The form of a run's progress.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// The form of the output: for people, or JSON lines on standard output.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) log_format: LogFormat,
}

/// The values of `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines and bars for people.
    #[default]
    Text,
    /// A line of JSON for each event.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The run: its identifier, or the beginning of it.
    pub(crate) run: String,
    /// The manifest. [default: that of the run, with the same changes]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Writes the run's metrics to this file, as JSON sorted by name.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_out: Option<PathBuf>,
    /// Prints limits for the manifest, with room above what the stages used.
    #[arg(long)]
    pub(crate) suggest_limits: bool,
    #[command(flatten)]
    pub(crate) log: LogArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct ReproduceArguments {
    /// A run's identifier, or the beginning of it. [default: the last run]
    pub(crate) run: Option<String>,
    /// The current file of the run's source, if it was moved.
    #[arg(long, value_name = "FILE")]
    pub(crate) source: Option<PathBuf>,
    /// The number of instances that may run at once. Results do not depend on it. [default: the
    /// number of cores]
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Countersigns this statement about the run's version (`stagewright models attest`), if the
    /// run is reproduced and the statement describes it.
    #[arg(long, value_name = "BUNDLE", requires_all = ["signed_by", "key", "output"])]
    pub(crate) countersign: Option<PathBuf>,
    /// A key that must have signed the statement: a PEM file, or `ed25519:` and 64 hex digits.
    /// Repeatable.
    #[arg(long, value_name = "KEY", requires = "countersign")]
    pub(crate) signed_by: Vec<String>,
    /// The secret key: Ed25519, PKCS#8 in PEM.
    #[arg(long, value_name = "KEY", requires = "countersign")]
    pub(crate) key: Option<PathBuf>,
    /// The file to write the signed statement to.
    #[arg(long, short, value_name = "FILE", requires = "countersign")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct LineageArguments {
    /// A run, a version (`NAME/VERSION`, `NAME@ALIAS`, `NAME` for its champion), or the digest of
    /// an artifact or a component.
    pub(crate) subject: String,
    /// Prints a Mermaid flowchart.
    #[arg(long, conflicts_with_all = ["json", "openlineage"])]
    pub(crate) mermaid: bool,
    /// Prints OpenLineage run events, one a line.
    #[arg(long, conflicts_with = "json")]
    pub(crate) openlineage: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The manifest.
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// Prints the graph as a Mermaid flowchart, without checking components.
    #[arg(long, conflicts_with = "json")]
    pub(crate) mermaid: bool,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Shows for each stage whether a run would execute it, and which inputs differ from which
    /// earlier run.
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StageCommand {
    /// Runs one stage on the artifacts of an earlier run.
    Run(StageRunArguments),
    /// Shows a component: its world, imports and parameters.
    Inspect(InspectArguments),
    /// Lists the built-in components.
    List(JsonArgument),
    /// Generates a pair of keys for signing components.
    Keygen(KeygenArguments),
    /// Signs components: writes `COMPONENT.sig` beside each.
    Sign(SignArguments),
    /// Checks that one of the given keys signed a component.
    Verify(VerifyArguments),
    /// Compiles components for hosts without a compiler.
    Precompile(PrecompileArguments),
}

#[derive(Debug, Args)]
pub(crate) struct StageRunArguments {
    /// A stage of the manifest, or a world for all its stages: ingestion, preparation, validation,
    /// transformation, training, evaluation or promotion.
    pub(crate) name: String,
    /// The manifest. [default: that of the run, with the same changes]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The run whose artifacts the stage works on. [default: the last run of the pipeline if
    /// `--file` is given, else the last run; ingestion works on none]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Prints limits for the manifest, with room above what the stages used.
    #[arg(long)]
    pub(crate) suggest_limits: bool,
    #[command(flatten)]
    pub(crate) log: LogArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// A `.wasm` file, or the name of a built-in component.
    pub(crate) component: String,
    /// Shows only the differences of its imports and exports from the WIT in this folder.
    #[cfg(feature = "compiler")]
    #[arg(long, value_name = "WIT")]
    pub(crate) against: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct LockArguments {
    /// The manifest.
    pub(crate) file: PathBuf,
    /// Accepts the new digests of these components, or of all if none is named.
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub(crate) update: Option<Vec<String>>,
    /// Pins the built-in stages of the manifest too. An upgrade of stagewright must then be
    /// accepted.
    #[arg(long)]
    pub(crate) built_in: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// The file of the secret key. The public key is written to the same name with `.pub`.
    #[arg(long, short, value_name = "KEY")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// The components: `.wasm` files.
    #[arg(required = true, value_name = "COMPONENT")]
    pub(crate) components: Vec<PathBuf>,
    /// The secret key: Ed25519, PKCS#8 in PEM.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// A `.wasm` file.
    pub(crate) component: PathBuf,
    /// A key to accept: a PEM file, or `ed25519:` and 64 hex digits. Repeatable.
    #[arg(long = "key", required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PrecompileArguments {
    /// The components: `.wasm` files, names of built-in components, or manifests (`.toml`) for all
    /// components that they use.
    #[arg(required = true, value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,
    /// The folder to write to.
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// The host key of the host that will run them. [default: this host's]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Uses no processor features beyond the baseline of the architecture, for hosts with other
    /// processors.
    #[arg(long)]
    pub(crate) baseline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// The model: `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.
    pub(crate) model: String,
    /// The rows: a file (`.csv`, `.tsv`, `.parquet`, or `.json`: an object, an array of objects, or
    /// one object a line), a source (`csv:FILE?delimiter=;`, `jsonl:FILE`, `parquet:FILE`,
    /// `arrow:FILE`, `sqlite:FILE#TABLE`), or `-` for standard input.
    #[arg(long, value_name = "FILE|URI")]
    pub(crate) input: String,
    /// Writes the predictions to a file: `.csv`, `.jsonl` (an object for each row) or `.parquet`.
    /// It appears when it is whole. [default: CSV on standard output]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Copies a column of the input, such as an identifier, to the output before the predictions.
    /// Repeatable.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) keep: Vec<String>,
    /// The number of instances that may run at once. [default: the number of cores]
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Changes a limit of the model's stages, such as `training.limits.memory=4GiB`. Repeatable.
    /// [default: the limits of its training]
    #[arg(long, value_name = "STAGE.limits.LIMIT=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// Lists the artifacts of a run.
    List {
        /// A run's identifier, or the beginning of it. [default: the last run]
        run: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Writes an artifact to a file: a table as Parquet or CSV, others as they are.
    Export {
        /// The artifact: `STAGE.NAME` (as in `transformation.features-train`), or a digest.
        artifact: String,
        /// The file to write to; its ending chooses the format of a table. `-` writes a document or
        /// a blob to standard output.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// The run that made the artifact. [default: the last run]
        #[arg(long)]
        run: Option<String>,
        /// Puts an apostrophe before text in CSV that a spreadsheet would run as a formula.
        #[arg(long)]
        spreadsheet: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The table: a file (`.csv`, `.tsv`, `.jsonl`, `.parquet`, `.arrow`, `.sqlite`, `.db`), an
    /// address (`csv:FILE`, `sqlite:FILE#TABLE`, `parquet:FOLDER/`), or a folder that holds one
    /// table. [default: the current folder]
    #[arg(value_name = "TABLE", conflicts_with = "source")]
    pub(crate) table: Option<String>,
    /// The address of the table: `csv:FILE`, `jsonl:FILE`, `parquet:FILE`, `arrow:FILE`,
    /// `sqlite:FILE#TABLE` or `postgresql://USER@HOST/DATABASE#TABLE`.
    #[arg(long, value_name = "URI")]
    pub(crate) source: Option<String>,
    /// The column to predict. [default: the only one with a usual name and two values]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// The positive class of a binary target. [default: guessed]
    #[arg(long)]
    pub(crate) positive: Option<String>,
    /// The column that identifies a row, if there is one.
    #[arg(long)]
    pub(crate) identifier: Option<String>,
    /// Adds checks of the data that are made of all rows: ranges, lists of values, forms of texts,
    /// uniqueness, distributions. The evidence stands beside each as a comment.
    #[arg(long)]
    pub(crate) strict: bool,
    /// The name of the pipeline. [default: the name of the table's file]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The file to write the manifest to. An existing file is not overwritten.
    #[arg(long, short, default_value = "pipeline.toml", value_name = "FILE")]
    pub(crate) output: PathBuf,
}
