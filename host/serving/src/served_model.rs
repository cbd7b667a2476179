//! A model that is served: the versions that answer, and what became of others.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use axum::http::HeaderMap;
use stagewright_store::Deployment;

use crate::arm::Arm;
use crate::served_version::ServedVersion;
use crate::traffic::{Ledger, Live, LiveError, Route, Traffic};

/// A model that is served under its name.
pub struct ServedModel {
    /// The model's name.
    pub name: String,
    traffic: ArcSwapOption<Traffic>,
    /// The counts of its deployments.
    pub(crate) ledger: Ledger,
    status: Mutex<ModelStatus>,
}

impl fmt::Debug for ServedModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedModel").field("name", &self.name).field("current", &self.current()).finish()
    }
}

/// The state of a model's origin and of the versions that it offers.
#[derive(Debug, Clone, Default)]
pub struct ModelStatus {
    /// Why the origin cannot be reached, and since when; the version that is served was the last
    /// one that was verified. `None` while the origin answers.
    pub origin_failed: Option<(String, SystemTime)>,
    /// The version that the origin names and that was not served.
    pub refused: Option<RefusedVersion>,
    /// The deployment that is active in the registry.
    pub deployment: Option<Deployment>,
    /// Why this server does not carry it out.
    pub deployment_problem: Option<String>,
    /// The number of versions that were served so far.
    pub swaps: u64,
    /// The number of times that a version was not served.
    pub refusals: u64,
}

/// A version that was not served, since it does not load or does not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedVersion {
    /// The version.
    pub version: u32,
    /// Why.
    pub reason: String,
    /// When.
    pub at: SystemTime,
}

impl ServedModel {
    /// Creates a model that has no version yet.
    pub fn new(name: &str) -> Self {
        let (ledger, status) = Default::default();
        Self { name: name.to_owned(), traffic: ArcSwapOption::empty(), ledger, status }
    }

    /// Returns the version that answers where no deployment says otherwise; `None` before the first
    /// one is loaded.
    pub fn current(&self) -> Option<Arc<ServedVersion>> {
        self.traffic.load().as_ref().map(|traffic| traffic.default.clone())
    }

    /// Returns all versions that take part, each with its arm.
    pub(crate) fn versions(&self) -> Vec<(Arc<ServedVersion>, Arm)> {
        let traffic = self.traffic.load();
        traffic.iter().flat_map(|traffic| traffic.versions()).map(|(version, arm)| (version.clone(), arm)).collect()
    }

    /// Returns the deployment that is carried out.
    pub(crate) fn live(&self) -> Option<Arc<Live>> {
        self.traffic.load().as_ref().and_then(|traffic| traffic.live.clone())
    }

    /// Returns who answers a request with these headers.
    pub(crate) fn route(&self, headers: &HeaderMap) -> Option<Route> {
        self.traffic.load().as_ref().map(|traffic| traffic.route(headers))
    }

    /// Returns who answers a request that names a version; `None` if the version answers nobody.
    pub(crate) fn route_to(&self, version: u32) -> Option<Route> {
        self.traffic.load().as_ref().and_then(|traffic| traffic.route_to(version))
    }

    /// Lets a version answer from now on, and no other. The version before it still answers the
    /// requests that it has accepted, and then ends.
    pub fn replace(&self, version: Arc<ServedVersion>) {
        self.direct(version, None);
    }

    /// Carries out a deployment from now on: its arms, in their order, are answered by these
    /// versions, of which the first is the champion.
    ///
    /// # Errors
    /// [`LiveError`]; nothing has changed.
    pub fn carry_out(&self, deployment: Deployment, versions: &[Arc<ServedVersion>]) -> Result<(), LiveError> {
        let live = Live::new(deployment, versions, &self.ledger, self.live().as_deref())?;
        self.direct(live.arms[0].version.clone(), Some(Arc::new(live)));
        Ok(())
    }

    /// Shares the requests from now on. Versions that take no part any more still answer what they
    /// have accepted, and then end.
    pub(crate) fn direct(&self, default: Arc<ServedVersion>, live: Option<Arc<Live>>) {
        let is_swap = self.current().is_none_or(|before| !Arc::ptr_eq(&before, &default));
        let is_same = match (&self.live(), &live) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        if is_same && !is_swap {
            return;
        }
        let before = self.versions();
        self.traffic.store(Some(Arc::new(Traffic { default, live })));
        let now = self.versions();
        let is_gone = |version: &Arc<ServedVersion>| !now.iter().any(|(other, _)| Arc::ptr_eq(version, other));
        before.into_iter().map(|(version, _)| version).filter(is_gone).for_each(retire);
        if is_swap {
            self.update(|status| status.swaps += 1);
        }
    }

    /// Returns the status.
    pub fn status(&self) -> ModelStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the status.
    pub fn update(&self, change: impl FnOnce(&mut ModelStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Drops a version once nobody uses it: when the requests that it has accepted are answered. A
/// thread of its own waits for that, since its pool ends threads when it is dropped.
fn retire(version: Arc<ServedVersion>) {
    const LOOK: std::time::Duration = std::time::Duration::from_millis(5);
    let wait = move || {
        while Arc::strong_count(&version) > 1 {
            std::thread::sleep(LOOK);
        }
        drop(version);
    };
    // Without a thread, the version is dropped here.
    let _ = std::thread::Builder::new().name("retire".into()).spawn(wait);
}
