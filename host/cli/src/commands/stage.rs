//! `stage`: one stage alone; what a component is.

use std::path::{Path, PathBuf};

use stagewright_lifecycle::sandbox::Component;
use stagewright_manifest::World;
use stagewright_runtime::{Origin, RuntimeError, StubGrants};

use crate::arguments::{InspectArguments, JsonArgument, StageCommand, StageRunArguments};
use crate::commands::print_json;
use crate::commands::run::{Job, world};
use crate::ending::{Ending, UsageError};
use crate::terminal::table;
use crate::workplace::{self, Workplace};

/// Runs a `stage` command.
pub(crate) fn stage(home: &Path, command: StageCommand) -> anyhow::Result<Ending> {
    match command {
        StageCommand::Run(arguments) => run(home, &arguments),
        StageCommand::Inspect(arguments) => inspect(home, &arguments),
        StageCommand::List(arguments) => list(home, &arguments),
    }
}

fn run(home: &Path, arguments: &StageRunArguments) -> anyhow::Result<Ending> {
    let world = world(&arguments.name)?;
    let upon = crate::commands::runs::find(home, arguments.run.as_deref())?;
    let recorded = upon.config.get("file").and_then(|file| file.as_str()).map(PathBuf::from);
    let file = arguments.file.clone().or(recorded).ok_or_else(|| {
        UsageError::error("that run does not say which manifest it read", "name the manifest: --file pipeline.toml")
    })?;
    let job = Job {
        file: &file,
        changes: &arguments.changes,
        stages: world..=world,
        upon: Some(upon.run_id),
        suggest_limits: arguments.suggest_limits,
        json: arguments.json.json,
    };
    job.run(home)
}

fn inspect(home: &Path, arguments: &InspectArguments) -> anyhow::Result<Ending> {
    let workplace = Workplace::open(home, &workplace::operator()?)?;
    let path = PathBuf::from(&arguments.component);
    let is_file = path.extension().is_some_and(|ending| ending == "wasm");
    let name = path.file_stem().map_or_else(|| arguments.component.clone(), |stem| stem.to_string_lossy().into_owned());
    let origin = if is_file { Origin::File(path) } else { Origin::BuiltIn };
    let stubs = StubGrants { filesystem: true, sockets: true };
    let component = fitting(&workplace, &name, &origin, stubs)?;
    if arguments.json.json {
        print_json(&serde_json::json!({
            "name": component.description.name, "version": component.description.version, "summary": component.description.summary,
            "world": component.world, "digest": component.digest, "imports": component.imports, "sharded": component.sharded,
            "parameters": component.description.parameters, "produces": component.description.produces,
        }))?;
        return Ok(Ending::Done);
    }
    println!("{} {}: {}", component.description.name, component.description.version, component.description.summary);
    println!("world   {}\ndigest  {}", component.world, component.digest);
    println!("imports");
    component.imports.iter().for_each(|import| println!("  {import}"));
    let produces: Vec<String> =
        component.description.produces.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
    println!("makes   {}", produces.join(", "));
    println!("parameters\n{}", serde_json::to_string_pretty(&component.description.parameters)?);
    Ok(Ending::Done)
}

/// The component in the first world that it fits.
fn fitting(workplace: &Workplace, name: &str, origin: &Origin, stubs: StubGrants) -> Result<Component, RuntimeError> {
    let mut worlds = World::ALL.into_iter();
    let first = worlds.next().unwrap_or(World::Ingestion);
    match workplace.runtime.resolve(first, name, origin, stubs) {
        Err(RuntimeError::World { fits, .. }) if !fits.is_empty() => {
            workplace.runtime.resolve(fits[0], name, origin, stubs)
        }
        result => result,
    }
}

fn list(home: &Path, arguments: &JsonArgument) -> anyhow::Result<Ending> {
    let workplace = Workplace::open(home, &workplace::operator()?)?;
    let mut components = Vec::new();
    for (name, _) in workplace.runtime.built_in() {
        components.push(fitting(&workplace, &name, &Origin::BuiltIn, StubGrants::default())?);
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
