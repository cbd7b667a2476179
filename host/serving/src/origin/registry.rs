//! A registry as the origin of versions.

use std::time::Duration;

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{ArtifactStore, Registry, RegistryWatch, StoreError};

use super::{OfferedVersion, OriginError, VersionOrigin};

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
    watch: Option<RegistryWatch>,
    artifacts: ArtifactStore,
    model: String,
    selector: Selector,
}

impl RegistryOrigin {
    /// Creates an origin. The registry is opened when it is needed; `artifacts` is its store.
    pub fn new(open: Box<OpenRegistry>, artifacts: ArtifactStore, model: String, selector: Selector) -> Self {
        Self { open, registry: None, watch: None, artifacts, model, selector }
    }

    fn registry(&mut self) -> Result<&Registry, StoreError> {
        match &mut self.registry {
            Some(registry) => Ok(registry),
            none => {
                let registry = (self.open)()?;
                // It begins before anything is read, so that no change is missed.
                self.watch = Some(registry.watch()?);
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
        let contents = registry.version(&model, version)?.contents;
        let contents: RegisteredModel = serde_json::from_value(contents).map_err(|reason| OriginError::Contents {
            model,
            version,
            problem: reason.to_string(),
        })?;
        Ok(OfferedVersion { version, contents, artifacts: self.artifacts.clone() })
    }
}

impl VersionOrigin for RegistryOrigin {
    fn current(&mut self) -> Result<OfferedVersion, OriginError> {
        self.find().inspect_err(|error| {
            // A failed connection is opened anew.
            if matches!(error, OriginError::Store(_)) {
                self.registry = None;
                self.watch = None;
            }
        })
    }

    fn wait(&mut self, timeout: Duration) -> bool {
        match &mut self.watch {
            // A registry that is away is looked at as a whole, which reports why.
            Some(watch) => watch.wait(timeout).unwrap_or(true),
            None => {
                std::thread::sleep(timeout);
                true
            }
        }
    }

    fn refused(&mut self, version: u32, reason: &str) {
        let model = self.model.clone();
        let recorded = self.registry().and_then(|registry| registry.record_refusal(&model, version, reason));
        if let Err(error) = recorded {
            tracing::warn!("the audit does not have the refusal of version {version} of `{model}`: {error}");
        }
    }
}
