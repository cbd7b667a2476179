//! The record of a deployment.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::database::{Outcome, Row};
use crate::registry::deployments::error::DeploymentError;
use crate::registry::names::check_name;

/// The most arms of a deployment.
const MAX_ARMS: usize = 16;
/// The most bytes of a configuration or a state as JSON text: 64 KiB.
const MAX_JSON_BYTES: usize = 64 << 10;
/// How far the sum of shares may be from 1: what rounding decimals leaves.
const SHARE_TOLERANCE: f64 = 1e-6;

/// The way in which a version takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeploymentStrategy {
    /// All requests move from one version to another at once.
    BlueGreen,
    /// A growing share of the requests moves to the new version.
    Canary,
    /// The new version gets a copy of the requests, and its answers are only compared.
    Shadow,
    /// Two or more versions answer fixed shares until their outcomes can be compared.
    Ab,
}

impl DeploymentStrategy {
    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue_green",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
            Self::Ab => "ab",
        }
    }
}

impl fmt::Display for DeploymentStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DeploymentStrategy {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::BlueGreen, Self::Canary, Self::Shadow, Self::Ab];
        all.into_iter().find(|it| it.name() == name).ok_or_else(|| {
            let name = crate::registry::names::shortened(name);
            format!("`{name}` is not a strategy: use one of blue_green, canary, shadow, ab")
        })
    }
}

/// Whether a deployment is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeploymentStatus {
    /// It decides who answers.
    Active,
    /// It reached its end.
    Finished,
    /// It was given up.
    Aborted,
}

impl DeploymentStatus {
    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Finished => "finished",
            Self::Aborted => "aborted",
        }
    }
}

impl fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DeploymentStatus {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let all = [Self::Active, Self::Finished, Self::Aborted];
        all.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("a deployment is `{name}`"))
    }
}

/// A version that takes part in a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentArm {
    /// The name: `control`, `canary`, `treatment`.
    pub name: String,
    /// The version.
    pub version: u32,
    /// The share of the requests that it answers, from 0 to 1. A shadow answers none.
    pub share: f64,
}

/// The facts about a deployment that is started.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDeployment {
    /// The strategy.
    pub strategy: DeploymentStrategy,
    /// Its configuration, a JSON object of at most 64 KiB, which never changes.
    pub configuration: Json,
    /// The first step, by the strategy's own numbering.
    pub step: u32,
    /// Its arms, 1 to 16: the default arm first, the candidate last. Their shares add up to 1.
    pub arms: Vec<DeploymentArm>,
    /// The notes of the servers that carry it out, a JSON object of at most 64 KiB.
    pub state: Json,
    /// The reason, for the audit.
    pub reason: String,
}

/// A step of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentStep {
    /// The step, by the strategy's own numbering.
    pub step: u32,
    /// The shares from now on, in the order of the arms. They add up to 1.
    pub shares: Vec<f64>,
    /// The notes of the servers that carry it out, a JSON object of at most 64 KiB.
    pub state: Json,
    /// The reason, for the audit.
    pub reason: String,
}

/// A deployment of a model as somebody saw it, for compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentRevision {
    /// The number of the deployment.
    pub number: u32,
    /// Its revision.
    pub revision: u64,
}

/// A recorded deployment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Deployment {
    /// The model's name.
    pub model: String,
    /// Counted from 1 for each model.
    pub number: u32,
    /// Rises with every change.
    pub revision: u64,
    /// The strategy.
    pub strategy: DeploymentStrategy,
    /// The configuration that it was started with.
    pub configuration: Json,
    /// Whether it is under way.
    pub status: DeploymentStatus,
    /// The current step, or the last.
    pub step: u32,
    /// When the step began, in milliseconds since the epoch.
    pub since_ms: i64,
    /// Its arms with their shares in this step, the default arm first.
    pub arms: Vec<DeploymentArm>,
    /// The notes of the servers that carry it out.
    pub state: Json,
    /// Why it was started.
    pub reason: String,
    /// When it was started, in milliseconds since the epoch.
    pub started_ms: i64,
    /// Who started it.
    pub started_by: String,
    /// When it changed last, in milliseconds since the epoch.
    pub changed_ms: i64,
    /// Who changed it last.
    pub changed_by: String,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Who ended it.
    pub ended_by: Option<String>,
    /// Why it ended.
    pub end_reason: Option<String>,
}

