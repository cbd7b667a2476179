//! A version of a model that is loaded: its decoder and its sessions.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use stagewright_data::{RequestDecoder, RequestOptions, Task};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::LoadedModel;
use stagewright_lifecycle::sandbox::{
    CallLimits, Cancel, ComponentSource, Isolation, Level, ModelSession, ModelSessions, Tracker,
};
use stagewright_manifest::{Limits, World};
use stagewright_store::{ArtifactStore, Digest};

use crate::known_values::KnownValues;
use crate::metrics::ArmMetrics;
use crate::pool::{OpenSession, Pool, PoolOptions};
use crate::prediction_log::{ModelLog, VersionLog};
use crate::warm::WarmRows;

/// How long a request may wait for its call, beyond the time of a call.
const QUEUE_ALLOWANCE: Duration = Duration::from_secs(2);

/// Everything that loads a version: the sandbox, and the store that holds its components, its state
/// and its model.
#[derive(Clone)]
pub struct ModelLoader {
    components: Arc<dyn ComponentSource>,
    sessions: Arc<dyn ModelSessions>,
    artifacts: ArtifactStore,
}

impl ModelLoader {
    /// Creates a loader over a sandbox.
    pub fn new<S: ComponentSource + ModelSessions + 'static>(sandbox: Arc<S>, artifacts: ArtifactStore) -> Self {
        Self { components: sandbox.clone(), sessions: sandbox, artifacts }
    }

    /// Returns a loader that takes the model's bytes from another store.
    #[must_use]
    pub fn with_artifacts(&self, artifacts: ArtifactStore) -> Self {
        Self { artifacts, ..self.clone() }
    }
}

/// The settings of a served version.
#[derive(Debug, Clone)]
pub struct VersionOptions {
    /// The limits of the two components while they load, and of their memory always.
    pub limits: [(World, Limits); 2],
    /// The limits of one call.
    pub call: CallLimits,
    /// Whether requests meet what earlier requests left in its components.
    pub isolation: Isolation,
    /// The settings of its pool.
    pub pool: PoolOptions,
    /// The settings of its decoder.
    pub request: RequestOptions,
    /// The log of its model's predictions.
    pub log: Option<Arc<ModelLog>>,
}

/// A version of a model that is loaded and answers.
pub struct ServedVersion {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// SHA-256 of the version's contents, which name every component and state by digest.
    pub digest: Digest,
    /// The digest as answers have it.
    pub(crate) digest_text: String,
    /// The contents.
    pub contents: RegisteredModel,
    /// The time at which it was loaded.
    pub loaded: SystemTime,
    /// Decodes requests by the signature.
    pub decoder: RequestDecoder,
    /// The settings of its decoder.
    pub request: RequestOptions,
    /// The values of its features that it knows from training.
    pub(crate) known_values: KnownValues,
    /// Its sessions.
    pub pool: Pool,
    /// The time from the queue to the predictions, after which a request is given up.
    pub deadline: Duration,
    /// The counters of its requests.
    pub metrics: ArmMetrics,
    /// The log of its predictions.
    pub log: Option<VersionLog>,
}

impl fmt::Debug for ServedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServedVersion").field("model", &self.model).field("version", &self.version).finish()
    }
}

impl ServedVersion {
    /// Verifies and loads a version, and opens its sessions, each of which has predicted some rows.
    ///
    /// # Errors
    /// A blob or a component is missing, does not match its digest, is refused by this host, or
    /// does not load.
    pub fn load(
        loader: &ModelLoader,
        model: &str,
        version: u32,
        contents: RegisteredModel,
        options: &VersionOptions,
    ) -> Result<Self, StageFault> {
        let tracker = Arc::new(SessionLog { model: model.to_owned(), version });
        let loaded = LoadedModel::new(
            &contents,
            &*loader.components,
            &loader.artifacts,
            options.limits,
            tracker,
            1,
            &Cancel::default(),
        )?;
        let (sessions, call, isolation) = (loader.sessions.clone(), options.call, options.isolation);
        let rows = WarmRows::of(&contents, &loader.artifacts);
        // A session that cannot predict ordinary rows answers nobody.
        let open = move || -> Result<Box<dyn ModelSession>, StageFault> {
            let session = || loaded.session(&*sessions, call, isolation);
            match &rows {
                Some(rows) => rows.warm(session()?, session),
                None => session(),
            }
        };
        let VersionOptions { call, pool, request, .. } = options;
        let version = Self::with_sessions(model, version, contents, Box::new(open), *call, *pool, request.clone())?;
        let known_values = KnownValues::of_state(&loader.artifacts, &version.contents.state);
        let of_version = |log: &Arc<ModelLog>| {
            let contents = &version.contents;
            log.of_version(version.version, &contents.task, &contents.signature)
        };
        let log = options.log.as_ref().map(of_version);
        Ok(Self { known_values, log, ..version })
    }

    /// Creates a version over sessions that the caller opens.
    ///
    /// # Errors
    /// A session cannot be opened.
    pub fn with_sessions(
        model: &str,
        version: u32,
        contents: RegisteredModel,
        open: Box<OpenSession>,
        call: CallLimits,
        pool: PoolOptions,
        request: RequestOptions,
    ) -> Result<Self, StageFault> {
        let json = serde_json::to_vec(&contents).map_err(StageFault::host)?;
        let digest = Digest::of(&json);
        Ok(Self {
            model: model.to_owned(),
            version,
            digest_text: digest.to_string(),
            digest,
            decoder: RequestDecoder::new(&contents.signature, request.clone()),
            request,
            known_values: KnownValues::default(),
            pool: Pool::start(open, contents.width(), pool)?,
            contents,
            loaded: SystemTime::now(),
            deadline: call.wall + QUEUE_ALLOWANCE,
            metrics: ArmMetrics::default(),
            log: None,
        })
    }

    /// Returns whether this makes the same rows of every request as another version.
    pub(crate) fn reads_as(&self, other: &Self) -> bool {
        (&self.contents.signature, &self.contents.target, self.task(), &self.request)
            == (&other.contents.signature, &other.contents.target, other.task(), &other.request)
    }

    /// Returns the task of the model.
    pub fn task(&self) -> &Task {
        &self.contents.task
    }
}

/// Passes the messages of components on to the server's log.
struct SessionLog {
    model: String,
    version: u32,
}

impl Tracker for SessionLog {
    fn log(&self, level: Level, message: &str) {
        let Self { model, version } = self;
        if level >= Level::Warn {
            tracing::warn!("model `{model}` version {version}: {message}");
        } else {
            tracing::debug!("model `{model}` version {version}: {message}");
        }
    }
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: stagewright_lifecycle::sandbox::Figure) {}
}
