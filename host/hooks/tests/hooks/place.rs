//! A registry with a model that gets champions, and hooks over it.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use serde_json::json;
use stagewright_hooks::{Hooks, Patience, Problem, Report};
use stagewright_manifest::{HookSection, Operator};
use stagewright_store::{
    ArtifactStore, HookProgress, JudgedAgainst, NewVerdict, NewVersion, PromotionRequest, Registry, Verdict,
};
use tempfile::TempDir;

/// The secret of all hooks.
pub(crate) const SECRET: &str = "It's-a-secret-to-everybody";

/// A registry.
pub(crate) struct Place {
    folder: TempDir,
    artifacts: ArtifactStore,
    pub(crate) registry: Registry,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let artifacts = ArtifactStore::open(folder.path().join("artifacts")).expect("a store");
        let registry = Registry::open(folder.path().join("registry.db")).expect("a registry");
        Self { folder, artifacts, registry: registry.acting_as("ada") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a new version of the model its champion.
    pub(crate) fn promote(&self, model: &str) -> u32 {
        let version = self.approved(model);
        let request = PromotionRequest { reason: "better".into(), ..PromotionRequest::default() };
        self.registry.promote(model, version, &request).expect("a promotion");
        version
    }

    /// Makes a new version champion, to which the production location does not point yet. Returns
    /// the promotion.
    pub(crate) fn promote_to(&self, model: &str, destination: &str) -> String {
        let version = self.approved(model);
        let request = PromotionRequest { destination: destination.into(), ..PromotionRequest::default() };
        let promotion = self.registry.begin_promotion(model, version, &request).expect("a promotion");
        self.registry.complete_promotion(&promotion.id).expect("a champion").id
    }

    fn approved(&self, model: &str) -> u32 {
        let version = NewVersion { contents: json!({}), ..NewVersion::default() };
        let number = |_: Option<(&serde_json::Value, &str)>| Some("1.2.3".to_owned());
        let version = self.registry.create_version(&self.artifacts, model, &version, &number).expect("a version");
        let against = JudgedAgainst::from(self.registry.alias(model, "champion").expect("a champion"));
        let verdict = NewVerdict::by_person(Verdict::Approved, against, "good");
        self.registry.record_verdict(&self.artifacts, model, version, &verdict).expect("a verdict");
        version
    }

    /// Returns hooks that began before anything was promoted.
    pub(crate) fn hooks(&self, file: &str) -> Hooks {
        let hooks = hooks(file);
        hooks.begin(&self.registry, Some(0)).expect("hooks");
        hooks
    }

    pub(crate) fn progress(&self, name: &str) -> HookProgress {
        let hooks = self.registry.hooks().expect("hooks");
        hooks.into_iter().find(|hook| hook.name == name).expect("a hook")
    }

    /// Tells hooks, with patience in seconds.
    pub(crate) fn deliver(&self, hooks: &Hooks, patience: u64) -> Vec<Report> {
        let stop = AtomicBool::new(false);
        let until = Instant::now() + Duration::from_secs(patience);
        hooks.deliver(&self.registry, &Patience { until, is_eager: true, stop: &stop })
    }
}

/// Returns the hooks of an operator's file.
pub(crate) fn hooks(file: &str) -> Hooks {
    let operator =
        Operator::parse("operator.toml", file.to_owned()).unwrap_or_else(|error| panic!("{}", error.render()));
    let hooks: Vec<HookSection> = operator.hooks;
    Hooks::new(hooks, |name| match name {
        "SECRET" => Some(SECRET.into()),
        "HIDDEN" => Some("nobody may see this".into()),
        "SEEN" => Some("seen".into()),
        "PATH" => Some("/usr/bin:/bin".into()),
        _ => None,
    })
}

/// Returns why a hook did not take an event.
#[track_caller]
pub(crate) fn reason(report: &Report) -> &str {
    match &report.problem {
        Some(Problem::Failed { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}
