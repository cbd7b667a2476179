//! A model that is served: the version that answers, and what became of others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwapOption;

use crate::served_version::ServedVersion;

/// A model that is served under its name.
#[derive(Debug)]
pub struct ServedModel {
    /// The model's name.
    pub name: String,
    current: ArcSwapOption<ServedVersion>,
    status: Mutex<ModelStatus>,
}

/// The state of a model's origin and of the versions that it offers.
#[derive(Debug, Clone, Default)]
pub struct ModelStatus {
    /// Why the origin cannot be reached, and since when; the version that is served was the last
    /// one that was verified. `None` while the origin answers.
    pub origin_failed: Option<(String, SystemTime)>,
    /// The version that the origin names and that was not served.
    pub refused: Option<RefusedVersion>,
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
        Self { name: name.to_owned(), current: ArcSwapOption::empty(), status: Mutex::default() }
    }

    /// Returns the version that answers; `None` before the first one is loaded.
    pub fn current(&self) -> Option<Arc<ServedVersion>> {
        self.current.load_full()
    }

    /// Lets a version answer from now on. Returns the version before it, which still answers the
    /// requests that it has accepted. Drop it where blocking is allowed: see [`retire`].
    pub fn replace(&self, version: Arc<ServedVersion>) -> Option<Arc<ServedVersion>> {
        let before = self.current.swap(Some(version));
        self.update(|status| {
            status.swaps += 1;
            status.refused = None;
        });
        before
    }

    /// Lets a version answer that its origin did not offer now: the last one that was verified.
    /// What the origin said stays in the status.
    pub(crate) fn serve_last(&self, version: Arc<ServedVersion>) -> Option<Arc<ServedVersion>> {
        self.update(|status| status.swaps += 1);
        self.current.swap(Some(version))
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
pub fn retire(version: Arc<ServedVersion>) {
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
