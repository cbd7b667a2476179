//! Why a plan is refused, or a deployment cannot be started, advanced or read.

use stagewright_store::StoreError;

/// A value of a plan that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` of the deployment: {problem}\nhint: {hint}")]
pub struct PlanError {
    /// The field, with a dot before each inner one: `guard.max_p99`.
    pub field: String,
    /// The problem.
    pub problem: String,
    /// The remedy.
    pub hint: String,
}

impl PlanError {
    pub(crate) fn new(field: &str, problem: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { field: field.to_owned(), problem: problem.into(), hint: hint.into() }
    }
}

/// The error of starting, advancing or reading a deployment.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The plan cannot be used.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The registry failed or refused: another deployment is active, the candidate is not approved.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model has no champion, so that nothing answers beside the candidate.
    #[error(
        "model `{model}` has no champion, so that no version could answer beside version {candidate}\nhint: stagewright models promote {model}/{candidate}"
    )]
    NoChampion {
        /// The model's name.
        model: String,
        /// The candidate.
        candidate: u32,
    },
    /// The candidate is the champion.
    #[error(
        "version {version} of model `{model}` is the champion, and answers every request already\nhint: `stagewright models show {model}` lists the other versions"
    )]
    CandidateIsChampion {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
    },
    /// The control arm is not the champion.
    #[error(
        "the control is version {control} of model `{model}`, and version {champion} is champion\nhint: the control is the champion: name version {champion}, or promote version {control} first"
    )]
    ControlIsNotChampion {
        /// The model's name.
        model: String,
        /// The version of the control.
        control: u32,
        /// The champion.
        champion: u32,
    },
    /// Another version became champion while the deployment was active.
    #[error(
        "deployment {number} of model `{model}` compares with version {control}, which is no longer champion\nhint: stagewright deploy abort {model} --reason TEXT"
    )]
    ChampionMoved {
        /// The model's name.
        model: String,
        /// The deployment.
        number: u32,
        /// The version of its control.
        control: u32,
    },
    /// An A/B test has no verdict yet.
    #[error(
        "A/B test `{name}` of model `{model}` has no verdict yet: {missing}\nhint: `stagewright deploy status {model}` shows how far it is; `stagewright deploy abort {model} --reason TEXT` ends it without a verdict"
    )]
    NoVerdict {
        /// The model's name.
        model: String,
        /// The name of the test.
        name: String,
        /// The parts that are missing.
        missing: String,
    },
}
