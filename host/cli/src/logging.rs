//! Log lines of the host on standard error.

use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::output::LogLines;
use crate::traces;

/// Writes the host's log lines to standard error, filtered by `-v` or `RUST_LOG`, and exports spans
/// if the environment names a collector.
pub(crate) fn start(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "stagewright=debug,info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LogLines)
        .with_ansi(false) // whoever reads escapes cannot tell the host's from a stage's
        .with_target(false)
        .without_time()
        .log_internal_errors(false) // it would panic where standard error cannot be written to
        .with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    tracing_subscriber::registry().with(lines).with(traces::layer()).init();
}
