//! Follows the origin of a model: loads the version that it names, tries it, and lets it answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use stagewright_text::Untrusted;

use stagewright_store::Deployment;

use crate::last_verified::{LastVerified, VersionKey};
use crate::origin::{OfferedDeployment, OfferedVersion, OriginError, VersionOrigin};
use crate::served_model::{RefusedVersion, ServedModel};
use crate::served_version::{ModelLoader, ServedVersion, VersionOptions};
use crate::traffic::Live;

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
    /// A deployment whose versions do not load, and since when.
    unloadable: Option<Unloadable>,
}

/// A deployment that this server cannot carry out.
struct Unloadable {
    number: u32,
    reason: String,
    at: Instant,
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
        let mut following = Following { model, loader, origin, options, unloadable: None };
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
            Ok(offered) => match self.loaded(&offered) {
                Ok(champion) => {
                    self.serve(champion, &offered);
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
        // The version that was verified last may be the refused one: something of it is gone.
        let refused = self.model.status().refused.map(|refused| refused.version);
        let last = self.options.last.load(&self.key(), self.origin.artifacts());
        let Some(offered) = last.filter(|last| Some(last.version) != refused) else { return Err(error) };
        let version = self.load(&offered)?;
        tracing::warn!(
            "model `{}`: {error}; serving version {}, the last one that was verified",
            self.model.name,
            offered.version
        );
        self.model.replace(Arc::new(version));
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

    /// Looks at the origin, and serves what it names: a version, and the arms of its deployment.
    fn look(&mut self) {
        let offered = match self.origin.current() {
            Ok(offered) => offered,
            Err(error) => return self.note(&error),
        };
        self.model.update(|status| status.origin_failed = None);
        let is_refused = |refused: &RefusedVersion| {
            refused.version == offered.version && refused.at.elapsed().is_ok_and(|ago| ago < RETRY_REFUSED)
        };
        if !self.model.status().refused.as_ref().is_some_and(is_refused) {
            match self.loaded(&offered) {
                Ok(champion) => return self.serve(champion, &offered),
                Err(error) => self.refuse(offered.version, &error.to_string()),
            }
        }
        // The version before goes on, and so do the steps of its deployment.
        if let Some(current) = self.model.current() {
            self.share(current);
        }
    }

    /// Returns a version: as it takes part already, or loaded now.
    fn loaded(&self, offered: &OfferedVersion) -> Result<Arc<ServedVersion>, OriginError> {
        let is_it = |it: &Arc<ServedVersion>| it.version == offered.version && it.contents == offered.contents;
        match self.model.versions().into_iter().map(|(version, _)| version).find(is_it) {
            Some(known) => Ok(known),
            None => Ok(Arc::new(self.load(offered)?)),
        }
    }

    fn load(&self, offered: &OfferedVersion) -> Result<ServedVersion, OriginError> {
        let options = (self.options.version)(offered)?;
        let loader = self.loader.with_artifacts(offered.artifacts.clone());
        Ok(ServedVersion::load(&loader, &self.model.name, offered.version, offered.contents.clone(), &options)?)
    }

    /// Lets a version answer that the origin names.
    fn serve(&mut self, champion: Arc<ServedVersion>, offered: &OfferedVersion) {
        self.model.update(|status| status.refused = None);
        let is_new = self.model.current().is_none_or(|before| !Arc::ptr_eq(&before, &champion));
        self.share(champion);
        if !is_new {
            return;
        }
        tracing::info!("model `{}`: serving version {}", self.model.name, offered.version);
        if let Err(reason) = self.options.last.save(&self.key(), offered) {
            tracing::warn!("the last verified version of `{}` cannot be recorded: {reason}", self.model.name);
        }
    }

    /// Shares the requests between a champion and the other arms of the active deployment.
    fn share(&mut self, champion: Arc<ServedVersion>) {
        let offered = match self.origin.deployment() {
            Ok(offered) => offered,
            Err(error) => {
                self.note(&error);
                // What was seen last goes on.
                let live = self.model.live().filter(|live| Arc::ptr_eq(&live.arms[0].version, &champion));
                return self.model.direct(champion, live);
            }
        };
        let active = offered.as_ref().map(|offered| offered.deployment.clone());
        let (live, problem) = match offered.map(|offered| self.live(&champion, offered)) {
            None => (None, None),
            Some(Ok(live)) => (live, None),
            Some(Err(problem)) => (None, Some(problem)),
        };
        self.model.direct(champion, live);
        if let Some(problem) =
            problem.as_ref().filter(|it| Some(*it) != self.model.status().deployment_problem.as_ref())
        {
            tracing::error!("model `{}`: its deployment is not carried out: {problem}", self.model.name);
        }
        self.model.update(|status| (status.deployment, status.deployment_problem) = (active, problem));
    }

    /// Returns a deployment with its versions loaded; `None` if it compares with another champion,
    /// in which case whoever conducts it ends it.
    ///
    /// # Errors
    /// Why this server does not carry it out.
    fn live(
        &mut self,
        champion: &Arc<ServedVersion>,
        OfferedDeployment { deployment, versions }: OfferedDeployment,
    ) -> Result<Option<Arc<Live>>, String> {
        if deployment.arms.first().is_none_or(|arm| arm.version != champion.version) {
            return Ok(None);
        }
        let before = self.model.live();
        let is_same =
            |it: &&Arc<Live>| it.deployment.at() == deployment.at() && Arc::ptr_eq(&it.arms[0].version, champion);
        if let Some(live) = before.as_ref().filter(is_same) {
            return Ok(Some(live.clone()));
        }
        let is_unloadable = |it: &&Unloadable| it.number == deployment.number && it.at.elapsed() < RETRY_REFUSED;
        if let Some(Unloadable { reason, .. }) = self.unloadable.as_ref().filter(is_unloadable) {
            let reason = reason.clone();
            return Err(self.give_up(&deployment, reason));
        }
        // The champion may have been loaded just now, and answer nobody yet.
        let is_champion = |it: &OfferedVersion| it.version == champion.version && it.contents == champion.contents;
        let one = |offered: &OfferedVersion| match is_champion(offered) {
            true => Ok(champion.clone()),
            false => self.loaded(offered),
        };
        let load = |all: Vec<OfferedVersion>| all.iter().map(one).collect::<Result<Vec<_>, _>>();
        match versions.and_then(load) {
            Ok(loaded) => {
                let live = Live::new(deployment, &loaded, &self.model.ledger, before.as_deref());
                live.map(|live| Some(Arc::new(live))).map_err(|error| error.to_string())
            }
            Err(error) => {
                let candidate = deployment.arms.last().map_or(0, |arm| arm.version);
                let reason = format!("version {candidate} does not load: {}", Untrusted::new(&error.to_string()));
                let (number, at) = (deployment.number, Instant::now());
                self.unloadable = Some(Unloadable { number, reason: reason.clone(), at });
                Err(self.give_up(&deployment, reason))
            }
        }
    }

    /// Aborts a deployment whose versions do not load. Returns why it is not carried out.
    fn give_up(&mut self, deployment: &Deployment, reason: String) -> String {
        match self.origin.abort(deployment, &reason) {
            Ok(()) => reason,
            Err(error) => format!("{reason}; it cannot be aborted: {error}"),
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
