//! Which tasks the built-in components can do: asked before anything runs, so that no run fails
//! after its training.

use std::ops::RangeInclusive;

use stagewright_manifest::{Manifest, ManifestError, TaskKind, World};

/// Built-in components that cannot do every task, and whether they can do regressions. None of them
/// can do several classes.
const LIMITED: [(&str, bool); 4] =
    [("train-boosted", true), ("train-forest", false), ("train-logistic", false), ("evaluate-classifier", false)];

/// Refuses a task that a built-in component of these stages cannot do. Components that the manifest
/// names by a path say for themselves what they can do.
///
/// # Errors
/// [`ManifestError`], at the task's kind.
pub(crate) fn refuse_undoable(manifest: &Manifest, stages: &RangeInclusive<World>) -> Result<(), ManifestError> {
    let kind = &manifest.task.kind;
    let cannot = |name: &str| match kind {
        TaskKind::Binary { .. } => false,
        TaskKind::MultiClass => LIMITED.iter().any(|(limited, _)| *limited == name),
        TaskKind::Regression => LIMITED.contains(&(name, false)),
    };
    let unable: Vec<(World, &str)> = manifest
        .stages
        .iter()
        .filter(|stage| stages.contains(&stage.world) && manifest.component(stage.world).path.is_none())
        .map(|stage| (stage.world, stage.component.as_str()))
        .filter(|(_, name)| cannot(name))
        .collect();
    if unable.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = unable.iter().map(|(_, name)| format!("`{name}`")).collect();
    let places: Vec<String> = unable.iter().map(|(world, _)| format!("[stages.{world}]")).collect();
    let kind = kind.as_str();
    let message = format!("the task is `{kind}`, which {} cannot do in this version", names.join(" and "));
    let hint = format!(
        "choose a target of two values (`stagewright init` writes a manifest for it), or name components of your own under {}",
        places.join(" and ")
    );
    Err(manifest.error(vec![manifest.problem(&["task", "kind"], message, Some(hint))]))
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
        let text = format!(
            "pipeline = \"p\"\nexperiment = \"p\"\nmodel = \"p\"\nseed = 1\n[task]\nkind = \"{kind}\"\ntarget = \"y\"\n{stages}{more}"
        );
        let overrides = Overrides { set: set.iter().map(|it| (*it).to_owned()).collect(), ..Overrides::default() };
        Manifest::parse("p.toml", text, "".into(), &overrides).unwrap_or_else(|error| panic!("{}", error.render()))
    }

    #[test]
    fn a_task_that_built_in_components_cannot_do_is_refused_at_its_line() {
        let all = World::Ingestion..=World::Promotion;
        let refused =
            |kind, set: &[&str]| refuse_undoable(&manifest(kind, "", set), &all).expect_err("it cannot").render();
        let classes = refused("multi-class", &[]);
        assert!(
            classes.starts_with("p.toml:6: the task is `multi-class`, which `train-boosted` and `evaluate-classifier`"),
            "{classes}"
        );
        let regression = refused("regression", &[]);
        assert!(
            regression.contains("which `evaluate-classifier` cannot do")
                && regression.contains("[stages.evaluation]\n"),
            "{regression}"
        );
        assert!(refused("regression", &["training.component=train-forest"]).contains("`train-forest` and"));
    }

    #[test]
    fn stages_that_are_not_to_run_and_components_of_others_are_not_asked() {
        assert!(
            refuse_undoable(&manifest("multi-class", "", &[]), &(World::Ingestion..=World::Transformation)).is_ok()
        );
        let more = "[components.mine]\npath = \"mine.wasm\"\n[components.judge]\npath = \"judge.wasm\"\n";
        let own = manifest("multi-class", more, &["training.component=mine", "evaluation.component=judge"]);
        assert!(refuse_undoable(&own, &(World::Ingestion..=World::Promotion)).is_ok());
    }
}
