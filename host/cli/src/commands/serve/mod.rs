//! `serve`: predictions over HTTP.

#[cfg(feature = "pipelines")]
mod deployments;
#[cfg(not(feature = "pipelines"))]
mod elsewhere;
mod log;
mod origins;
mod settings;
mod signals;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stagewright_data::{RequestOptions, UnknownFields};
use stagewright_lifecycle::limits::cores;
use stagewright_lifecycle::sandbox::{CallLimits, Isolation};
use stagewright_manifest::{IsolationPolicy, Limits, Operator, ServedModelSection, ServingFile, World};
use stagewright_runtime::EngineOptions;
use stagewright_serving::{
    Conductor, FollowOptions, Follower, LastVerified, ModelLoader, ModelLog, OfferedVersion, OriginError,
    OutcomeRecorder, PoolOptions, ServedModel, Server, Service, VersionOptions,
};
use stagewright_store::ArtifactStore;

#[cfg(not(feature = "pipelines"))]
use self::elsewhere as deployments;
use self::log::Logs;
use self::origins::{AskedModel, open_registry, origin, place, serving_artifacts, serving_folder};
use self::settings::{models, server_options, within_ceilings};
use self::signals::Signals;
use crate::arguments::{IsolationArgument, ServeArguments};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::hooks;
use crate::installation;
use crate::project::Sandbox;
use crate::usage_error::UsageError;

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
    for wanted in &wanted {
        within_ceilings(&operator, &wanted.section).map_err(|problem| {
            UsageError::error(ErrorCode::OperatorBound, problem, "lower it, or have the ceiling raised by the operator")
        })?;
    }
    let ground = Ground::open(location, &operator, arguments.from == "registry")?;
    let served = || wanted.iter().map(|wanted| wanted.model.clone());
    let follows_registry = arguments.from == "registry";
    let operations = follows_registry.then(|| Arc::new(deployments::operations(location)));
    let service = Service::new(served());
    let service = Arc::new(match &operations {
        Some(operations) => {
            let registry = location.clone();
            let outcomes = OutcomeRecorder::start(Box::new(move || open_registry(&registry)))?;
            service.with_operations(operations.clone()).with_outcomes(outcomes)
        }
        None => service,
    });
    // Dropped last, when everything is answered.
    let sections = wanted.iter().map(|wanted| &wanted.section);
    let logs = Logs::start(&ground.folder, sections, service.metrics())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let followers = runtime.block_on(async {
        // Before the models: an address that is taken is known at once.
        let server = Server::bind(service.clone(), server_options(&file.server, arguments)).await?;
        let is_loaded = Arc::new(AtomicBool::new(false));
        let stop = tokio::spawn(Signals::install(server.reload())?.wait(is_loaded.clone()));
        let follow = || follow(location, &ground, &operator, &wanted, &logs, arguments);
        let followers = tokio::task::block_in_place(follow)?;
        let hooks = if follows_registry { hooks::follow(location, &operator)? } else { None };
        let conduct = |operations| Conductor::start(served().collect(), operations);
        let conductor = operations.map(conduct).transpose()?;
        is_loaded.store(true, Ordering::Relaxed);
        println!("{}://{}", server.scheme(), server.address());
        // A task that failed cannot tell when to stop, so it stops the server.
        let cut = server.run(async { drop(stop.await) }).await;
        if cut > 0 {
            tracing::warn!("{cut} connections were cut off, because the time to end had passed");
        }
        anyhow::Ok((followers, hooks, conductor))
    })?;
    drop(followers);
    drop(logs);
    Ok(ExitCode::Done)
}

/// Loads the versions of all models, and follows where they come from.
fn follow(
    location: &HomeLocation,
    ground: &Ground,
    operator: &Operator,
    wanted: &[Wanted],
    logs: &Logs,
    arguments: &ServeArguments,
) -> anyhow::Result<Vec<Follower>> {
    let loader = ModelLoader::new(Arc::new(ground.sandbox.runtime.clone()), ground.artifacts.clone());
    let start = |wanted: &Wanted| {
        let mut origin = origin(location, &ground.artifacts, &wanted.asked, &arguments.from)?;
        let log = logs.of(&wanted.asked.name);
        // An origin that is away is found so below.
        if let Some(log) = &log
            && let Ok(offered) = origin.current()
        {
            log::check(log, &wanted.asked.name, &offered)?;
        }
        let options = follow_options(location, ground, operator, wanted, log, arguments);
        anyhow::Ok(Follower::start(wanted.model.clone(), loader.clone(), origin, options)?)
    };
    wanted.iter().map(start).collect()
}

/// The ground of a server. It needs no registry: one that is away does not keep a server from
/// starting, because the versions that were verified last are in the home.
struct Ground {
    sandbox: Sandbox,
    /// The folder of the home.
    folder: PathBuf,
    artifacts: ArtifactStore,
}

impl Ground {
    fn open(location: &HomeLocation, operator: &Operator, from_registry: bool) -> anyhow::Result<Self> {
        let artifacts = match location.existing() {
            _ if !from_registry => serving_artifacts(&location.home)?,
            Ok(home) => home.artifacts,
            Err(error) if location.registry.is_some() && location.home.is_dir() => {
                tracing::warn!("{error:#}");
                ArtifactStore::open(location.home.join("artifacts"))?
            }
            Err(error) => return Err(error),
        };
        let sandbox = Sandbox::open(&location.home, operator, None, EngineOptions::default())?;
        Ok(Self { sandbox, folder: location.home.clone(), artifacts })
    }
}

fn follow_options(
    location: &HomeLocation,
    ground: &Ground,
    operator: &Operator,
    wanted: &Wanted,
    log: Option<Arc<ModelLog>>,
    arguments: &ServeArguments,
) -> FollowOptions {
    let (operator, section, workers) = (operator.clone(), wanted.section.clone(), arguments.workers);
    let trusted = ground.sandbox.trusted.clone();
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
        let mut options = version_options(&operator, &section, workers, isolation, offered)?;
        if let Some(log) = &log {
            log::warn(log, &section.name, offered);
            let allowed = log.policy().allowed(&offered.contents.signature);
            options.request.kept = allowed.into_iter().map(|field| field.name.clone()).collect();
            options.log = Some(log.clone());
        }
        Ok(options)
    };
    FollowOptions {
        asked: wanted.asked.asked.clone(),
        place: place(location, &arguments.from),
        interval: if arguments.from == "registry" { REGISTRY_INTERVAL } else { LOCATION_INTERVAL },
        version: Box::new(settings),
        last: LastVerified::new(serving_folder(&ground.folder).join("last-verified")),
    }
}

/// Returns the settings of a version: those of the file, overridden by flags.
fn version_options(
    operator: &Operator,
    section: &ServedModelSection,
    workers: Option<u64>,
    isolation: Isolation,
    offered: &OfferedVersion,
) -> Result<VersionOptions, OriginError> {
    let contents = &offered.contents;
    let recorded = [World::Transformation, World::Training].map(|world| (world, contents.limits_of(world)));
    let unfit = |problem| OriginError::Contents { model: section.name.clone(), version: offered.version, problem };
    let limits = operator.limits_of_model(recorded, &[]).map_err(|error| unfit(error.to_string()))?;
    let limits = limits.map(|(world, limits)| {
        let memory = section.memory.unwrap_or(limits.memory);
        (world, Limits { memory, ..limits })
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
        log: None,
    })
}
