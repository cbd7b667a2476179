//! The operations of people and of the conductor on deployments of the registry. All of them block.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;
use stagewright_deployment::{Candidate, OperationError, View, abort, advance, check, start, status};
use stagewright_store::{Deployment, DeploymentError, Registry, StoreError};

/// Opens the registry.
pub type OpenSharedRegistry = dyn Fn() -> Result<Registry, StoreError> + Send + Sync;

/// The way of a candidate into production, as the installation has it.
pub trait Production: Send + Sync {
    /// Checks that the operator would promote a version, before it is tried.
    ///
    /// # Errors
    /// The operator would not, or that cannot be told now.
    fn admit(&self, model: &str, version: u32) -> Result<(), PromotionFault>;

    /// Makes a candidate champion by the ordinary promotion.
    ///
    /// # Errors
    /// It has not become champion.
    fn promote(&self, candidate: &Candidate) -> Result<(), PromotionFault>;
}

/// Why a candidate has not become champion, or cannot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the candidate is not promoted: {reason}")]
pub struct PromotionFault {
    /// The reason, with a remedy.
    pub reason: String,
    /// Whether it would fail again: the version must not become champion.
    pub is_final: bool,
}

/// Why an operation was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum OperationFault {
    /// It was refused, or the registry failed.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The promotion at its end failed.
    #[error(transparent)]
    Promotion(#[from] PromotionFault),
}

impl From<StoreError> for OperationFault {
    fn from(error: StoreError) -> Self {
        Self::Operation(error.into())
    }
}

/// Starts, advances and aborts deployments of a registry.
pub struct Operations {
    open: Box<OpenSharedRegistry>,
    production: Box<dyn Production>,
    registry: Mutex<Option<Registry>>,
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").finish_non_exhaustive()
    }
}

impl Operations {
    /// Creates operations on a registry, which is opened when it is needed.
    pub fn new(open: Box<OpenSharedRegistry>, production: Box<dyn Production>) -> Self {
        Self { open, production, registry: Mutex::default() }
    }

    /// Returns the registry. It finds its way back by itself if its connection is lost.
    pub(super) fn registry(&self) -> Result<Registry, StoreError> {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match &*registry {
            Some(registry) => Ok(registry.clone()),
            None => Ok(registry.insert((self.open)()?).clone()),
        }
    }

    /// Makes a candidate champion.
    pub(super) fn promote(&self, candidate: &Candidate) -> Result<(), PromotionFault> {
        self.production.promote(candidate)
    }

    /// Returns the active deployment of a model with its figures, or else the last one.
    pub(crate) fn status(&self, model: &str) -> Result<View, OperationFault> {
        let registry = self.registry()?;
        let last = registry.deployments(model, Some(1))?.pop();
        self.view(&last.ok_or_else(|| StoreError::from(DeploymentError::NoneActive { model: model.to_owned() }))?)
    }

    /// Starts a deployment. `request` is a plan as people write it.
    pub(crate) fn start(&self, model: &str, request: &Value, reason: &str) -> Result<View, OperationFault> {
        let registry = self.registry()?;
        let candidate = check(&registry, model, request)?.candidate();
        registry.version(model, candidate)?;
        self.production.admit(model, candidate)?;
        self.view(&start(&registry, model, request, reason)?)
    }

    /// Makes the next step of the active deployment, of which the last may be a promotion.
    pub(crate) fn advance(&self, model: &str, reason: &str) -> Result<View, OperationFault> {
        let promote = |candidate: &Candidate| Ok(self.promote(candidate)?);
        let advanced = advance::<OperationFault>(&self.registry()?, model, reason, now_ms(), promote)?;
        self.view(&advanced)
    }

    /// Ends the active deployment: the champion answers everything again.
    pub(crate) fn abort(&self, model: &str, reason: &str) -> Result<View, OperationFault> {
        self.view(&abort(&self.registry()?, model, reason)?)
    }

    fn view(&self, deployment: &Deployment) -> Result<View, OperationFault> {
        Ok(status(&self.registry()?, deployment, now_ms())?)
    }
}

/// Returns the milliseconds since the epoch.
pub(super) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
