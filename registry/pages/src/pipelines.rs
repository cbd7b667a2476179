//! Pipelines' models, as far as the program that runs the server can do more with them than the
//! registry's records say.
//!
//! A promotion copies a version to its production location, and a card is made of artifacts that
//! only the lifecycle understands. Both are the command line's, so that a page, a client of MLflow
//! and a command do the same.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value as Json;
use stagewright_store::{ModelVersion, Verdict};

/// The reason why something was not done with a pipeline's model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PipelineFault {
    /// It may not be done, for this reason, which the caller is told.
    Refused(String),
    /// It failed and may succeed if it is repeated: another promotion was under way, or the
    /// production location did not answer. The text is for the log.
    Busy(String),
    /// It fails until a person mends something. The text is for the log, since it may name places
    /// and accounts.
    Failed(String),
}

/// Who changes something, and why. The audit has both.
#[derive(Clone, Copy, Debug)]
pub struct Because<'a> {
    /// The account; `None`: whoever runs the server.
    pub actor: Option<&'a str>,
    /// The reason; it may be empty where a change needs none.
    pub reason: &'a str,
}

/// The work of the program on pipelines' models. Its functions may block, and may be called from
/// several threads at once. Each checks by itself that the model is a pipeline's.
pub trait Pipelines: Send + Sync {
    /// Makes a version champion, as `models promote` does. `expected` is the champion that the
    /// caller has seen (`Some(None)`: none); `None`: whichever it is.
    ///
    /// # Errors
    /// The champion is the same as before.
    fn promote(
        &self,
        model: &str,
        version: u32,
        expected: Option<Option<u32>>,
        why: Because<'_>,
    ) -> Result<(), PipelineFault>;

    /// Goes back to the version that was champion before, as `models rollback` does. `expected` is
    /// the version that the caller was told.
    ///
    /// # Errors
    /// The champion is the same as before.
    fn roll_back(&self, model: &str, expected: u32, why: Because<'_>) -> Result<(), PipelineFault>;

    /// Records a person's verdict, as `models approve` and `models reject` do.
    ///
    /// # Errors
    /// Nothing is recorded.
    fn decide(&self, model: &str, version: u32, verdict: Verdict, why: Because<'_>) -> Result<(), PipelineFault>;

    /// Makes the next step of the active deployment, as `deploy advance` does.
    ///
    /// # Errors
    /// The deployment is at the step of before.
    fn advance(&self, model: &str, number: u32, why: Because<'_>) -> Result<(), PipelineFault>;

    /// Gives the active deployment up, as `deploy abort` does.
    ///
    /// # Errors
    /// The deployment goes on.
    fn abort(&self, model: &str, number: u32, why: Because<'_>) -> Result<(), PipelineFault>;

    /// Returns the metrics of a version's evaluation with their intervals. An interval that is not
    /// known `until` then is left out.
    ///
    /// # Errors
    /// The artifacts of the evaluation cannot be read.
    fn measured(&self, version: &ModelVersion, until: Instant) -> Result<Measured, PipelineFault>;

    /// Returns the model card of a version, as `models card` writes it.
    ///
    /// # Errors
    /// The contents of the version cannot be read.
    fn card(&self, version: &ModelVersion) -> Result<ModelCard, PipelineFault>;

    /// Compares versions, as `models compare` does.
    ///
    /// # Errors
    /// The contents of a version cannot be read.
    fn compared(&self, versions: &[ModelVersion]) -> Result<Comparison, PipelineFault>;

    /// Returns where a version comes from and what it led to, as `lineage` shows it.
    ///
    /// # Errors
    /// The records cannot be read.
    fn lineage(&self, model: &str, version: u32) -> Result<Lineage, PipelineFault>;

    /// Returns the statement of a version's provenance, as `models attest` writes it.
    ///
    /// # Errors
    /// No run on record made the version.
    fn provenance(&self, version: &ModelVersion) -> Result<Json, PipelineFault>;

    /// Returns the components of a version, and who vouches for them.
    ///
    /// # Errors
    /// The contents of the version cannot be read.
    fn components(&self, version: &ModelVersion) -> Result<Vec<TrustedComponent>, PipelineFault>;

    /// Returns how good versions are by outcomes from `since_ms` on, as `models outcomes` says it.
    ///
    /// # Errors
    /// The log of predictions cannot be read.
    fn outcomes(&self, model: &str, since_ms: i64) -> Result<Vec<LiveMetrics>, PipelineFault>;
}

/// How long a page may wait for intervals, of however many versions.
const PATIENCE: Duration = Duration::from_secs(3);

/// Returns until when a page that begins now may wait for intervals.
pub(crate) fn patience() -> Instant {
    Instant::now() + PATIENCE
}

/// The metrics of an evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Measured {
    /// The metric that gates compare; `None`: unknown.
    pub primary: Option<String>,
    /// The test rows; `None`: unknown.
    pub rows: Option<u64>,
    /// The metrics that have an interval, the primary one first.
    pub intervals: Vec<Interval>,
}

/// A metric with its interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The metric.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// The lower end; `None` if the rows are too few to tell.
    pub low: Option<f64>,
    /// The upper end.
    pub high: Option<f64>,
    /// The two-sided confidence, such as 0.95.
    pub confidence: f64,
    /// How it was computed.
    pub method: String,
}

/// A model card.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelCard {
    /// A whole HTML file, without scripts.
    pub html: String,
    /// The same as data.
    pub json: Json,
}

/// Versions side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The versions: `churn/3`.
    pub titles: Vec<String>,
    /// The notes that a reader needs, the warnings first.
    pub notes: Vec<ComparisonNote>,
    /// Everything that is compared, by section, rows that differ first.
    pub rows: Vec<ComparedRow>,
}

/// A note about a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparisonNote {
    /// Whether it warns of a wrong conclusion.
    pub warning: bool,
    /// One or two sentences.
    pub text: String,
}

/// A row of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedRow {
    /// The section: `Metrics`.
    pub section: String,
    /// The name.
    pub key: String,
    /// One value for each version; `None` for a missing one.
    pub values: Vec<Option<String>>,
    /// Whether the values differ.
    pub differs: bool,
}

/// The origins of a version, and what it led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Lineage {
    /// The graph as an indented text.
    pub tree: String,
    /// The graph as data.
    pub json: Json,
}

/// A component of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustedComponent {
    /// Its stage: `transformation` or `training`.
    pub stage: String,
    /// Its name in the manifest.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Whether it is part of this installation, or signed with a key that the operator trusts.
    pub is_vouched_for: bool,
}

/// How good a version is by what turned out to be true.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LiveMetrics {
    /// The version.
    pub version: u32,
    /// The arm of a deployment; `None`: outside of deployments.
    pub arm: Option<String>,
    /// The outcomes that were posted.
    pub outcomes: u64,
    /// Those whose prediction was logged, which the metrics are of.
    pub joined: u64,
    /// The metrics.
    pub metrics: Vec<Interval>,
}

impl fmt::Debug for dyn Pipelines + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pipelines")
    }
}
