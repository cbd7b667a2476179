//! `serve`: predictions over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use stagewright_lifecycle::limits::cores;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_manifest::{Operator, World};
use stagewright_serving::{ModelLoader, PoolOptions, ServedVersion, Server, ServerOptions, Service, VersionOptions};
use stagewright_store::CHAMPION;

use crate::arguments::ServeArguments;
use crate::commands::models::version::find_version;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::project::Project;
use crate::signals;

/// How often the server looks whether a signal has arrived.
const LOOK: Duration = Duration::from_millis(50);

/// The most bytes of a request's body.
const MOST_BODY_BYTES: usize = 16 << 20;

pub(crate) fn serve(location: &HomeLocation, arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    location.existing()?;
    let operator = installation::operator()?;
    let project = Project::open_with(location, &operator, None)?;
    let loader = ModelLoader::new(Arc::new(project.runtime.clone()), project.home.artifacts.clone());
    let service = Arc::new(Service::default());
    for model in &arguments.models {
        service.serve(Arc::new(load(&project, &operator, &loader, model, arguments)?));
    }
    let cancel = signals::cancel_on_signals();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let address = SocketAddr::new(arguments.host, arguments.port);
        let server = Server::bind(service, ServerOptions { address, most_body_bytes: MOST_BODY_BYTES }).await?;
        println!("http://{}", server.address());
        let stop = async move {
            while !cancel.is_cancelled() {
                tokio::time::sleep(LOOK).await;
            }
        };
        anyhow::Ok(server.run(stop).await?)
    })?;
    Ok(ExitCode::Done)
}

fn load(
    project: &Project,
    operator: &Operator,
    loader: &ModelLoader,
    model: &str,
    arguments: &ServeArguments,
) -> anyhow::Result<ServedVersion> {
    let version = find_version(&project.home, model, CHAMPION)?;
    let contents: RegisteredModel =
        serde_json::from_value(version.contents).context("the registered model cannot be read")?;
    let recorded = [World::Transformation, World::Training].map(|world| (world, contents.limits_of(world)));
    let workers = arguments.workers.unwrap_or((cores() / 2).max(1));
    let options = VersionOptions {
        limits: operator.limits_of_model(recorded, &[])?,
        call: stagewright_lifecycle::sandbox::CallLimits::default(),
        pool: PoolOptions { workers, ..PoolOptions::default() },
        request: stagewright_data::RequestOptions::default(),
    };
    Ok(ServedVersion::load(loader, &version.model, version.version, contents, &options)?)
}
