//! Checks that the components of a manifest support its task, before anything runs: otherwise a run
//! could fail after its training.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use stagewright_lifecycle::sandbox::Component;
use stagewright_manifest::{Condition, Manifest, ManifestError, StepId, World};

/// Refuses a task that a component of these stages does not support.
///
/// # Errors
/// [`ManifestError`] at the task's kind.
pub(crate) fn check_tasks(
    manifest: &Manifest,
    stages: &RangeInclusive<World>,
    components: &BTreeMap<StepId, Arc<Component>>,
) -> Result<(), ManifestError> {
    let can = |stage: &StepId| components.get(stage).map(|component| component.description.tasks.as_slice());
    refuse(manifest, stages, can)
}

/// Does what [`check_tasks`] does. `can` returns the kinds of tasks that a stage's component
/// supports.
fn refuse<'a>(
    manifest: &Manifest,
    stages: &RangeInclusive<World>,
    can: impl Fn(&StepId) -> Option<&'a [String]>,
) -> Result<(), ManifestError> {
    let kind = manifest.task.kind.as_str();
    let cannot = |stage| can(stage).is_some_and(|tasks| tasks.iter().all(|task| task != kind));
    let unable: Vec<(&StepId, &str)> = manifest
        .stages
        .iter()
        .filter(|stage| stages.contains(&stage.world) && cannot(&stage.name))
        .map(|stage| (&stage.name, stage.component.as_str()))
        .collect();
    if unable.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = unable.iter().map(|(_, name)| format!("`{name}`")).collect();
    let places: Vec<String> = unable.iter().map(|(stage, _)| format!("[stages.{stage}]")).collect();
    let message = format!("the task is `{kind}`, which {} cannot do", names.join(" and "));
    let hint = format!(
        "choose a target of two values (`stagewright init` writes a manifest for it), or name other components under {}",
        places.join(" and ")
    );
    Err(manifest.error(vec![manifest.problem(Condition::Task, &["task", "kind"], message, Some(hint))]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_manifest::Overrides;

    fn manifest(kind: &str, more: &str, set: &[&str]) -> Manifest {
        let stages: String = [
            ("ingestion", "ingest-table"),
            ("validation", "validate-table"),
            ("transformation", "transform-table"),
            ("training", "train-boosted"),
            ("evaluation", "evaluate-classifier"),
            ("promotion", "promote-gated"),
        ]
        .iter()
        .map(|(stage, component)| format!("[stages.{stage}]\ncomponent = \"{component}\"\n"))
        .collect();
        let positive = if kind == "binary" { "positive = \"1\"\n" } else { "" };
        let text = format!(
            "pipeline = \"p\"\nexperiment = \"p\"\nmodel = \"p\"\nseed = 1\n[task]\nkind = \"{kind}\"\n{positive}target = \"y\"\n{stages}{more}"
        );
        let overrides = Overrides { set: set.iter().map(|it| (*it).to_owned()).collect(), ..Overrides::default() };
        Manifest::parse("p.toml", text, "".into(), &overrides).unwrap_or_else(|error| panic!("{}", error.render()))
    }

    /// Returns the tasks that the built-in components support.
    fn tasks(world: World) -> Vec<String> {
        let names: &[&str] = match world {
            World::Training => &["binary", "regression"],
            World::Evaluation => &["binary"],
            _ => &["binary", "multi-class", "regression"],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn asked(kind: &str, stages: RangeInclusive<World>) -> Result<(), String> {
        let said: BTreeMap<StepId, Vec<String>> = World::all().map(|world| (world.into(), tasks(world))).collect();
        let can = |stage: &StepId| said.get(stage).map(Vec::as_slice);
        refuse(&manifest(kind, "", &[]), &stages, can).map_err(|error| error.render())
    }

    // invariant: A task that a component does not support is refused before anything runs.
    #[test]
    fn a_task_that_a_component_cannot_do_is_refused_at_its_line() {
        let all = World::Ingestion..=World::Promotion;
        let classes = asked("multi-class", all.clone()).expect_err("two cannot");
        assert!(
            classes.starts_with("p.toml:6: the task is `multi-class`, which `train-boosted` and `evaluate-classifier`"),
            "{classes}"
        );
        let regression = asked("regression", all.clone()).expect_err("one cannot");
        assert!(
            regression.contains("which `evaluate-classifier` cannot do")
                && regression.contains("[stages.evaluation]\n"),
            "{regression}"
        );
        assert_eq!(asked("binary", all), Ok(()));
    }

    #[test]
    fn stages_that_are_not_to_run_are_not_asked() {
        assert_eq!(asked("multi-class", World::Ingestion..=World::Transformation), Ok(()));
    }
}
