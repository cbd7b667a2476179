//! What can be typed about runs, models and what is kept of them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::JsonArgument;

/// Where versions are copied to, if not where the manifest or the last promotion says.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DestinationArguments {
    /// The production location: `s3://BUCKET/PREFIX` or a folder. [default: where the champion was promoted to, or
    /// `production` in the home]
    #[arg(long, value_name = "URI")]
    pub(crate) destination: Option<String>,
    /// The address of a store that is not AWS. [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The bucket's region. [default: AWS_REGION, or the profile's]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Names the bucket in the path instead of the host name. [default: with an endpoint of its own]
    #[arg(long)]
    pub(crate) path_style: bool,
}

/// How a search is cut and sorted.
#[derive(Debug, Clone, Args)]
pub(crate) struct SearchArguments {
    /// Comparisons joined by AND: "metrics.roc_auc > 0.8 AND tags.team = 'churn'".
    #[arg(default_value = "", value_name = "FILTER")]
    pub(crate) filter: String,
    /// What to sort by: "metrics.roc_auc DESC". Repeatable.
    #[arg(long = "order-by", value_name = "KEY [ASC|DESC]")]
    pub(crate) order_by: Vec<String>,
    /// How many to show.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// How many to leave out before them.
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: usize,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RunsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<RunsCommand>,
    /// How many to list.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists runs, newest first.
    List {
        /// How many to list.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows one run: stages, artifacts, metrics, logs.
    Show {
        /// A run's identifier, or the beginning of one. [default: the last run]
        run: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows runs side by side: parameters, metrics, data, components, code.
    Compare {
        /// Runs; the first is the one that the others are compared with.
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        runs: Vec<String>,
        /// Writes the comparison with plots to this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Finds runs by MLflow's grammar.
    Search {
        /// The experiment; repeatable. [default: all]
        #[arg(long = "experiment", value_name = "NAME")]
        experiments: Vec<String>,
        #[command(flatten)]
        search: SearchArguments,
    },
    /// Writes a run to one file, with all that `reproduce` needs.
    Export {
        /// A run's identifier, or the beginning of one.
        run: String,
        /// The file.
        file: PathBuf,
        /// The file that the run read, if it is elsewhere now.
        #[arg(long, value_name = "FILE")]
        source: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Records the run of such a file, every byte of it verified.
    Import {
        /// The file.
        file: PathBuf,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Deletes a run; it can be restored until garbage is collected.
    Delete {
        /// A run's identifier, or the beginning of one.
        run: String,
    },
    /// Restores a deleted run.
    Restore {
        /// A run's identifier, or the beginning of one.
        run: String,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct ModelsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<ModelsCommand>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Lists registered models.
    List(JsonArgument),
    /// Shows a model's versions, or one of them.
    Show {
        /// `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
        model: String,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows versions side by side: parameters, metrics, data, components, code.
    Compare {
        /// `NAME/VERSION` or `NAME@ALIAS`; the first is the one that the others are compared with.
        #[arg(required = true, num_args = 2.., value_name = "MODEL")]
        models: Vec<String>,
        /// Writes the comparison with plots to this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Writes the model card of a version.
    Card {
        /// `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its champion).
        model: String,
        /// The file, `.html` or `.md`. [default: Markdown on standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Writes what a version was made of and by what, as an in-toto statement (SLSA provenance).
    Attest {
        /// `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its champion).
        model: String,
        /// Signs it with this key (Ed25519, PKCS#8 in PEM): the result is a Sigstore bundle.
        #[arg(long, value_name = "KEY")]
        key: Option<PathBuf>,
        /// The file. [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Approves a version, whatever its gates say: a person's decision, shown as such.
    Approve(DecisionArguments),
    /// Rejects a version, whatever its gates say: a person's decision, shown as such.
    Reject(DecisionArguments),
    /// Makes an approved version champion: copies it to the production location, then moves the alias.
    Promote {
        /// `NAME/VERSION` or `NAME@ALIAS`. `NAME@champion` repairs the production location.
        model: String,
        /// The champion that is expected to be replaced; refused if it is another by then.
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
        /// Why; kept in the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Goes back to the version that was archived last.
    Rollback {
        /// The model.
        model: String,
        /// Why; kept in the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Takes a model out of production: its champion is archived, and no destination points to it
    /// any more.
    Retire(RetireArguments),
    /// Moves a version to another stage: none, staging or archived.
    Transition {
        /// `NAME/VERSION` or `NAME@ALIAS`.
        model: String,
        /// The stage.
        stage: String,
        /// Why; kept in the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Sets and removes tags of a model or of a version.
    Tag {
        /// `NAME`, `NAME/VERSION` or `NAME@ALIAS`.
        model: String,
        /// Tags to set.
        #[arg(value_name = "KEY=VALUE")]
        tags: Vec<String>,
        /// A tag to remove; repeatable.
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Points an alias to a version, or removes it.
    Alias {
        /// `NAME/VERSION`; with --remove `NAME`.
        model: String,
        /// The alias.
        alias: String,
        /// Where it is expected to point to now; refused if it points elsewhere.
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
        /// Removes the alias.
        #[arg(long)]
        remove: bool,
    },
    /// Finds versions of all models by MLflow's grammar.
    Search(SearchArguments),
    /// Tells what happened to a model; or what was in production on a day.
    History {
        /// `NAME` or `NAME/VERSION`.
        model: String,
        /// A day or a moment (UTC): `2026-11-21`, `2026-11-21T14:30:00Z`. A day means its end.
        #[arg(long, value_name = "DATE")]
        at: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Copies a version with everything that it needs to a folder or a bucket.
    Export {
        /// `NAME/VERSION` or `NAME@ALIAS`.
        model: String,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Registers a version from where it was exported or promoted to. It has no verdict until `gate` gives one.
    Import {
        /// `NAME` (the champion there) or `NAME/VERSION`.
        model: String,
        /// The name to register it under. [default: the same]
        #[arg(long, value_name = "NAME")]
        register_name: Option<String>,
        /// Signatures of its components, as `stage sign` writes them: for machines whose operator
        /// requires some. Repeatable.
        #[arg(long, value_name = "FILE")]
        signatures: Vec<PathBuf>,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Deletes a version, or a model with all its versions. The audit keeps what happened to them.
    Delete {
        /// `NAME` or `NAME/VERSION`.
        model: String,
        /// Why; kept in the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
}

/// How a version is compared with the champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    /// It must be better by more than the margin.
    Better,
    /// It may be worse by no more than the margin.
    NoWorse,
    /// It is not compared.
    Absolute,
}

/// The version that a person decides about.
#[derive(Debug, Args)]
pub(crate) struct DecisionArguments {
    /// `NAME/VERSION`, `NAME@ALIAS` or `NAME@latest`.
    pub(crate) model: String,
    /// Why; kept with the verdict and in the audit.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// Which model retires, and how its destinations are reached if they are buckets.
#[derive(Debug, Args)]
pub(crate) struct RetireArguments {
    /// The model.
    pub(crate) model: String,
    /// Why; kept in the audit.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    /// The address of a store that is not AWS.
    /// [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or MLFLOW_S3_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The bucket's region. [default: AWS_REGION, or the profile's]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Names the bucket in the path instead of the host name.
    /// [default: with an endpoint of its own]
    #[arg(long)]
    pub(crate) path_style: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct GateArguments {
    /// `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its newest version).
    /// [default: the newest version of all]
    pub(crate) model: Option<String>,
    /// How it is compared with the champion.
    /// [default: that of its manifest; absolute if figures are named here]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) policy: Option<PolicyName>,
    /// By how much it must be better than the champion, or may be worse. [default: 0]
    #[arg(long, value_name = "VALUE")]
    pub(crate) margin: Option<f64>,
    /// How sure the comparison must be, from 0.5 to below 1.
    #[arg(long, value_name = "VALUE")]
    pub(crate) confidence: Option<f64>,
    /// The least ROC AUC.
    #[arg(long, value_name = "VALUE")]
    pub(crate) min_auc: Option<f64>,
    /// The least accuracy.
    #[arg(long, value_name = "VALUE")]
    pub(crate) min_accuracy: Option<f64>,
    /// The least value of a metric. Repeatable.
    #[arg(long = "min", value_name = "METRIC=VALUE")]
    pub(crate) minimum: Vec<String>,
    /// The greatest value of a metric. Repeatable.
    #[arg(long = "max", value_name = "METRIC=VALUE")]
    pub(crate) maximum: Vec<String>,
    /// A version that it may not fall more than 1 % behind: `NAME/VERSION` or `NAME@ALIAS`.
    #[arg(long, value_name = "MODEL")]
    pub(crate) baseline: Option<String>,
    /// Records the verdict. A later verdict supersedes an earlier one.
    #[arg(long)]
    pub(crate) record: bool,
    /// Records the verdict and promotes the version if it passes.
    #[arg(long)]
    pub(crate) promote: bool,
    #[command(flatten)]
    pub(crate) destination: DestinationArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Recomputes the chain: finds any entry that was edited, removed or moved.
    Verify {
        /// A head that must be part of the chain: one that was printed before, or that a promotion wrote beside its model.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Lists the latest entries, newest first.
    List {
        /// How many to list.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        json: JsonArgument,
    },
}

#[derive(Debug, Args)]
pub(crate) struct GcArguments {
    /// Lists what would be removed, and removes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leaves what is younger, for runs that have not recorded it yet: `1h`, `30min`, `0s`.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub(crate) grace: String,
    /// Removes also what only records of runs reach, the least recently used first, until the
    /// artifacts take at most so much: `20 GiB`. What a version or a verdict refers to stays.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    #[command(flatten)]
    pub(crate) destination: DestinationArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}
