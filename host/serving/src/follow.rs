//! Follows the origin of a model: loads the version that it names, tries it, and lets it answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use stagewright_text::Untrusted;

use crate::last_verified::{LastVerified, VersionKey};
use crate::origin::{OfferedVersion, OriginError, VersionOrigin};
use crate::served_model::{RefusedVersion, ServedModel, retire};
use crate::served_version::{ModelLoader, ServedVersion, VersionOptions};

/// How a model follows its origin.
pub struct FollowOptions {
    /// The version that was asked for (`champion`), which distinguishes records of last verified
    /// versions.
    pub asked: String,
    /// The name of the origin, which distinguishes them too.
    pub place: String,
    /// The longest time between two looks at the origin.
    pub interval: Duration,
    /// The settings of a version, which may depend on what it contains.
    pub version: Box<VersionSettings>,
    /// The records of the versions that were loaded.
    pub last: LastVerified,
}

/// Returns the settings of a version.
///
/// # Errors
/// The version may not be served under the operator's limits.
pub type VersionSettings = dyn Fn(&OfferedVersion) -> Result<VersionOptions, OriginError> + Send;

/// A thread that follows the origin of a model. It ends when this is dropped.
pub struct Follower {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A model and everything that loads its versions.
struct Following {
    model: Arc<ServedModel>,
    loader: ModelLoader,
    origin: Box<dyn VersionOrigin>,
    options: FollowOptions,
}

impl Follower {
    /// Loads the version that the origin names, and follows it. If the origin cannot be reached,
    /// the last verified version is loaded from the origin's store.
    ///
    /// # Errors
    /// The origin cannot be reached, and no version was ever verified; or its version does not
    /// load.
    pub fn start(
        model: Arc<ServedModel>,
        loader: ModelLoader,
        origin: Box<dyn VersionOrigin>,
        options: FollowOptions,
    ) -> Result<Self, OriginError> {
        let mut following = Following { model, loader, origin, options };
        following.begin()?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let run = move || {
            let mut pruned: Option<Instant> = None;
            while !seen.load(Ordering::Relaxed) {
                if pruned.is_none_or(|last| last.elapsed() > PRUNE_EVERY) {
                    pruned = Some(Instant::now());
                    following.prune();
                }
                let interval = following.options.interval;
                let may_differ = following.origin.wait(interval) || following.has_trouble();
                if may_differ && !seen.load(Ordering::Relaxed) {
                    following.look();
                }
            }
        };
        let thread = std::thread::Builder::new().name("follow".into()).spawn(run);
        let thread = thread.map_err(stagewright_lifecycle::fault::StageFault::host)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // The thread may be waiting for its origin; it ends at its next look.
        drop(self.thread.take());
    }
}

impl Following {
    /// Loads the first version.
    fn begin(&mut self) -> Result<(), OriginError> {
        let error = match self.origin.current() {
            Ok(offered) => match self.load(&offered) {
                Ok(version) => {
                    self.serve(version, &offered);
                    return Ok(());
                }
                Err(error) => {
                    self.refuse(offered.version, &error.to_string());
                    error
                }
            },
            Err(error) if error.says_nothing_to_serve() => return Err(error),
            Err(error) => {
                self.note(&error);
                error
            }
        };
        // A version that was refused may be the one that was verified last: something of it is gone.
        let refused = self.model.status().refused.map(|refused| refused.version);
        let last = self.options.last.load(&self.key(), self.origin.artifacts());
        let Some(offered) = last.filter(|last| Some(last.version) != refused) else { return Err(error) };
        let version = self.load(&offered)?;
        tracing::warn!(
            "model `{}`: {error}; serving version {}, the last one that was verified",
            self.model.name,
            offered.version
        );
        if let Some(before) = self.model.serve_last(Arc::new(version)) {
            retire(before);
        }
        Ok(())
    }

    /// Returns the key of the records of last verified versions.
    fn key(&self) -> VersionKey<'_> {
        VersionKey { place: &self.options.place, model: &self.model.name, asked: &self.options.asked }
    }

    /// Returns whether the last look failed or refused a version, and is to be repeated.
    fn has_trouble(&self) -> bool {
        let status = self.model.status();
        status.origin_failed.is_some() || status.refused.is_some()
    }

    /// Looks at the origin, and serves the version that it names if that is another one.
    fn look(&mut self) {
        let offered = match self.origin.current() {
            Ok(offered) => offered,
            Err(error) => return self.note(&error),
        };
        self.model.update(|status| status.origin_failed = None);
        let current = self.model.current();
        let is_served = current.is_some_and(|it| it.version == offered.version && it.contents == offered.contents);
        if is_served {
            return self.model.update(|status| status.refused = None);
        }
        let is_refused = |refused: &RefusedVersion| {
            refused.version == offered.version && refused.at.elapsed().is_ok_and(|ago| ago < RETRY_REFUSED)
        };
        if self.model.status().refused.as_ref().is_some_and(is_refused) {
            return;
        }
        match self.load(&offered) {
            Ok(version) => self.serve(version, &offered),
            Err(error) => self.refuse(offered.version, &error.to_string()),
        }
    }

    fn load(&self, offered: &OfferedVersion) -> Result<ServedVersion, OriginError> {
        let options = (self.options.version)(offered)?;
        let loader = self.loader.with_artifacts(offered.artifacts.clone());
        Ok(ServedVersion::load(&loader, &self.model.name, offered.version, offered.contents.clone(), &options)?)
    }

    fn serve(&mut self, version: ServedVersion, offered: &OfferedVersion) {
        tracing::info!("model `{}`: serving version {}", self.model.name, offered.version);
        if let Some(before) = self.model.replace(Arc::new(version)) {
            retire(before);
        }
        if let Err(reason) = self.options.last.save(&self.key(), offered) {
            tracing::warn!("the last verified version of `{}` cannot be recorded: {reason}", self.model.name);
        }
    }

    /// Lets go of what was copied from the origin and is not needed any more.
    fn prune(&self) {
        if let Err(reason) = self.origin.prune(&|| self.options.last.blobs()) {
            tracing::warn!("copies of earlier versions cannot be removed: {reason}");
        }
    }

    /// Records that a version is not served. The version before it goes on.
    fn refuse(&mut self, version: u32, reason: &str) {
        let shown = Untrusted::new(reason).to_string();
        tracing::error!("model `{}`: version {version} is not served: {shown}", self.model.name);
        self.origin.refused(version, &shown);
        let refused = RefusedVersion { version, reason: shown, at: SystemTime::now() };
        self.model.update(|status| {
            status.refusals += 1;
            status.refused = Some(refused);
        });
    }

    /// Records why the origin offers no version. The version before goes on.
    fn note(&mut self, error: &OriginError) {
        if let Some(version) = error.unusable_version() {
            // The place answered, and names a version that cannot be used.
            self.model.update(|status| status.origin_failed = None);
            let is_known = self.model.status().refused.is_some_and(|refused| refused.version == version);
            if !is_known {
                self.refuse(version, &error.to_string());
            }
            return;
        }
        let reason = Untrusted::new(&error.to_string()).to_string();
        if self.model.status().origin_failed.is_none() {
            tracing::warn!("model `{}`: its origin offers no version: {reason}", self.model.name);
        }
        self.model.update(|status| {
            let since = status.origin_failed.take().map_or_else(SystemTime::now, |(_, since)| since);
            status.origin_failed = Some((reason, since));
        });
    }
}

/// How long a version that was refused is not tried again: what it lacked may have come since.
const RETRY_REFUSED: Duration = Duration::from_secs(30);

/// How often copies of earlier versions are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);
