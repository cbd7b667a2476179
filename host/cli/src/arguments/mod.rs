//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::{Deserialize, Serialize};
use stagewright_manifest::Overrides;

mod registry;

pub(crate) use registry::{
    AuditCommand, DecisionArguments, DestinationArguments, GateArguments, GcArguments, ModelsArguments, ModelsCommand,
    PolicyName, RetireArguments, RunsArguments, RunsCommand, SearchArguments,
};

/// Runs machine-learning lifecycles as pipelines of sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(name = "stagewright", version, about = "Runs machine-learning lifecycles as pipelines of sandboxed WebAssembly components", after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Arguments {
    /// Shows more of what happens; twice shows everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Where artifacts, runs and models are kept. [default: .stagewright]
    #[arg(long, global = true, env = "STAGEWRIGHT_HOME", value_name = "FOLDER")]
    pub(crate) home: Option<PathBuf>,
    /// The registry, if it is not a file in the home: `postgresql://USER@HOST/DATABASE`.
    #[arg(long, global = true, env = "STAGEWRIGHT_REGISTRY", value_name = "URL", hide_env_values = true)]
    pub(crate) registry: Option<String>,
    /// Where several machines share artifacts, of which the home then keeps copies:
    /// `s3://BUCKET/PREFIX` or a folder.
    #[arg(long, global = true, env = "STAGEWRIGHT_ARTIFACTS", value_name = "URI", hide_env_values = true)]
    pub(crate) artifacts: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 done or accepted, 2 usage or manifest, 3 data, 4 rejected by a gate or not reproduced, 5 stage fault, \
6 limit, 7 host fault, 130 interrupted.\n\nBegin with: stagewright init FILE\nAn error has a code, which `stagewright explain CODE` explains.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a pipeline: ingestion, validation, transformation, training, evaluation, promotion.
    /// Stages of which an earlier run did the same are not executed again.
    Run(RunArguments),
    /// Goes on with a run that did not come to its end: what it finished is not executed again.
    Resume(ResumeArguments),
    /// Shows what a run would do, and checks everything that can be checked before it.
    Plan(PlanArguments),
    /// One stage alone, or one component.
    #[command(subcommand)]
    Stage(StageCommand),
    /// Pins the components that a pipeline names by path, by their digests, in `stagewright.lock` beside it.
    Lock(LockArguments),
    /// Runs: lists, shows, compares, searches them.
    Runs(RunsArguments),
    /// Executes the stages of a run again from its record, and names the first artifact that
    /// differs.
    Reproduce(ReproduceArguments),
    /// Shows where a run, a version or an artifact comes from, and what it leads to.
    Lineage(LineageArguments),
    /// Registered models: lists, shows, compares, promotes, rolls back, exports them.
    Models(ModelsArguments),
    /// Judges a registered version by gates; can record the verdict, and promote what passes.
    Gate(GateArguments),
    /// The chain of everything that was ever done to a model.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Removes what no run, version or alias reaches: artifacts, and orphans at the production location.
    Gc(GcArguments),
    /// Predicts new rows with a registered model.
    Predict(PredictArguments),
    /// Lists and exports what stages made.
    #[command(subcommand)]
    Artifacts(ArtifactsCommand),
    /// Writes a manifest for a table.
    Init(InitArguments),
    /// Checks this installation and its home.
    Doctor(JsonArgument),
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

#[derive(Debug, Clone, Args)]
pub(crate) struct JsonArgument {
    /// Prints one JSON object on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments that change a manifest for one run. All but `workers` and `locked` are recorded with
/// the run, and hold for the stages that are run after it.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Changes {
    /// Sets a key of a stage: its component, a limit, or a parameter of its component.
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Reads a source from somewhere else: `csv:FILE`, `sqlite:FILE#TABLE`, `parquet:FILE`.
    #[arg(long = "source", value_name = "NAME=URI")]
    pub(crate) sources: Vec<String>,
    /// Seeds every random choice.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many instances may run at once; results do not depend on it. [default: the number of
    /// cores]
    #[arg(long)]
    #[serde(skip)]
    pub(crate) workers: Option<usize>,
    /// The experiment that the run belongs to.
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment_name: Option<String>,
    /// The name under which the model is registered.
    #[arg(long, value_name = "NAME")]
    pub(crate) register_name: Option<String>,
    /// Refuses components that `stagewright.lock` does not pin, instead of pinning them.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) locked: bool,
}

