//! Cancels a run on Ctrl-C and SIGTERM.

use std::sync::atomic::{AtomicBool, Ordering};

use stagewright_lifecycle::sandbox::Cancel;

use crate::exit_code::ExitCode;

/// Returns a token that Ctrl-C and SIGTERM cancel. A second signal ends the process at once.
pub(crate) fn cancel_on_signals() -> Cancel {
    let cancel = Cancel::default();
    let (asked, token) = (AtomicBool::new(false), cancel.clone());
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(ExitCode::Interrupted as i32);
        }
        token.cancel();
    };
    if let Err(error) = ctrlc::set_handler(handler) {
        tracing::warn!("Ctrl-C will end the process at once: {error}");
    }
    cancel
}
