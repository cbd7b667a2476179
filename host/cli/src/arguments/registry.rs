//! The arguments of commands about runs, models, the audit and garbage.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::exchange::ExportRunArguments;
use super::json::JsonArgument;

/// The destination of promotions and exports.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct DestinationArguments {
    /// The production location: `s3://BUCKET/PREFIX` or a folder. [default: that of the champion's
    /// promotion, or `production` in the home]
    #[arg(long, value_name = "URI")]
    pub(crate) destination: Option<String>,
    /// The address of an S3 store other than AWS. [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL
    /// or MLFLOW_S3_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The bucket's region. [default: AWS_REGION, or the profile's]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Puts the bucket's name into the path instead of the host name. [default: if there is an
    /// endpoint]
    #[arg(long)]
    pub(crate) path_style: bool,
}

/// The filter, order and page of a search.
#[derive(Debug, Clone, Args)]
pub(crate) struct SearchArguments {
    /// Comparisons that are joined by AND: "metrics.roc_auc > 0.8 AND tags.team = 'churn'".
    #[arg(default_value = "", value_name = "FILTER")]
    pub(crate) filter: String,
    /// The key to sort by: "metrics.roc_auc DESC". Repeatable.
    #[arg(long = "order-by", value_name = "KEY [ASC|DESC]")]
    pub(crate) order_by: Vec<String>,
    /// The number of results to show.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    /// The number of results to skip before them.
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
    /// The number of entries to list.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// Lists runs, newest first.
    List {
        /// The number of entries to list.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows one run: its stages, artifacts, metrics and log lines.
    Show {
        /// A run's identifier, or the beginning of it. [default: the last run]
        run: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Compares runs: parameters, metrics, data, components, code.
    Compare {
        /// The runs. The others are compared with the first.
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        runs: Vec<String>,
        /// Writes the comparison with plots to this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Searches runs, with a filter in MLflow's grammar.
    Search {
        /// The experiment. Repeatable. [default: all]
        #[arg(long = "experiment", value_name = "NAME")]
        experiments: Vec<String>,
        #[command(flatten)]
        search: SearchArguments,
    },
    /// Writes a run to one file, with everything that `reproduce` needs; `export mlflow` sends runs
    /// to an MLflow server.
    Export(ExportRunArguments),
    /// Records the run of an exported file, after verifying every byte of it.
    Import {
        /// The file of the run.
        file: PathBuf,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Deletes a run. It can be restored until garbage is collected.
    Delete {
        /// A run's identifier, or the beginning of it.
        run: String,
    },
    /// Restores a deleted run.
    Restore {
        /// A run's identifier, or the beginning of it.
        run: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OutcomesArguments {
    /// The model: `NAME`, or `NAME/VERSION` for one version.
    pub(crate) model: String,
    /// One version. [default: all that have outcomes]
    #[arg(long = "version", value_name = "VERSION")]
    pub(crate) only: Option<u32>,
    /// The time from which on outcomes count: a day or a time in UTC. [default: all]
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// The folder of the model's prediction log. [default: in the home]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
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
    /// Shows a model's versions, or one version.
    Show {
        /// The model: `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
        model: String,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Compares versions: parameters, metrics, data, components, code.
    #[cfg(feature = "pipelines")]
    Compare {
        /// The versions: `NAME/VERSION` or `NAME@ALIAS`. The others are compared with the first.
        #[arg(required = true, num_args = 2.., value_name = "MODEL")]
        models: Vec<String>,
        /// Writes the comparison with plots to this file.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Writes the model card of a version.
    #[cfg(feature = "pipelines")]
    Card {
        /// The version: `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its champion).
        model: String,
        /// The file to write to, `.html` or `.md`. [default: Markdown on standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Writes the provenance of a version as an in-toto statement (SLSA provenance).
    #[cfg(feature = "pipelines")]
    Attest {
        /// The version: `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its champion).
        model: String,
        /// Signs the statement with this key (Ed25519, PKCS#8 in PEM), and writes a Sigstore
        /// bundle.
        #[arg(long, value_name = "KEY")]
        key: Option<PathBuf>,
        /// The file to write to. [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Checks that a version's components keep nothing of a request: its pooled instances must
    /// answer rows of its evaluation as fresh ones do. Without these rows, made-up ones are asked.
    CheckIsolation {
        /// The version: `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its champion).
        model: String,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Measures versions in production: joins logged predictions with the outcomes that were
    /// posted, by request.
    Outcomes(OutcomesArguments),
    /// Approves a version by a person's decision, whatever its gates say.
    #[cfg(feature = "pipelines")]
    Approve(DecisionArguments),
    /// Rejects a version by a person's decision, whatever its gates say.
    #[cfg(feature = "pipelines")]
    Reject(DecisionArguments),
    /// Makes an approved version the champion: copies it to the production location, then moves the
    /// alias.
    #[cfg(feature = "pipelines")]
    Promote {
        /// The version: `NAME/VERSION` or `NAME@ALIAS`. `NAME@champion` repairs the production
        /// location.
        model: String,
        /// The version that must be champion before the promotion; otherwise it is refused.
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
        /// The reason, for the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Makes the version that was archived last the champion again.
    #[cfg(feature = "pipelines")]
    Rollback {
        /// The model.
        model: String,
        /// The reason, for the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Takes a model out of production: archives its champion, and removes the pointers to it at
    /// destinations.
    #[cfg(feature = "pipelines")]
    Retire(RetireArguments),
    /// Moves a version to another stage: none, staging or archived.
    #[cfg(feature = "pipelines")]
    Transition {
        /// The version: `NAME/VERSION` or `NAME@ALIAS`.
        model: String,
        /// The new stage.
        stage: String,
        /// The reason, for the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
    /// Sets and removes tags of a model or a version.
    #[cfg(feature = "pipelines")]
    Tag {
        /// The model or version: `NAME`, `NAME/VERSION` or `NAME@ALIAS`.
        model: String,
        /// The tags to set.
        #[arg(value_name = "KEY=VALUE")]
        tags: Vec<String>,
        /// A tag to remove. Repeatable.
        #[arg(long, value_name = "KEY")]
        remove: Vec<String>,
    },
    /// Sets an alias to a version, or removes it.
    #[cfg(feature = "pipelines")]
    Alias {
        /// The version: `NAME/VERSION`; with --remove, `NAME`.
        model: String,
        /// The alias.
        alias: String,
        /// The version that the alias must point to now; otherwise the change is refused.
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
        /// Removes the alias.
        #[arg(long)]
        remove: bool,
    },
    /// Searches versions of all models, with a filter in MLflow's grammar.
    #[cfg(feature = "pipelines")]
    Search(SearchArguments),
    /// Shows the history of a model, or the champion at a given time.
    History {
        /// The model or version: `NAME` or `NAME/VERSION`.
        model: String,
        /// A day or a time in UTC: `2026-11-21`, `2026-11-21T14:30:00Z`. A day means its end.
        #[arg(long, value_name = "DATE")]
        at: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Copies a version with everything that it needs to a folder or a bucket.
    #[cfg(feature = "pipelines")]
    Export {
        /// The version: `NAME/VERSION` or `NAME@ALIAS`.
        model: String,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Registers a version from where it was exported or promoted to. It has no verdict until
    /// `gate` records one.
    #[cfg(feature = "pipelines")]
    Import {
        /// The version there: `NAME` (its champion) or `NAME/VERSION`.
        model: String,
        /// The name to register it under. [default: the same name]
        #[arg(long, value_name = "NAME")]
        register_name: Option<String>,
        /// A file with signatures of its components (`stage sign`), if the operator of this machine
        /// requires some. Repeatable.
        #[arg(long, value_name = "FILE")]
        signatures: Vec<PathBuf>,
        #[command(flatten)]
        destination: DestinationArguments,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Deletes a version, or a model with all its versions. The audit keeps their history.
    #[cfg(feature = "pipelines")]
    Delete {
        /// The model or version: `NAME` or `NAME/VERSION`.
        model: String,
        /// The reason, for the audit.
        #[arg(long, default_value = "", value_name = "TEXT")]
        reason: String,
    },
}

/// How a version is compared with the champion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PolicyName {
    /// It must be better than the champion by more than the margin.
    Better,
    /// It may be worse than the champion by at most the margin.
    NoWorse,
    /// It is not compared with the champion.
    Absolute,
}

/// The decision of a person about a version.
#[derive(Debug, Args)]
pub(crate) struct DecisionArguments {
    /// The version: `NAME/VERSION`, `NAME@ALIAS` or `NAME@latest`.
    pub(crate) model: String,
    /// The reason, for the verdict and the audit.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// The model to retire, and the access to its destinations if they are buckets.
#[derive(Debug, Args)]
pub(crate) struct RetireArguments {
    /// The model.
    pub(crate) model: String,
    /// The reason, for the audit.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    /// The address of an S3 store other than AWS. [default: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL
    /// or MLFLOW_S3_ENDPOINT_URL]
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The bucket's region. [default: AWS_REGION, or the profile's]
    #[arg(long)]
    pub(crate) region: Option<String>,
    /// Puts the bucket's name into the path instead of the host name. [default: if there is an
    /// endpoint]
    #[arg(long)]
    pub(crate) path_style: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Args)]
pub(crate) struct GateArguments {
    /// The version: `NAME/VERSION`, `NAME@ALIAS` or `NAME` (its newest version). [default: the
    /// newest version of all models]
    pub(crate) model: Option<String>,
    /// How the version is compared with the champion. [default: that of its manifest; absolute if
    /// figures are given here]
    #[arg(long, value_enum, value_name = "POLICY")]
    pub(crate) policy: Option<PolicyName>,
    /// How much better than the champion the version must be, or how much worse it may be.
    /// [default: 0]
    #[arg(long, value_name = "VALUE")]
    pub(crate) margin: Option<f64>,
    /// The confidence of the comparison, from 0.5 to below 1.
    #[arg(long, value_name = "VALUE")]
    pub(crate) confidence: Option<f64>,
    /// The minimum of ROC AUC.
    #[arg(long, value_name = "VALUE")]
    pub(crate) min_auc: Option<f64>,
    /// The minimum of accuracy.
    #[arg(long, value_name = "VALUE")]
    pub(crate) min_accuracy: Option<f64>,
    /// The minimum of a metric. Repeatable.
    #[arg(long = "min", value_name = "METRIC=VALUE")]
    pub(crate) minimum: Vec<String>,
    /// The maximum of a metric. Repeatable.
    #[arg(long = "max", value_name = "METRIC=VALUE")]
    pub(crate) maximum: Vec<String>,
    /// A version that this one may not be more than 1 % behind: `NAME/VERSION` or `NAME@ALIAS`.
    #[arg(long, value_name = "MODEL")]
    pub(crate) baseline: Option<String>,
    /// Records the verdict, which replaces an earlier one.
    #[arg(long)]
    pub(crate) record: bool,
    /// Records the verdict, and promotes the version if it passes.
    #[arg(long)]
    pub(crate) promote: bool,
    #[command(flatten)]
    pub(crate) destination: DestinationArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Recomputes the chain, and finds every entry that was edited, removed or moved.
    Verify {
        /// A hash that must be in the chain: one that was printed before, or that a promotion wrote
        /// beside its model.
        #[arg(long, value_name = "HASH")]
        head: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Lists the latest entries, newest first.
    List {
        /// The number of entries to list.
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
    /// Keeps artifacts that are younger, which a run may not have recorded yet: `1h`, `30min`,
    /// `0s`.
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub(crate) grace: String,
    /// Also removes artifacts that only records of runs refer to, the least recently used first,
    /// until the artifacts take at most this size: `20 GiB`. Artifacts of versions and verdicts
    /// stay.
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_size: Option<String>,
    #[command(flatten)]
    pub(crate) destination: DestinationArguments,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}
