//! `serve`: predictions over HTTP.

mod origins;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stagewright_lifecycle::limits::cores;
use stagewright_lifecycle::sandbox::{CallLimits, Isolation};
use stagewright_manifest::{Operator, World};
use stagewright_serving::{
    FollowOptions, Follower, LastVerified, ModelLoader, OfferedVersion, OriginError, PoolOptions, ServedModel, Server,
    ServerOptions, Service, VersionOptions,
};

use self::origins::{AskedModel, origin, serving_folder};
use crate::arguments::{IsolationArgument, ServeArguments};
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::project::Project;
use crate::signals;

/// How often the server looks whether a signal has arrived.
const LOOK: Duration = Duration::from_millis(50);

/// The most bytes of a request's body.
const MOST_BODY_BYTES: usize = 16 << 20;

/// The time between two looks at a registry.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(500);

/// The time between two looks at a production location.
const LOCATION_INTERVAL: Duration = Duration::from_secs(5);

pub(crate) fn serve(location: &HomeLocation, arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    let from_registry = arguments.from == "registry";
    let project = open(location, &operator, from_registry)?;
    let loader = ModelLoader::new(Arc::new(project.runtime.clone()), project.home.artifacts.clone());
    let (mut models, mut followers) = (Vec::new(), Vec::new());
    for argument in &arguments.models {
        let asked = AskedModel::parse(argument)?;
        let origin = origin(location, &project.home, &asked, Some(&arguments.from))?;
        let model = Arc::new(ServedModel::new(&asked.name));
        let options = follow_options(&project, &operator, &asked, arguments);
        followers.push(Follower::start(model.clone(), loader.clone(), origin, options)?);
        models.push(model);
    }
    let service = Arc::new(Service::new(models));
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
    drop(followers);
    Ok(ExitCode::Done)
}

/// Opens the home. A registry that is away does not keep a server from starting: the last verified
/// versions are in the home.
fn open(location: &HomeLocation, operator: &Operator, from_registry: bool) -> anyhow::Result<Project> {
    if !from_registry {
        return Project::open_with(&location.without_registry(), operator, None);
    }
    location.existing().map(drop).or_else(|error| if location.registry.is_some() { Ok(()) } else { Err(error) })?;
    Project::open_with(location, operator, None).or_else(|error| {
        if location.registry.is_none() {
            return Err(error);
        }
        tracing::warn!("{error:#}");
        Project::open_with(&location.without_registry(), operator, None)
    })
}

fn follow_options(
    project: &Project,
    operator: &Operator,
    asked: &AskedModel,
    arguments: &ServeArguments,
) -> FollowOptions {
    let workers = arguments.workers.unwrap_or((cores() / 2).max(1));
    let (operator, trusted, isolation) = (operator.clone(), project.trusted.clone(), arguments.isolation);
    let settings = move |offered: &OfferedVersion| {
        let contents = &offered.contents;
        let recorded = [World::Transformation, World::Training].map(|world| (world, contents.limits_of(world)));
        let limits = operator.limits_of_model(recorded, &[]).map_err(|error| OriginError::Contents {
            model: String::new(),
            version: offered.version,
            problem: error.to_string(),
        })?;
        // A component that somebody vouches for is believed to keep nothing of a request.
        let is_trusted = || {
            let mut components = [&contents.transformation, &contents.training].into_iter();
            components.all(|component| trusted.vouches_for(&component.name, component.digest))
        };
        let isolation = match isolation {
            IsolationArgument::Auto if is_trusted() => Isolation::Pooled,
            IsolationArgument::Pooled => Isolation::Pooled,
            IsolationArgument::Auto | IsolationArgument::Fresh => Isolation::Fresh,
        };
        Ok(VersionOptions {
            limits,
            call: CallLimits::default(),
            isolation,
            pool: PoolOptions { workers, ..PoolOptions::default() },
            request: stagewright_data::RequestOptions::default(),
        })
    };
    FollowOptions {
        asked: asked.asked.clone(),
        interval: if arguments.from == "registry" { REGISTRY_INTERVAL } else { LOCATION_INTERVAL },
        version: Box::new(settings),
        last: LastVerified::new(serving_folder(&project.home).join("last-verified")),
    }
}
