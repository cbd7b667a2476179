//! A registry as the origin of versions.
//!
//! The registry wakes whoever watches it when models change. A registry that cannot be watched,
//! such as a standby of a PostgreSQL server, is looked at in intervals.

use std::time::{Duration, Instant};

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{ArtifactStore, CHAMPION, Deployment, Registry, RegistryWatch, StoreError};

use super::{OfferedDeployment, OfferedVersion, OriginError, VersionOrigin};

/// The longest time without a look, since a version that was refused may be whole by then.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Opens the registry. Called again after the connection failed.
pub type OpenRegistry = dyn Fn() -> Result<Registry, StoreError> + Send;

/// Which version of a model is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The version that an alias names.
    Alias(String),
    /// The newest version.
    Latest,
    /// This version, always.
    Version(u32),
}

/// Versions of a model in a registry.
pub struct RegistryOrigin {
    open: Box<OpenRegistry>,
    registry: Option<Registry>,
    /// `None` if there is no connection, or the registry cannot be watched.
    watch: Option<RegistryWatch>,
    looked: Instant,
    artifacts: ArtifactStore,
    model: String,
    selector: Selector,
}

impl RegistryOrigin {
    /// Creates an origin. The registry is opened when it is needed; `artifacts` is its store.
    pub fn new(open: Box<OpenRegistry>, artifacts: ArtifactStore, model: String, selector: Selector) -> Self {
        Self { open, registry: None, watch: None, looked: Instant::now(), artifacts, model, selector }
    }

    fn registry(&mut self) -> Result<&Registry, StoreError> {
        match &mut self.registry {
            Some(registry) => Ok(registry),
            none => {
                let registry = (self.open)()?;
                // Before the first look, so that no change is missed.
                self.watch = registry.watch().ok();
                Ok(none.insert(registry))
            }
        }
    }

    fn find(&mut self) -> Result<OfferedVersion, OriginError> {
        let (model, selector) = (self.model.clone(), self.selector.clone());
        let registry = self.registry()?;
        let version = match selector {
            Selector::Version(version) => version,
            Selector::Latest => registry.model(&model)?.latest_version,
            Selector::Alias(alias) => {
                // An unknown model is reported as such, and not as a missing alias.
                registry.model(&model)?;
                registry.alias(&model, &alias)?.ok_or(OriginError::NoAlias { model: model.clone(), alias })?
            }
        };
        self.offer(version)
    }

    fn offer(&mut self, version: u32) -> Result<OfferedVersion, OriginError> {
        let model = self.model.clone();
        let registered = self.registry()?.version(&model, version)?;
        registered.check_runnable()?;
        let contents: RegisteredModel = serde_json::from_value(registered.contents)
            .map_err(|reason| OriginError::Contents { model, version, problem: reason.to_string() })?;
        Ok(OfferedVersion { version, contents, artifacts: self.artifacts.clone() })
    }

    /// Does what the registry is needed for. A failed connection is opened anew the next time.
    fn try_with<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, OriginError>) -> Result<T, OriginError> {
        let done = work(self);
        // A refusal is an answer.
        if matches!(&done, Err(OriginError::Store(error)) if !matches!(error, StoreError::Tracking(_))) {
            (self.registry, self.watch) = (None, None);
        }
        done
    }
}

impl VersionOrigin for RegistryOrigin {
    fn current(&mut self) -> Result<OfferedVersion, OriginError> {
        self.looked = Instant::now();
        self.try_with(Self::find)
    }

    /// A deployment compares with the champion, so that it is for those who serve the champion.
    fn deployment(&mut self) -> Result<Option<OfferedDeployment>, OriginError> {
        if self.selector != Selector::Alias(CHAMPION.to_owned()) {
            return Ok(None);
        }
        self.try_with(|origin| {
            let model = origin.model.clone();
            let Some(deployment) = origin.registry()?.active_deployment(&model)? else { return Ok(None) };
            match deployment.arms.iter().map(|arm| origin.offer(arm.version)).collect() {
                Err(error @ OriginError::Store(_)) => Err(error),
                versions => Ok(Some(OfferedDeployment { deployment, versions })),
            }
        })
    }

