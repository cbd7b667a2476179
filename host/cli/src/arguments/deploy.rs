//! The arguments of `deploy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{DestinationArguments, JsonArgument};

#[derive(Debug, Subcommand)]
pub(crate) enum DeployCommand {
    /// Shows deployments with the figures of their arms, and what is next.
    Status {
        /// The model. [default: all that have an active deployment]
        model: Option<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Starts a deployment of an approved version beside the champion. Servers that follow the
    /// registry carry it out.
    Start(Box<DeployStartArguments>),
    /// Makes the next step of the active deployment: a canary's next share, the switch of a
    /// blue/green deployment, or the end. At its end, the version is promoted.
    Advance {
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
    /// Gives up the active deployment. The champion answers every request again.
    Abort {
        /// The model.
        model: String,
        /// The reason, for the audit.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        json: JsonArgument,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DeployStartArguments {
    /// The model.
    pub(crate) model: String,
    /// The file of the plan, TOML or JSON (docs/deployments.md). An A/B test needs one.
    #[arg(long, value_name = "FILE", required_unless_present = "strategy")]
    pub(crate) config: Option<PathBuf>,
    /// How the version takes over.
    #[arg(long, value_enum, requires = "version", conflicts_with = "config")]
    pub(crate) strategy: Option<StrategyArgument>,
    /// The version: its number (`3`), its semantic version (`1.2.0`), or an alias.
    #[arg(long, conflicts_with = "config")]
    pub(crate) version: Option<String>,
    /// The canary's shares of the requests, step by step, in percent. [default: 5,25,50,100]
    #[arg(long, value_name = "PERCENT,...", value_delimiter = ',', conflicts_with = "config")]
    pub(crate) shares: Vec<f64>,
    /// How long a step of the canary takes at least, such as `10 min`. [default: until `advance`]
    #[arg(long, value_name = "DURATION", conflicts_with = "config")]
    pub(crate) interval: Option<String>,
    /// The requests that the version answers in a step before it is judged. [default: 100]
    #[arg(long, value_name = "N", conflicts_with = "config")]
    pub(crate) min_requests: Option<u64>,
    /// Aborts the deployment if a larger share of the version's requests fails, such as `1%`.
    #[arg(long, value_name = "RATE", conflicts_with = "config")]
    pub(crate) max_error_rate: Option<String>,
    /// Aborts the deployment if the 99th percentile of the version's latencies is longer.
    #[arg(long, value_name = "DURATION", conflicts_with = "config")]
    pub(crate) max_p99: Option<String>,
    /// The part of a request that decides which version answers. [default: header:x-routing-key]
    #[arg(long, value_name = "header:NAME|field:NAME", conflicts_with = "config")]
    pub(crate) key: Option<String>,
    /// The share of the requests that a shadow gets copies of, such as `10%`. [default: 100%]
    #[arg(long, value_name = "RATE", conflicts_with = "config")]
    pub(crate) fraction: Option<String>,
    /// The reason, for the audit.
    #[arg(long, default_value = "", value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) json: JsonArgument,
}

/// The strategies that flags can describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StrategyArgument {
    /// All requests move at once, and back at once.
    #[value(name = "blue_green", alias = "blue-green")]
    BlueGreen,
    /// A growing share of the requests moves.
    Canary,
    /// The version gets copies of requests, and nobody sees its answers.
    Shadow,
}

impl StrategyArgument {
    /// The name in a plan.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue_green",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
        }
    }
}
