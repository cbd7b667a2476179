//! `plan`: what a run would do, and whether it could.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_lifecycle::sandbox::Component;
use stagewright_manifest::{Manifest, World};
use stagewright_runtime::{Grant, Runtime};

use crate::arguments::PlanArguments;
use crate::commands::{overrides, print_json};
use crate::ending::Ending;
use crate::location::Location;
use crate::tasks;
use crate::terminal::{bytes, table};
use crate::trust::Policy;
use crate::workplace::{self, Workplace};

/// Checks the manifest, the components and their parameters, and shows what each stage would get.
pub(crate) fn plan(location: &Location, arguments: &PlanArguments) -> anyhow::Result<Ending> {
    let operator = workplace::operator()?;
    let manifest = Manifest::load(&arguments.file, &overrides(&arguments.changes))?.within(&operator)?;
    let workplace = Workplace::open_for(location, &operator, &manifest)?;
    // What a run would pin, it only looks at.
    let policy = Policy::load(&manifest, &operator, arguments.changes.locked)?;
    let components = workplace.components(&manifest, &World::all().collect::<Vec<_>>(), &policy)?;
    tasks::refuse_undoable(&manifest, &(World::Ingestion..=World::Promotion), &components)?;
    if arguments.json.json {
        let stages: Vec<_> = components
            .iter()
            .map(|(world, component)| {
                let grants: serde_json::Map<String, serde_json::Value> = grants(&manifest, *world, component)
                    .into_iter()
                    .map(|(import, grant)| (import.to_owned(), grant.as_str().into()))
                    .collect();
                serde_json::json!({ "name": world, "component": component.name, "digest": component.digest, "imports": component.imports, "grants": grants })
            })
            .collect();
        print_json(
            &serde_json::json!({ "pipeline": manifest.pipeline, "stages": stages, "configuration": manifest.effective() }),
        )?;
        return Ok(Ending::Done);
    }
    println!(
        "pipeline `{}`: model `{}` in experiment `{}`, seed {}",
        manifest.pipeline, manifest.model, manifest.experiment, manifest.seed
    );
    let mut shown = table(&["stage", "component", "digest", "gets", "memory", "cpu", "wall", "output"]);
    for (world, component) in &components {
        let stage = manifest.stage(*world);
        let mut gets: Vec<String> = stage.source.iter().map(|source| format!("source `{source}`")).collect();
        gets.extend(stage.http.iter().map(|grant| format!("http `{grant}`")));
        gets.extend(manifest.component(*world).stubs.iter().map(|stub| format!("failing {}", stub.as_str())));
        shown.add_row(vec![
            world.as_str().to_owned(),
            component.name.clone(),
            component.digest.to_string()[..19].to_owned(),
            gets.join(", "),
            bytes(stage.limits.memory),
            format!("{} s", stage.limits.cpu.as_secs()),
            format!("{} s", stage.limits.wall.as_secs()),
            bytes(stage.limits.output),
        ]);
    }
    println!("{shown}");
    for (world, component) in &components {
        println!("{:<15} {}", world.as_str(), imports(&manifest, *world, component));
    }
    let gates = stagewright_lifecycle::settings::gates(&manifest.gates);
    println!("policy: {}", gates.policy.name());
    for gate in gates.all() {
        let confidence = gate.confidence.map(|it| format!(" at {} % confidence", it * 100.0)).unwrap_or_default();
        println!("gate: {} {} {}{confidence}", gate.rule.name(), gate.metric, gate.threshold);
    }
    Ok(Ending::Done)
}

/// A component's imports, each with what the manifest and the stage's world give for it.
fn grants<'a>(manifest: &Manifest, world: World, component: &'a Component) -> Vec<(&'a str, Grant)> {
    let stubs = workplace::stubs(manifest, world);
    component.imports.iter().map(|import| (import.as_str(), Runtime::grant(world, import, stubs))).collect()
}

/// The same for people: `world: tables, tracking; virtual WASI: cli, clocks`. Of WASI the packages are enough.
fn imports(manifest: &Manifest, world: World, component: &Component) -> String {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (import, grant) in grants(manifest, world, component) {
        let (package, interface) = import.split_once('/').unwrap_or(("", import));
        let name = match grant {
            Grant::World => interface,
            _ => package.split_once(':').map_or(package, |(_, name)| name),
        };
        named.entry(grant.as_str()).or_default().insert(name.split('@').next().unwrap_or(name));
    }
    let lists =
        named.iter().map(|(grant, names)| format!("{grant}: {}", names.iter().copied().collect::<Vec<_>>().join(", ")));
    let text = lists.collect::<Vec<_>>().join("; ");
    if text.is_empty() { "imports nothing".to_owned() } else { text }
}
