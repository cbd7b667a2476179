//! `plan`: shows what a run would do, and checks whether it could.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use stagewright_lifecycle::Request;
use stagewright_lifecycle::foreach::{PlannedFamily, plan as plan_steps};
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::plan::{KeyDifference, PlannedStep};
use stagewright_lifecycle::sandbox::{Component, Level};
use stagewright_lifecycle::summary::StageSummary;
use stagewright_manifest::{Identifier, Manifest, SourceLocation, SourceSection, StageSection, Step, StepId, World};
use stagewright_runtime::{Grant, Runtime};
use stagewright_text::Untrusted;

use crate::arguments::PlanArguments;
use crate::classify::FailedRun;
use crate::commands::foreach;
use crate::commands::run::{reuse, tokens};
use crate::data_sources;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::production;
use crate::project::{self, Project};
use crate::signals;
use crate::task_support;
use crate::terminal::{Grid, bytes, table};
use crate::trust::Policy;

/// Checks the manifest, the components and their parameters, and shows what each stage would get.
pub(crate) fn plan(location: &HomeLocation, arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    let mut manifest = Manifest::load(&arguments.file, &arguments.changes.overrides())?.within(&operator)?;
    if arguments.mermaid {
        print!("{}", manifest.mermaid());
        return Ok(ExitCode::Done);
    }
    let project = Project::open_for(location, &operator, &manifest)?;
    data_sources::exact(&mut manifest, &project.home, None)?;
    // A plan does not pin what a run would pin.
    let policy = Policy::load(&manifest, &operator, arguments.changes.locked)?;
    let components = project.components(&manifest, &policy)?;
    let all = World::Ingestion..=World::Promotion;
    task_support::check_tasks(&manifest, &all, &components)?;
    for child in &manifest.children {
        task_support::check_tasks(&child.manifest, &all, &components)?;
    }
    let manifest = Arc::new(manifest);
    let wanted = arguments.explain || arguments.json.json;
    let planned = wanted.then(|| explained(project, &manifest, &components, arguments)).transpose()?;
    if arguments.json.json {
        let steps = planned.as_ref().map_or(&[][..], |planned| &planned.steps);
        let mut object = as_json(&manifest, &components, steps);
        let data = data_versions(&manifest);
        if !data.is_empty() {
            object["data"] = data.into();
        }
        if let (Some(_), Some(planned)) = (&manifest.foreach, &planned) {
            object["children"] = foreach::planned_json(planned);
        }
        print_json(&object)?;
        return Ok(ExitCode::Done);
    }
    println!(
        "pipeline `{}`: model `{}` in experiment `{}`, seed {}",
        manifest.pipeline, manifest.model, manifest.experiment, manifest.seed
    );
    let mut shown = table(&["stage", "component", "digest", "gets", "memory", "cpu", "wall", "output"]);
    for stage in in_order(&manifest) {
        let component = &components[&stage.name];
        let mut gets: Vec<String> = manifest.source_of(stage).into_iter().map(source).collect();
        gets.extend(stage.http.iter().map(|grant| format!("http `{grant}`")));
        gets.extend(stage.s3.iter().map(|grant| format!("s3 `{grant}`")));
        gets.extend(manifest.component_of(stage).stubs.iter().map(|stub| format!("failing {}", stub.as_str())));
        shown.add_row(vec![
            stage.name.to_string(),
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
    for stage in in_order(&manifest) {
        println!("{:<15} {}", stage.name, imports(&manifest, stage, &components[&stage.name]));
    }
    if manifest.is_graph() {
        show_graph(&manifest);
    }
    foreach::show_children(&manifest, planned.as_ref());
    let gates = stagewright_lifecycle::settings::gates(&manifest.gates);
    println!("policy: {}", gates.policy.name());
    for gate in gates.all() {
        let confidence = gate.confidence.map(|it| format!(" at {} % confidence", it * 100.0)).unwrap_or_default();
        println!("gate: {} {} {}{confidence}", gate.rule.name(), gate.metric, gate.threshold);
    }
    if let Some(PlannedFamily { steps, .. }) = planned.filter(|planned| !planned.steps.is_empty()) {
        println!("{}", table_of(&steps));
        for step in &steps {
            show_differences(step);
        }
    }
    Ok(ExitCode::Done)
}

/// Returns the versions of data that a run would read, by the names of the sources.
fn data_versions(manifest: &Manifest) -> serde_json::Map<String, serde_json::Value> {
    let version = |(name, section): (&Identifier, &SourceSection)| match &section.location {
        SourceLocation::Data { reference } => Some((name.to_string(), reference.to_string().into())),
        _ => None,
    };
    manifest.sources.iter().filter_map(version).collect()
}

/// Returns a source in words; of data, with the version that a run would read.
fn source((name, section): (&Identifier, &SourceSection)) -> String {
    match &section.location {
        SourceLocation::Data { .. } => format!("source `{name}` ({})", section.uri),
        _ => format!("source `{name}`"),
    }
}

/// Returns the stages in the order in which they run.
fn in_order(manifest: &Manifest) -> Vec<&StageSection> {
    let mut stages: Vec<&StageSection> = Vec::new();
    for step in manifest.graph.steps() {
        let stage = manifest.stage_of(step);
        if stages.last().is_none_or(|last| last.name != stage.name) {
            stages.push(stage);
        }
    }
    stages
}

/// Returns the plan as JSON.
fn as_json(
    manifest: &Manifest,
    components: &BTreeMap<StepId, Arc<Component>>,
    planned: &[PlannedStep],
) -> serde_json::Value {
    let stage = |stage: &StageSection| {
        let component = &components[&stage.name];
        let grants: serde_json::Map<String, serde_json::Value> = grants(manifest, stage, component)
            .into_iter()
            .map(|(import, grant)| (import.to_owned(), grant.as_str().into()))
            .collect();
        serde_json::json!({ "name": stage.name, "world": stage.world, "component": component.name, "digest": component.digest, "imports": component.imports, "grants": grants })
    };
    let stages: Vec<_> = in_order(manifest).into_iter().map(stage).collect();
    let step = |step: &Step| {
        let component = &components[&step.stage];
        let mut object = match planned.iter().find(|planned| planned.name == step.id.as_str()) {
            Some(planned) => serde_json::json!(planned),
            None => serde_json::json!({ "name": step.id }),
        };
        object["stage"] = step.stage.as_str().into();
        object["world"] = step.world.as_str().into();
        object["component"] = component.name.as_str().into();
        object["digest"] = component.digest.to_string().into();
        object
    };
    let mut steps: Vec<_> = manifest.graph.steps().iter().map(step).collect();
    // Steps of the host itself are not stages of the file.
    let is_planned = |it: &&PlannedStep| manifest.graph.steps().iter().all(|step| step.id.as_str() != it.name);
    steps.extend(planned.iter().filter(is_planned).map(|it| serde_json::json!(it)));
    serde_json::json!({
        "pipeline": manifest.pipeline,
        "stages": stages,
        "steps": steps,
        "edges": manifest.graph.edges(),
        "configuration": manifest.effective(),
    })
}

/// Shows the graph: the inputs of each step.
fn show_graph(manifest: &Manifest) {
    let mut shown = table(&["step", "world", "works on", "waits for"]);
    for step in manifest.graph.steps() {
        let worked_on = step.inputs.iter().map(|input| format!("{}.{}", input.step, input.artifact));
        let waited_for = step.after.iter().map(StepId::to_string);
        shown.add_row(vec![
            step.id.to_string(),
            step.world.to_string(),
            worked_on.collect::<Vec<_>>().join(", "),
            waited_for.collect::<Vec<_>>().join(", "),
        ]);
    }
    println!("{shown}");
}

/// Returns for each step whether a run would execute it, and why.
fn explained(
    project: Project,
    manifest: &Arc<Manifest>,
    components: &BTreeMap<StepId, Arc<Component>>,
    arguments: &PlanArguments,
) -> anyhow::Result<PlannedFamily> {
    let request = Request {
        manifest: manifest.clone(),
        manifest_text: manifest.recorded_text(),
        home: project.home,
        decoder: project.runtime.decoder(),
        reuse: reuse(&arguments.cache, manifest, &project.runtime)?,
        sandbox: Arc::new(project.runtime),
        components: components.clone(),
        observer: Arc::new(NoProgress),
        workers: project.workers,
        cancel: signals::cancel_on_signals(),
        stages: World::Ingestion..=World::Promotion,
        only: None,
        base_run: None,
        child: None,
        changes: serde_json::to_value(&arguments.changes)?,
        code: None,
        tokens: tokens(manifest),
        s3: production::settings(),
        destination: None,
    };
    Ok(plan_steps(request).map_err(|error| FailedRun { error, manifest: manifest.file().to_owned() })?)
}

/// Ignores all events: a plan has no progress.
struct NoProgress;

impl Observer for NoProgress {
    fn stage_started(&self, _: &StepId, _: &str) {}
    fn progress(&self, _: &StepId, _: u64, _: u64) {}
    fn log(&self, _: &StepId, _: Level, _: &str) {}
    fn stage_finished(&self, _: &StepId, _: &StageSummary) {}
}

fn table_of(steps: &[PlannedStep]) -> Grid {
    let mut shown = table(&["stage", "executed", "why"]);
    for step in steps {
        let executed = if step.cached { "no" } else { "yes" };
        shown.add_row(vec![step.name.clone(), executed.to_owned(), step.why.clone()]);
    }
    shown
}

/// Shows the parts of a step's key that differ, with their old and new values.
fn show_differences(step: &PlannedStep) {
    if step.differs.is_empty() {
        return;
    }
    println!("{}:", step.name);
    for KeyDifference { part, before, now } in &step.differs {
        println!("  {}: {} -> {}", Untrusted::new(part), value(before), value(now));
    }
}

/// Returns a value, cut to fit on a line.
fn value(value: &serde_json::Value) -> String {
    const LETTERS: usize = 80;
    let text = match value {
        serde_json::Value::Null => "nothing".to_owned(),
        value => value.to_string(),
    };
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => Untrusted::new(&format!("{}…", &text[..end])).to_string(),
        None => Untrusted::new(&text).to_string(),
    }
}

/// Returns the imports of a component, each with the grant under which it is satisfied.
fn grants<'a>(manifest: &Manifest, stage: &StageSection, component: &'a Component) -> Vec<(&'a str, Grant)> {
    let stubs = project::stubs(manifest.component_of(stage));
    component.imports.iter().map(|import| (import.as_str(), Runtime::grant(stage.world, import, stubs))).collect()
}

/// Describes the grants: `world: tables, tracking; virtual WASI: cli, clocks`. Of WASI, only
/// packages are named.
fn imports(manifest: &Manifest, stage: &StageSection, component: &Component) -> String {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (import, grant) in grants(manifest, stage, component) {
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
