//! The signals of a server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stagewright_serving::Reload;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit_code::ExitCode;

/// The signals that end a server, and the one that reads its files again.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    reload: Reload,
}

impl Signals {
    pub(super) fn install(reload: Reload) -> anyhow::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self { interrupt: interrupt?, terminate: terminate?, hangup: hangup?, reload })
    }

    /// Waits for the first signal. The second ends the process at once, as the first does before
    /// the models are loaded.
    pub(super) async fn wait(mut self, is_loaded: Arc<AtomicBool>) {
        self.asked().await;
        if !is_loaded.load(Ordering::Relaxed) {
            std::process::exit(ExitCode::Interrupted as i32);
        }
        tracing::info!("the server ends when its requests are answered");
        tokio::spawn(async move {
            self.asked().await;
            std::process::exit(ExitCode::Interrupted as i32);
        });
    }

    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => match self.reload.reload() {
                    Ok(()) => tracing::info!("the server's files of certificate, key and tokens were read again"),
                    Err(error) => tracing::warn!("certificate, key and tokens stay as they were: {error}"),
                },
            }
        }
    }
}
