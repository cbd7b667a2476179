//! `plan`: what a run would do, and whether it could.

use std::path::Path;

use stagewright_manifest::{Manifest, World};

use crate::arguments::PlanArguments;
use crate::commands::{overrides, print_json};
use crate::ending::Ending;
use crate::terminal::{bytes, table};
use crate::workplace::{self, Workplace};

/// Checks the manifest, the components and their parameters, and shows what each stage would get.
pub(crate) fn plan(home: &Path, arguments: &PlanArguments) -> anyhow::Result<Ending> {
    let operator = workplace::operator()?;
    let manifest = Manifest::load(&arguments.file, &overrides(&arguments.changes))?.within(&operator)?;
    let workplace = Workplace::open_for(home, &operator, &manifest)?;
    let components = workplace.components(&manifest, &World::ALL)?;
    if arguments.json.json {
        let stages: Vec<_> = components
            .iter()
            .map(|(world, component)| {
                serde_json::json!({ "name": world, "component": component.name, "digest": component.digest, "imports": component.imports })
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
    for gate in stagewright_lifecycle::settings::gates(&manifest.gates) {
        println!("gate: {} {} {}", gate.rule.name(), gate.metric, gate.threshold);
    }
    Ok(Ending::Done)
}
