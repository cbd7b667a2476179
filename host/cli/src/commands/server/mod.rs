//! `server`: the tracking server.

mod promotion;

use std::net::SocketAddr;

use stagewright_server::{Server, ServerOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::ServerArguments;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::{hooks, installation};

pub(crate) fn server(location: &HomeLocation, arguments: &ServerArguments) -> anyhow::Result<ExitCode> {
    let home = location.open()?;
    let mut options = ServerOptions::at(SocketAddr::new(arguments.host, arguments.port));
    options.is_insecure = arguments.insecure;
    options.hosts.clone_from(&arguments.allowed_host);
    options.promote = Some(promotion::into_production(location.clone()));
    if arguments.insecure && !arguments.host.is_loopback() {
        tracing::warn!("everybody who reaches {} may change everything", options.address);
    }
    // Promotions that clients ask for are changes of champions.
    let hooks = hooks::follow(location, &installation::operator()?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before readiness is told, so that a signal never finds the server unprepared.
        let stop = stop()?;
        let server = Server::bind(home.registry.clone(), home.artifacts.clone(), options).await?;
        println!("http://{}", server.address());
        if !server.run(stop).await {
            tracing::warn!("connections were cut off, because the time to end had passed");
        }
        anyhow::Ok(())
    })?;
    drop(hooks);
    Ok(ExitCode::Done)
}

/// Returns what completes with the first signal that ends the server. The second ends the process
/// at once.
fn stop() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("the server ends when its requests are answered");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(ExitCode::Interrupted as i32);
        });
    })
}