impl Changes {
    /// These changes as the manifest takes them.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            set: self.set.clone(),
            sources: self.sources.clone(),
            seed: self.seed,
            workers: self.workers,
            experiment: self.experiment_name.clone(),
            register_name: self.register_name.clone(),
        }
    }

    /// These changes on top of those of an earlier run: where both change the same, these win.
    pub(crate) fn after(&self, mut earlier: Self) -> Self {
        // Parameters of a component that is replaced mean nothing to its successor; the stage's
        // limits stay.
        for stage in self.set.iter().filter_map(|set| set.split_once('=')?.0.strip_suffix(".component")) {
            let (own, limits) = (format!("{stage}."), format!("{stage}.limits."));
            earlier.set.retain(|set| !set.starts_with(&own) || set.starts_with(&limits));
        }
        let joined = |earlier: Vec<String>, later: &[String]| earlier.into_iter().chain(later.to_vec()).collect();
        Self {
            set: joined(earlier.set, &self.set),
            sources: joined(earlier.sources, &self.sources),
            seed: self.seed.or(earlier.seed),
            workers: self.workers,
            experiment_name: self.experiment_name.clone().or(earlier.experiment_name),
            register_name: self.register_name.clone().or(earlier.register_name),
            locked: self.locked,
        }
    }
}

/// Which stages may take over what earlier runs made.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CacheArguments {
    /// Executes every stage, whatever earlier runs made.
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Executes this stage, whatever earlier runs made; may be repeated.
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
    /// Writes the run's metrics to this file: JSON, sorted by their names, to be kept in git.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_out: Option<PathBuf>,
    /// Stops after this stage.
    #[arg(long, value_name = "STAGE")]
    pub(crate) until: Option<String>,
    /// Prints limits that leave room above what the stages used.
    #[arg(long)]
    pub(crate) suggest_limits: bool,
    #[command(flatten)]
    pub(crate) log: LogArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// How a run tells what happens while it runs.
#[derive(Debug, Args)]
pub(crate) struct LogArguments {
    /// Writes what happens: for people, or as JSON lines on standard output.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT", conflicts_with = "json")]
    pub(crate) log_format: LogFormat,
}

