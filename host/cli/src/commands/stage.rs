//! `stage`: runs a single stage, and commands about components.

use std::path::PathBuf;

use stagewright_lifecycle::foreach::ChildOf;
use stagewright_lifecycle::run::config::CHANGES;
use stagewright_manifest::{Manifest, StageSelection, World};
use stagewright_runtime::{Origin, RuntimeError, StubGrants};
use stagewright_store::Run;

use crate::arguments::{JsonArgument, StageCommand, StageRunArguments};
use crate::commands::run::Job;
use crate::commands::runs::find::find_run;
use crate::commands::{inspect, precompile, sign};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::project::Project;
use crate::terminal::table;
use crate::trust::Signers;
use crate::usage_error::UsageError;

pub(crate) fn stage(location: &HomeLocation, command: StageCommand) -> anyhow::Result<ExitCode> {
    match command {
        StageCommand::Run(arguments) => run(location, &arguments),
        StageCommand::Inspect(arguments) => inspect::inspect(location, &arguments),
        StageCommand::Keygen(arguments) => sign::keygen(&arguments),
        StageCommand::Sign(arguments) => sign::sign(&arguments),
        StageCommand::Verify(arguments) => sign::verify(&arguments),
        StageCommand::Precompile(arguments) => precompile::precompile(location, &arguments),
        StageCommand::List(arguments) => list(location, &arguments),
    }
}

fn run(location: &HomeLocation, arguments: &StageRunArguments) -> anyhow::Result<ExitCode> {
    let before = before(location, arguments)?;
    // The child that ran last depends on the machine.
    if arguments.run.is_none()
        && let Some(child) = before.as_ref().and_then(|run| ChildOf::of(&run.config))
    {
        let hint = format!("name the run of a child with --run: `stagewright runs show {}` lists them", child.parent);
        return Err(UsageError::error(
            ErrorCode::Children,
            "the last run has children, each with stages of its own",
            hint,
        ));
    }
    let recorded = before.as_ref().and_then(|run| run.config.get("file")?.as_str()).map(PathBuf::from);
    let file = arguments.file.clone().or(recorded.clone()).ok_or_else(|| {
        UsageError::error(
            ErrorCode::NoManifest,
            "that run does not say which manifest it read",
            "name the manifest: --file pipeline.toml",
        )
    })?;
    let remembered = before.as_ref().filter(|_| recorded.as_ref() == Some(&file));
    let remembered = remembered.and_then(|run| run.config.get(CHANGES));
    let changes = match remembered {
        Some(earlier) => arguments.changes.after(serde_json::from_value(earlier.clone()).unwrap_or_default()),
        None => arguments.changes.clone(),
    };
    let manifest = Manifest::load(&file, &changes.overrides())?;
    let StageSelection { world, only } = part(&manifest, &arguments.name)?;
    // All ingestions together start afresh. One of several adds to the artifacts of the others.
    let adds = world != World::Ingestion || only.is_some();
    let job = Job {
        file: &file,
        changes: &changes,
        stages: world..=world,
        only,
        child: before.as_ref().and_then(|run| ChildOf::of(&run.config)),
        base_run: before.map(|run| run.run_id).filter(|_| adds),
        cache: &arguments.cache,
        resumed: None,
        metrics_out: None,
        suggest_limits: arguments.suggest_limits,
        log_format: arguments.log.log_format,
        json: arguments.json.json,
    };
    job.run(location)
}

/// Returns the run that a stage works on: the one that is named, else the last run of the pipeline
/// that is named, else the last of all. `None` if all ingestions of a pipeline start afresh.
fn before(location: &HomeLocation, arguments: &StageRunArguments) -> anyhow::Result<Option<Run>> {
    let StageRunArguments { name, file, run, changes, .. } = arguments;
    let (Some(file), None) = (file, run) else {
        return Ok(Some(find_run(&location.existing()?, run.as_deref())?));
    };
    let manifest = Manifest::load(file, &changes.overrides())?;
    let StageSelection { world, only } = part(&manifest, name)?;
    if world == World::Ingestion && only.is_none() {
        return Ok(None);
    }
    let last = match location.existing() {
        Ok(home) => home.registry.last_run(manifest.pipeline.as_str())?,
        // The first of several ingestions may be the very first run.
        Err(_) if world == World::Ingestion => None,
        Err(error) => return Err(error),
    };
    if last.is_none() && world == World::Ingestion {
        return Ok(None);
    }
    let nothing = || {
        let first = manifest.graph.steps().first().map_or(World::Ingestion.as_str(), |step| step.stage.as_str());
        UsageError::error(
            ErrorCode::NothingToWorkOn,
            format!("there is no run of the pipeline `{}` to work on", manifest.pipeline),
            format!(
                "make what `{name}` works on: stagewright stage run {first} --file {0}; or stagewright run {0}",
                file.display()
            ),
        )
    };
    last.map(Some).ok_or_else(nothing)
}

/// Returns the stages that a name selects.
fn part(manifest: &Manifest, name: &str) -> anyhow::Result<StageSelection> {
    manifest
        .select_stages(name)
        .map_err(|hint| UsageError::error(ErrorCode::NoStage, format!("there is no stage `{name}`"), hint))
}

fn list(location: &HomeLocation, arguments: &JsonArgument) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    let signers = Signers::of(&operator)?;
    let project = Project::open(location, &operator)?;
    let mut components = Vec::new();
    for (name, _) in project.runtime.built_in() {
        let stubs = StubGrants::default();
        let worlds = project.runtime.inspect(&name, &Origin::BuiltIn, stubs)?.worlds;
        let world = worlds.first().copied().unwrap_or(World::Ingestion);
        let trust = |digest| signers.admit(&name, &Origin::BuiltIn, digest);
        match project.runtime.resolve_trusted(world, &name, &Origin::BuiltIn, stubs, &trust) {
            // A host without a compiler cannot run the component to read its description.
            Err(error @ RuntimeError::NoCompiler { .. }) => tracing::warn!("{error}"),
            component => components.push(component?),
        }
    }
    components.sort_by_key(|component| component.world);
    if arguments.json {
        let rows: Vec<_> = components
            .iter()
            .map(|component| serde_json::json!({ "name": component.name, "world": component.world, "summary": component.description.summary, "digest": component.digest }))
            .collect();
        print_json(&rows)?;
        return Ok(ExitCode::Done);
    }
    let mut shown = table(&["stage", "component", "what it does"]);
    for component in &components {
        shown.add_row(vec![component.world.as_str(), &component.name, &component.description.summary]);
    }
    println!("{shown}");
    Ok(ExitCode::Done)
}
