//! The option `--json`, which most commands have.

use clap::Args;

#[derive(Debug, Clone, Args)]
pub(crate) struct JsonArgument {
    /// Prints one JSON value on standard output.
    #[arg(long)]
    pub(crate) json: bool,
}
