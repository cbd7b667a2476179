//! `serve`: predictions over HTTP.

mod origins;
mod settings;
mod signals;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stagewright_data::{RequestOptions, UnknownFields};
use stagewright_lifecycle::limits::cores;
use stagewright_lifecycle::sandbox::{CallLimits, Isolation};
use stagewright_manifest::{IsolationPolicy, Operator, ServedModelSection, ServingFile, World};
use stagewright_serving::{
    FollowOptions, Follower, LastVerified, ModelLoader, OfferedVersion, OriginError, PoolOptions, ServedModel, Server,
    Service, VersionOptions,
};

use self::origins::{AskedModel, origin, serving_folder};
use self::settings::{models, server_options};
use self::signals::Signals;
use crate::arguments::{IsolationArgument, ServeArguments};
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::project::Project;

/// The time between two looks at a registry.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(500);

/// The time between two looks at a production location.
const LOCATION_INTERVAL: Duration = Duration::from_secs(5);

/// A model that is to be served.
struct Wanted {
    asked: AskedModel,
    section: ServedModelSection,
    model: Arc<ServedModel>,
}

pub(crate) fn serve(location: &HomeLocation, arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let file = arguments.config.as_deref().map(ServingFile::load).transpose()?.unwrap_or_default();
    let wanted = models(&file, arguments)?.into_iter().map(|(asked, section)| {
        let model = Arc::new(ServedModel::new(&asked.name));
        Wanted { asked, section, model }
    });
    let wanted: Vec<Wanted> = wanted.collect();
    let operator = installation::operator()?;
    let project = open(location, &operator, arguments.from == "registry")?;
    let service = Arc::new(Service::new(wanted.iter().map(|wanted| wanted.model.clone())));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let followers = runtime.block_on(async {
        // Before the models: an address that is taken is known at once.
        let server = Server::bind(service.clone(), server_options(&file.server, arguments)).await?;
        let is_loaded = Arc::new(AtomicBool::new(false));
        let stop = tokio::spawn(Signals::install(server.reload())?.wait(is_loaded.clone()));
        let follow = || follow(location, &project, &operator, &wanted, arguments);
        let followers = tokio::task::block_in_place(follow)?;
        is_loaded.store(true, Ordering::Relaxed);
        println!("{}://{}", server.scheme(), server.address());
        // A task that failed cannot tell when to stop, so it stops the server.
        let cut = server.run(async { drop(stop.await) }).await;
        if cut > 0 {
            tracing::warn!("{cut} connections were cut off, because the time to end had passed");
        }
        anyhow::Ok(followers)
    })?;
    drop(followers);
    Ok(ExitCode::Done)
}

/// Loads the versions of all models, and follows where they come from.
fn follow(
    location: &HomeLocation,
    project: &Project,
    operator: &Operator,
    wanted: &[Wanted],
    arguments: &ServeArguments,
) -> anyhow::Result<Vec<Follower>> {
    let loader = ModelLoader::new(Arc::new(project.runtime.clone()), project.home.artifacts.clone());
    let start = |wanted: &Wanted| {
        let origin = origin(location, &project.home, &wanted.asked, Some(&arguments.from))?;
        let options = follow_options(project, operator, wanted, arguments);
        anyhow::Ok(Follower::start(wanted.model.clone(), loader.clone(), origin, options)?)
    };
    wanted.iter().map(start).collect()
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
    wanted: &Wanted,
    arguments: &ServeArguments,
) -> FollowOptions {
    let (operator, section, workers) = (operator.clone(), wanted.section.clone(), arguments.workers);
    let trusted = project.trusted.clone();
    let asked = arguments.isolation.map(|asked| match asked {
        IsolationArgument::Auto => IsolationPolicy::Auto,
        IsolationArgument::Pooled => IsolationPolicy::Pooled,
        IsolationArgument::Fresh => IsolationPolicy::Fresh,
    });
    let settings = move |offered: &OfferedVersion| {
        let components = [&offered.contents.transformation, &offered.contents.training];
        let is_trusted = || components.iter().all(|it| trusted.vouches_for(&it.name, it.digest));
        let isolation = match asked.or(section.isolation).unwrap_or_default() {
            IsolationPolicy::Pooled => Isolation::Pooled,
            IsolationPolicy::Auto if is_trusted() => Isolation::Pooled,
            IsolationPolicy::Auto | IsolationPolicy::Fresh => Isolation::Fresh,
        };
        version_options(&operator, &section, workers, isolation, offered)
    };
    FollowOptions {
        asked: wanted.asked.asked.clone(),
        interval: if arguments.from == "registry" { REGISTRY_INTERVAL } else { LOCATION_INTERVAL },
        version: Box::new(settings),
        last: LastVerified::new(serving_folder(&project.home).join("last-verified")),
    }
}

/// Returns the settings of a version: those of the file, overridden by flags, within the operator's
/// ceilings.
fn version_options(
    operator: &Operator,
    section: &ServedModelSection,
    workers: Option<u64>,
    isolation: Isolation,
    offered: &OfferedVersion,
) -> Result<VersionOptions, OriginError> {
    let contents = &offered.contents;
    let recorded = [World::Transformation, World::Training].map(|world| (world, contents.limits_of(world)));
    let limits = operator.limits_of_model(recorded, &[]).map_err(|error| OriginError::Contents {
        model: section.name.clone(),
        version: offered.version,
        problem: error.to_string(),
    })?;
    let limits = limits.map(|(world, mut limits)| {
        limits.memory = section.memory.unwrap_or(limits.memory).min(operator.ceilings.of(world).memory);
        (world, limits)
    });
    let call = CallLimits::default();
    let (pool, request) = (PoolOptions::default(), RequestOptions::default());
    let unknown_fields = match section.refuses_unknown_fields {
        Some(true) => UnknownFields::Refuse,
        Some(false) => UnknownFields::Ignore,
        None => request.unknown_fields,
    };
    let number = |asked: Option<u64>, default: usize| asked.map_or(default, |number| number as usize);
    Ok(VersionOptions {
        limits,
        call: CallLimits { cpu: section.cpu.unwrap_or(call.cpu), wall: section.wall.unwrap_or(call.wall) },
        isolation,
        pool: PoolOptions {
            workers: number(workers.or(section.workers), (cores() / 2).max(1)),
            queued_rows: number(section.max_queue, pool.queued_rows),
            ..pool
        },
        request: RequestOptions { unknown_fields, max_rows: number(section.max_rows, request.max_rows), ..request },
    })
}