    fn abort(&mut self, deployment: &Deployment, reason: &str) -> Result<(), OriginError> {
        let (model, at) = (self.model.clone(), deployment.at());
        // Not by `try_with`: a deployment that has changed is no failure of the registry.
        self.registry()?.abort_deployment(&model, Some(at), reason)?;
        Ok(())
    }

    fn artifacts(&self) -> &ArtifactStore {
        &self.artifacts
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        let Some(watch) = &mut self.watch else {
            std::thread::sleep(timeout);
            return true;
        };
        match watch.wait(timeout) {
            Ok(changed) => changed || self.looked.elapsed() >= LOOK_INTERVAL,
            // The next look finds that the registry is away, and says so.
            Err(_) => true,
        }
    }

    fn refused(&mut self, version: u32, reason: &str) {
        let model = self.model.clone();
        let recorded = self.registry().and_then(|registry| registry.record_refusal(&model, version, reason));
        match recorded {
            Ok(_) | Err(StoreError::ReadOnly { .. }) => {}
            Err(error) => tracing::warn!("model `{model}`: the audit does not tell that it was refused: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use stagewright_store::{NewForeignVersion, NewModel, NewVersion, OpenMode};

    use super::*;

    /// How long a test waits for what comes at once.
    const LONG: Duration = Duration::from_secs(30);

    // invariant: A served alias of a registry is followed as soon as it moves, and a version that
    // is refused is in the audit.
    #[test]
    fn an_alias_that_moves_wakes_the_origin_and_a_refusal_is_on_record() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stagewright.db");
        let registry = Registry::open(&path).expect("a registry");
        let artifacts = ArtifactStore::open(folder.path().join("artifacts")).expect("a store");
        for _ in 0..2 {
            registry.create_version(&artifacts, "churn", &NewVersion::default(), &|_| None).expect("a version");
        }
        registry.set_alias("churn", "served", None, Some(1)).expect("an alias");
        let open = Box::new(move || Registry::open_as(&path, OpenMode::Serving));
        let selector = Selector::Alias("served".into());
        let mut origin = RegistryOrigin::new(open, artifacts, "churn".into(), selector);
        // A version that this registry has, with contents that nothing can be served from.
        let version = |error: OriginError| match error {
            OriginError::Contents { version, .. } => version,
            other => panic!("{other}"),
        };
        assert_eq!(version(origin.current().expect_err("no contents")), 1);
        assert!(!origin.wait(Duration::from_millis(300)), "nothing has changed");
        registry.set_alias("churn", "served", Some(1), Some(2)).expect("another version");
        let begun = Instant::now();
        assert!(origin.wait(LONG) && begun.elapsed() < LOOK_INTERVAL, "the change wakes nobody");
        assert_eq!(version(origin.current().expect_err("no contents")), 2);
        for _ in 0..2 {
            origin.refused(2, "it cannot be read");
        }
        let entries = registry.audit_of("churn", Some(2)).expect("the audit");
        let refusals = entries.iter().filter(|it| it.action == "version.refused-by-serving");
        assert_eq!(refusals.map(|it| it.reason.as_str()).collect::<Vec<_>>(), ["it cannot be read"]);
        // A registry that is away is looked at, and opened again.
        origin.watch = None;
        assert!(origin.wait(Duration::from_millis(1)));
    }

    // invariant: No version that a client registered becomes champion, or is run, judged or
    // deployed.
    #[test]
    fn a_version_that_a_client_registered_is_not_served() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("stagewright.db");
        let registry = Registry::open(&path).expect("a registry");
        let artifacts = ArtifactStore::open(folder.path().join("artifacts")).expect("a store");
        registry.create_foreign_model("churn", &NewModel::default()).expect("a model");
        registry.create_foreign_version("churn", &NewForeignVersion::default()).expect("a version");
        registry.force_alias("churn", CHAMPION, Some(1)).expect("an alias");
        let open = Box::new(move || Registry::open_as(&path, OpenMode::Serving));
        let selector = Selector::Alias(CHAMPION.into());
        let mut origin = RegistryOrigin::new(open, artifacts, "churn".into(), selector);
        let refused = origin.current().expect_err("a client's version");
        assert!(refused.to_string().contains("was registered by an MLflow client"), "{refused}");
        assert_eq!(refused.unusable_version(), Some(1));
        assert!(origin.registry.is_some(), "the registry answered, so that its connection is kept");
    }
}
