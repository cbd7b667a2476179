//! `server`: the tracking server.

mod fault;
mod measured;
mod pipelines;
mod webhooks;

use std::net::SocketAddr;
use std::sync::Arc;

use stagewright_server::{Reload, Server, ServerOptions, TlsFiles};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::pipelines::HomePipelines;
use crate::arguments::ServerArguments;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::{hooks, installation};

pub(crate) fn server(location: &HomeLocation, arguments: &ServerArguments) -> anyhow::Result<ExitCode> {
    let home = location.open()?;
    let mut options = ServerOptions::at(SocketAddr::new(arguments.host, arguments.port));
    options.is_insecure = arguments.insecure;
    options.hosts.clone_from(&arguments.allowed_host);
    if let (Some(certificate), Some(key)) = (&arguments.tls_certificate, &arguments.tls_key) {
        options.tls = Some(TlsFiles { certificate: certificate.clone(), key: key.clone() });
    }
    options.webhooks = webhooks::policy(&arguments.webhooks)?;
    options.pipelines = Some(Arc::new(HomePipelines::new(location.clone(), home.clone())));
    if arguments.insecure && !arguments.host.is_loopback() && !home.registry.accounts()?.is_required {
        tracing::warn!("everybody who reaches {} may change everything", options.address);
    }
    // Promotions that clients ask for are changes of champions.
    let hooks = hooks::follow(location, &installation::operator()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::bind(home.registry.clone(), home.artifacts.clone(), options).await?;
        // Before readiness is told, so that a signal never finds the server unprepared.
        let stop = stop(server.reload())?;
        println!("{}://{}", server.scheme(), server.address());
        if !server.run(stop).await {
            tracing::warn!("connections were cut off, because the time to end had passed");
        }
        anyhow::Ok(())
    })?;
    drop(hooks);
    Ok(ExitCode::Done)
}

/// Returns what completes with the first signal that ends the server. The second ends the process
/// at once. `SIGHUP` has certificate and key read again.
fn stop(reload: Reload) -> anyhow::Result<impl Future<Output = ()>> {
    let [interrupt, terminate, hangup] =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
    let mut signals = Signals { interrupt: interrupt?, terminate: terminate?, hangup: hangup?, reload };
    Ok(async move {
        signals.asked_to_end().await;
        tracing::info!("the server ends when its requests are answered");
        tokio::spawn(async move {
            signals.asked_to_end().await;
            std::process::exit(ExitCode::Interrupted as i32);
        });
    })
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    reload: Reload,
}

impl Signals {
    async fn asked_to_end(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => match self.reload.reload() {
                    Ok(()) => tracing::info!("certificate and key were read again"),
                    Err(error) => tracing::warn!("certificate and key stay as they were: {error}"),
                },
            }
        }
    }
}
