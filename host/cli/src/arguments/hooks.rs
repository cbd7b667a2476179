//! The arguments of `hooks`.

use clap::Subcommand;

use super::json::JsonArgument;

#[derive(Debug, Subcommand)]
pub(crate) enum HooksCommand {
    /// Lists the hooks of the operator's file.
    List(JsonArgument),
    /// Shows how far each hook was told of changes of champions, and why not further.
    Status(JsonArgument),
    /// Tells hooks of everything that they were not told of yet.
    Deliver {
        /// The hooks. [default: all]
        #[arg(value_name = "NAME")]
        names: Vec<String>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Passes over the next event of a hook, which it will not be told of.
    Skip {
        /// The hook.
        name: String,
    },
}
