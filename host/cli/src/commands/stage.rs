//! `stage`: one stage alone; which stages there are.

use std::path::PathBuf;

use stagewright_lifecycle::upon::CHANGES;
use stagewright_manifest::World;
use stagewright_runtime::{Origin, RuntimeError, StubGrants};

use crate::arguments::{JsonArgument, StageCommand, StageRunArguments};
use crate::commands::run::{Job, world};
use crate::commands::{inspect, precompile, print_json, runs, sign};
use crate::ending::{Ending, UsageError};
use crate::location::Location;
use crate::terminal::table;
use crate::trust::Signers;
use crate::workplace::{self, Workplace};

/// Runs a `stage` command.
pub(crate) fn stage(location: &Location, command: StageCommand) -> anyhow::Result<Ending> {
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

fn run(location: &Location, arguments: &StageRunArguments) -> anyhow::Result<Ending> {
    let world = world(&arguments.name)?;
    // Ingestion works on no run; it may repeat the manifest and the changes of one.
    let begins_anew = world == World::Ingestion && arguments.file.is_some() && arguments.run.is_none();
    let before = if begins_anew { None } else { Some(runs::find(&location.existing()?, arguments.run.as_deref())?) };
    let recorded = before.as_ref().and_then(|run| run.config.get("file")?.as_str()).map(PathBuf::from);
    let file = arguments.file.clone().or(recorded.clone()).ok_or_else(|| {
        UsageError::error("that run does not say which manifest it read", "name the manifest: --file pipeline.toml")
    })?;
    let remembered = before.as_ref().filter(|_| recorded.as_ref() == Some(&file));
    let remembered = remembered.and_then(|run| run.config.get(CHANGES));
    let changes = match remembered {
        Some(earlier) => arguments.changes.after(serde_json::from_value(earlier.clone()).unwrap_or_default()),
        None => arguments.changes.clone(),
    };
    let job = Job {
        file: &file,
        changes: &changes,
        stages: world..=world,
        upon: before.map(|run| run.run_id).filter(|_| world != World::Ingestion),
        cache: &arguments.cache,
        resumed: None,
        metrics_out: None,
        suggest_limits: arguments.suggest_limits,
        log_format: arguments.log.log_format,
        json: arguments.json.json,
    };
    job.run(location)
}

fn list(location: &Location, arguments: &JsonArgument) -> anyhow::Result<Ending> {
    let operator = workplace::operator()?;
    let signers = Signers::of(&operator)?;
    let workplace = Workplace::open(location, &operator)?;
    let mut components = Vec::new();
    for (name, _) in workplace.runtime.built_in() {
        let stubs = StubGrants::default();
        let worlds = workplace.runtime.inspect(&name, &Origin::BuiltIn, stubs)?.worlds;
        let world = worlds.first().copied().unwrap_or(World::Ingestion);
        let trust = |digest| signers.admit(&name, &Origin::BuiltIn, digest);
        match workplace.runtime.resolve_trusted(world, &name, &Origin::BuiltIn, stubs, &trust) {
            // A host without a compiler cannot run it, and so does not know what it says of itself.
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
        return Ok(Ending::Done);
    }
    let mut shown = table(&["stage", "component", "what it does"]);
    for component in &components {
        shown.add_row(vec![component.world.as_str(), &component.name, &component.description.summary]);
    }
    println!("{shown}");
    Ok(Ending::Done)
}
