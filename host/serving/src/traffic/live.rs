//! A deployment that this server carries out: its versions are loaded.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use stagewright_deployment::{Assignment, Key, Plan, PlanError};
use stagewright_store::Deployment;

use super::counter::Ledger;
use super::live_arm::LiveArm;
use super::mirror::{Mirror, TallyCounts};
use crate::arm::Arm;
use crate::served_version::ServedVersion;

/// Why a deployment of the registry is not carried out by this server.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// Its plan cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It has an arm that this program does not know.
    #[error("the arm `{0}` is not known to this program; a newer one may have started the deployment")]
    Arm(String),
    /// Not all of its versions are loaded, or too many.
    #[error("it has {arms} arms, and {versions} versions are loaded")]
    Versions {
        /// The arms.
        arms: usize,
        /// The versions.
        versions: usize,
    },
}

/// A deployment whose versions are loaded.
pub(crate) struct Live {
    /// The deployment as the registry has it.
    pub(crate) deployment: Deployment,
    /// Its arms, in its order.
    pub(crate) arms: Vec<LiveArm>,
    /// Where the copies of requests go, if it has a shadow.
    pub(crate) mirror: Option<Mirror>,
    pub(super) key: KeySource,
    assignment: Assignment,
}

/// Where the key of a request is.
pub(super) enum KeySource {
    Nowhere,
    Header(HeaderName),
    /// In the first row, which is known once the body is decoded.
    Field,
}

impl Live {
    /// Creates a deployment that is carried out with these versions, one for each arm. `before` is
    /// what was carried out until now.
    ///
    /// # Errors
    /// [`LiveError`].
    pub(crate) fn new(
        deployment: Deployment,
        versions: &[Arc<ServedVersion>],
        ledger: &Ledger,
        before: Option<&Self>,
    ) -> Result<Self, LiveError> {
        let (count, loaded) = (deployment.arms.len(), versions.len());
        let Some(first) = versions.first().filter(|_| count == loaded) else {
            return Err(LiveError::Versions { arms: count, versions: loaded });
        };
        let plan = Plan::of(&deployment)?;
        let key = match plan.key() {
            None => KeySource::Nowhere,
            // A plan has only names that are names of headers.
            Some(Key::Header(name)) => name.parse().map_or(KeySource::Nowhere, KeySource::Header),
            Some(Key::Field(_)) => KeySource::Field,
        };
        let is_shadow = matches!(plan, Plan::Shadow(_));
        let exact = plan.guard().and_then(|guard| guard.max_p99).map(|span| span.0);
        let arms = deployment.arms.iter().zip(versions).map(|(arm, version)| {
            let label = match Arm::named(&arm.name).ok_or_else(|| LiveError::Arm(arm.name.clone()))? {
                // Beside a shadow, answers are what they are without it.
                Arm::Control if is_shadow => Arm::Only,
                label => label,
            };
            let counter = ledger.counter(deployment.number, deployment.step, &arm.name, exact);
            Ok(LiveArm::new(label, version, first, plan.key(), counter))
        });
        let arms = arms.collect::<Result<Vec<_>, LiveError>>()?;
        let before = before.filter(|before| before.deployment.number == deployment.number);
        let mirror = match (&plan, arms.last()) {
            (Plan::Shadow(shadow), Some(arm)) => {
                let before = before.and_then(|before| before.mirror.as_ref());
                Some(Mirror::new(arm.clone(), shadow.fraction.get(), before))
            }
            _ => None,
        };
        let assignment = Assignment::of(&deployment);
        Ok(Self { deployment, arms, mirror, key, assignment })
    }

    /// Returns what became of the copies for its shadow, if it has one.
    pub(crate) fn tally(&self) -> Option<TallyCounts> {
        self.mirror.as_ref().map(|mirror| mirror.tally.counts())
    }

    /// Returns the arm that answers: always the same one for a key, any one without.
    pub(super) fn arm_of(&self, key: Option<&[u8]>) -> usize {
        match key.filter(|key| !key.is_empty()) {
            Some(key) => self.assignment.arm(key),
            None => self.assignment.arm_at(fastrand::u64(..)),
        }
    }

    /// Returns the arm that answers a request with these headers: the first one, if they do not
    /// tell yet.
    pub(super) fn arm_of_head(&self, headers: &HeaderMap) -> usize {
        match &self.key {
            KeySource::Nowhere => self.arm_of(None),
            KeySource::Header(name) => self.arm_of(headers.get(name).map(|value| value.as_bytes())),
            KeySource::Field => 0,
        }
    }
}