impl Deployment {
    /// Returns what a change names to be made only if nothing else has changed.
    pub fn at(&self) -> DeploymentRevision {
        DeploymentRevision { number: self.number, revision: self.revision }
    }

    /// Returns the version of the last arm, which the deployment is about.
    pub(super) fn candidate(&self) -> Option<u32> {
        self.arms.last().map(|arm| arm.version)
    }

    /// Returns the state as the audit has it: `canary 3, step 2: control = version 1 (75 %), ...`.
    pub(super) fn audit_text(&self) -> String {
        let begin = format!("{} {}", self.strategy, self.number);
        if self.status != DeploymentStatus::Active {
            return format!("{begin}, {}", self.status);
        }
        let arm = |arm: &DeploymentArm| {
            // Rounded, because 0.07 * 100.0 is not 7.
            let percent = (arm.share * 1e8).round() / 1e6;
            format!("{} = version {} ({percent} %)", arm.name, arm.version)
        };
        let arms: Vec<String> = self.arms.iter().map(arm).collect();
        format!("{begin}, step {}: {}", self.step, arms.join(", "))
    }
}

/// The columns that [`deployment`] reads.
pub(super) const COLUMNS: &str = "registered_models.name, number, revision, strategy, configuration, status, step, since_ms, arms, \
     state, reason, started_ms, started_by, changed_ms, changed_by, ended_ms, ended_by, end_reason, deployments.id \
     FROM deployments JOIN registered_models ON registered_models.id = deployments.model";

/// Reads a deployment from a row of [`COLUMNS`].
pub(super) fn deployment(row: &Row) -> Outcome<Deployment> {
    Ok(Deployment {
        model: row.get(0)?,
        number: row.get(1)?,
        revision: row.get(2)?,
        strategy: row.parsed(3)?,
        configuration: row.json(4)?,
        status: row.parsed(5)?,
        step: row.get(6)?,
        since_ms: row.get(7)?,
        arms: serde_json::from_str(&row.get::<String>(8)?)?,
        state: row.json(9)?,
        reason: row.get(10)?,
        started_ms: row.get(11)?,
        started_by: row.get(12)?,
        changed_ms: row.get(13)?,
        changed_by: row.get(14)?,
        ended_ms: row.get(15)?,
        ended_by: row.get(16)?,
        end_reason: row.get(17)?,
    })
}

/// Checks arms: their number, their names, their shares.
pub(super) fn check_arms(arms: &[DeploymentArm]) -> Result<(), DeploymentError> {
    if !(1..=MAX_ARMS).contains(&arms.len()) {
        return Err(invalid(format!("it has {} arms; give it 1 to {MAX_ARMS}", arms.len())));
    }
    for (place, arm) in arms.iter().enumerate() {
        check_name("arm", &arm.name).map_err(|error| invalid(error.to_string()))?;
        if arms[..place].iter().any(|other| other.name == arm.name) {
            return Err(invalid(format!("two arms are called `{}`; give each a name of its own", arm.name)));
        }
    }
    let valid = |arm: &DeploymentArm| (0.0..=1.0).contains(&arm.share);
    let sum: f64 = arms.iter().map(|arm| arm.share).sum();
    if !arms.iter().all(valid) || (sum - 1.0).abs() > SHARE_TOLERANCE {
        let shares: Vec<String> = arms.iter().map(|arm| arm.share.to_string()).collect();
        let shares = shares.join(", ");
        return Err(invalid(format!("its arms have the shares {shares}; give each from 0 to 1, together 1")));
    }
    Ok(())
}

/// Checks a configuration or a state, and returns its text.
pub(super) fn json_text(what: &str, json: &Json) -> Result<String, DeploymentError> {
    let text = json.to_string();
    if !json.is_object() {
        return Err(invalid(format!("its {what} is not a JSON object")));
    }
    if text.len() > MAX_JSON_BYTES {
        let bytes = text.len();
        return Err(invalid(format!("its {what} has {bytes} bytes as JSON; shorten it to {MAX_JSON_BYTES}")));
    }
    Ok(text)
}

pub(super) fn invalid(problem: String) -> DeploymentError {
    DeploymentError::Invalid { problem }
}