/// The words of `--log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines and bars for people.
    #[default]
    Text,
    /// One JSON object a line for each event.
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ResumeArguments {
    /// The run: its identifier, or the beginning of one.
    pub(crate) run: String,
    /// The manifest. [default: that of the run, with the changes that were made there]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Writes the run's metrics to this file: JSON, sorted by their names, to be kept in git.
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_out: Option<PathBuf>,
    /// Prints limits that leave room above what the stages used.
    #[arg(long)]
    pub(crate) suggest_limits: bool,
    #[command(flatten)]
    pub(crate) log: LogArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct ReproduceArguments {
    /// A run's identifier, or the beginning of one. [default: the last run]
    pub(crate) run: Option<String>,
    /// The file that the run read, if it is elsewhere now.
    #[arg(long, value_name = "FILE")]
    pub(crate) source: Option<PathBuf>,
    /// How many instances may run at once; results do not depend on it. [default: the number of
    /// cores]
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Signs this statement about the run's version too (`stagewright models attest`), if the run
    /// is reproduced and the statement says what it did.
    #[arg(long, value_name = "BUNDLE", requires_all = ["signed_by", "key", "output"])]
    pub(crate) countersign: Option<PathBuf>,
    /// A key that must have signed it: a PEM file, or `ed25519:` and 64 hex digits. Repeatable.
    #[arg(long, value_name = "KEY", requires = "countersign")]
    pub(crate) signed_by: Vec<String>,
    /// The key that signs: Ed25519, PKCS#8 in PEM.
    #[arg(long, value_name = "KEY", requires = "countersign")]
    pub(crate) key: Option<PathBuf>,
    /// The file of the signed statement.
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
    /// Prints OpenLineage's run events, one a line.
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
    /// Draws the graph in the language of Mermaid, and looks at no component.
    #[arg(long, conflicts_with = "json")]
    pub(crate) mermaid: bool,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Shows of every stage whether it would be executed, and why: which part of what decides its
    /// result differs from which run.
    #[arg(long)]
    pub(crate) explain: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StageCommand {
    /// Runs one stage on the artifacts of the last run.
    Run(StageRunArguments),
    /// Shows what a component is: world, imports, parameters.
    Inspect(InspectArguments),
    /// Lists the built-in components.
    List(JsonArgument),
    /// Makes a pair of keys for signing components.
    Keygen(KeygenArguments),
    /// Signs components: writes `COMPONENT.sig` beside each.
    Sign(SignArguments),
    /// Verifies that a component was signed by one of some keys.
    Verify(VerifyArguments),
    /// Compiles components for hosts that carry no compiler.
    Precompile(PrecompileArguments),
}

#[derive(Debug, Args)]
pub(crate) struct StageRunArguments {
    /// A stage of the manifest by its name, or a world for all its stages: ingestion, preparation,
    /// validation, transformation, training, evaluation or promotion.
    pub(crate) name: String,
    /// The manifest. [default: that of the run it works on, with the changes that were made there]
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The run whose artifacts it works on. [default: the last one, of the manifest's pipeline if
    /// that is named; ingestion works on none]
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    #[command(flatten)]
    pub(crate) changes: Changes,
    #[command(flatten)]
    pub(crate) cache: CacheArguments,
    /// Prints limits that leave room above what the stages used.
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
    /// Shows instead where its imports and exports differ from the WIT in this folder.
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
    /// Accepts components that changed: these, or all.
    #[arg(long, value_name = "NAME", num_args = 0..)]
    pub(crate) update: Option<Vec<String>>,
    /// Pins the built-in stages that the manifest uses too: an upgrade of stagewright must then be accepted.
    #[arg(long)]
    pub(crate) built_in: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// The file of the key that signs; the one that verifies is written beside it, with `.pub` at the end.
    #[arg(long, short, value_name = "KEY")]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SignArguments {
    /// `.wasm` files.
    #[arg(required = true, value_name = "COMPONENT")]
    pub(crate) components: Vec<PathBuf>,
    /// The key that signs: Ed25519, PKCS#8 in PEM.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// A `.wasm` file.
    pub(crate) component: PathBuf,
    /// A key to trust: a PEM file, or `ed25519:` and 64 hex digits. Repeatable.
    #[arg(long = "key", required = true, value_name = "KEY")]
    pub(crate) keys: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct PrecompileArguments {
    /// `.wasm` files, names of built-in components, and manifests (`.toml`): all components that they use.
    #[arg(required = true, value_name = "COMPONENT")]
    pub(crate) components: Vec<String>,
    /// The folder to write to.
    #[arg(long, short, value_name = "FOLDER")]
    pub(crate) output: PathBuf,
    /// The key of the host that will run them. [default: this host's]
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Uses nothing that only this machine's processor can: for hosts with others of its kind.
    #[arg(long)]
    pub(crate) baseline: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PredictArguments {
    /// `NAME` (its champion), `NAME@ALIAS` or `NAME/VERSION`.
    pub(crate) model: String,
    /// Rows: a file (`.csv`, `.tsv`, `.parquet`, or `.json`: an object, an array of objects, or one
    /// object a line), a source as training reads it (`csv:FILE?delimiter=;`, `parquet:FILE`,
    /// `sqlite:FILE#TABLE`), or `-` for standard input.
    #[arg(long, value_name = "FILE|URI")]
    pub(crate) input: String,
    /// Puts a column of the input before the predictions, such as an identifier; may be repeated.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) keep: Vec<String>,
    /// How many instances may run at once.
    #[arg(long)]
    pub(crate) workers: Option<usize>,
    /// Changes a limit of the model's stages, such as `training.limits.memory=4GiB`.
    /// [default: what it was trained under]
    #[arg(long, value_name = "STAGE.limits.LIMIT=VALUE")]
    pub(crate) set: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactsCommand {
    /// Lists the artifacts of a run.
    List {
        /// A run's identifier, or the beginning of one. [default: the last run]
        run: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Writes an artifact to a file: tables as Parquet or CSV, the rest as it is.
    Export {
        /// `STAGE.NAME` (as in `transformation.features-train`), or a digest.
        artifact: String,
        /// The file; its ending chooses the format of a table. `-` writes a document or a blob to standard output.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
        /// The run that made it. [default: the last run]
        #[arg(long)]
        run: Option<String>,
        /// For a spreadsheet: text in CSV that it would run as a formula gets an apostrophe before
        /// it.
        #[arg(long)]
        spreadsheet: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct InitArguments {
    /// The table: a file (`.csv`, `.tsv`, `.parquet`, `.sqlite`, `.db`), an address (`csv:FILE`,
    /// `sqlite:FILE#TABLE`, `parquet:FILE`), or a folder that holds one table.
    /// [default: the current folder]
    #[arg(value_name = "TABLE", conflicts_with = "source")]
    pub(crate) table: Option<String>,
    /// The address of the table: `csv:FILE`, `sqlite:FILE#TABLE` or `parquet:FILE`.
    #[arg(long, value_name = "URI")]
    pub(crate) source: Option<String>,
    /// The column to predict. [default: the only one with two values and a usual name]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// The value of the target that counts as positive, of two. [default: guessed]
    #[arg(long)]
    pub(crate) positive: Option<String>,
    /// The column that names a row, if one does.
    #[arg(long)]
    pub(crate) identifier: Option<String>,
    /// The pipeline's name. [default: the file's name]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where the manifest is written; an existing file is not overwritten.
    #[arg(long, short, default_value = "pipeline.toml", value_name = "FILE")]
    pub(crate) output: PathBuf,
}
