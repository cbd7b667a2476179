//! Log lines of the host on standard error.

use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt as _, filter_fn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::output::LogLines;
use crate::traces;

/// The most lines of a server that wait to be written. Further ones are dropped.
const MOST_LINES: usize = 4096;

/// Writes lines that still wait when it is dropped, for a second at most.
pub(crate) type Rest = WorkerGuard;

/// Writes the host's log lines to standard error, filtered by `-v` or `RUST_LOG`, and exports spans
/// if the environment names a collector.
///
/// A server goes on answering if nobody reads its standard error: a thread of its own writes the
/// lines, and those for which there is no room are dropped. Other commands write each line before
/// they go on.
pub(crate) fn start(verbose: u8, is_server: bool) -> Option<Rest> {
    let (writer, rest) = if is_server {
        let (writer, rest): (NonBlocking, Rest) =
            NonBlockingBuilder::default().lossy(true).buffered_lines_limit(MOST_LINES).finish(LogLines);
        (BoxMakeWriter::new(writer), Some(rest))
    } else {
        (BoxMakeWriter::new(|| LogLines), None)
    };
    let default = match verbose {
        0 => "warn",
        1 => "info",
        _ => "stagewright=debug,info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_ansi(false) // whoever reads escapes cannot tell the host's from a stage's
        .with_target(false)
        .without_time()
        .log_internal_errors(false) // it would panic where standard error cannot be written to
        .with_filter(filter.and(filter_fn(|metadata| metadata.is_event())));
    tracing_subscriber::registry().with(lines).with(traces::layer()).init();
    rest
}
