//! Why a page is not shown.

use serde::Serialize;
use stagewright_store::{StoreError, TrackingError};

/// The kind of a fault, which gives the status of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The request makes no sense: 400.
    BadRequest,
    /// The caller must sign in: 401.
    SignedOut,
    /// The caller may not do this: 403.
    Forbidden,
    /// There is no such thing: 404.
    Missing,
    /// The state of things does not allow it: 409.
    Refused,
    /// The server failed: 500.
    Failed,
    /// It may succeed later: 503.
    Unavailable,
}

impl FaultKind {
    /// Returns the status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::SignedOut => 401,
            Self::Forbidden => 403,
            Self::Missing => 404,
            Self::Refused => 409,
            Self::Failed => 500,
            Self::Unavailable => 503,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "This cannot be asked",
            Self::SignedOut => "Sign in first",
            Self::Forbidden => "You may not do this",
            Self::Missing => "Not found",
            Self::Refused => "Refused",
            Self::Failed => "The server failed",
            Self::Unavailable => "Not available now",
        }
    }
}

/// The reason why a page is not shown, for the one who asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// A sentence that says what was tried and what happened.
    pub message: String,
    /// Advice to the reader.
    pub hint: Option<String>,
}

impl Fault {
    /// Returns a fault with a message.
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Returns that a request makes no sense.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(FaultKind::BadRequest, message)
    }

    /// Returns that there is no such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Missing, message)
    }

    /// Returns the same fault with what the reader can do about it.
    #[must_use]
    pub fn hinting(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = kind_of(&error);
        if matches!(kind, FaultKind::Failed | FaultKind::Unavailable) {
            // The text may name paths of the server's machine.
            tracing::error!("a page cannot be shown: {error}");
            return Self::new(kind, "The server cannot read its records; its log tells more.");
        }
        // Hints of the registry name commands for a shell on the server's machine.
        let text = error.to_string();
        Self::new(kind, sentence(text.split("\nhint:").next().unwrap_or_default()))
    }
}

fn kind_of(error: &StoreError) -> FaultKind {
    use StoreError as E;
    match error {
        E::NoRun { .. } | E::NoExperiment { .. } | E::NoModel { .. } | E::NoVersion { .. } | E::NoTag { .. } => {
            FaultKind::Missing
        }
        E::Missing { .. } | E::MissingEverywhere { .. } | E::NoAlias { .. } => FaultKind::Missing,
        E::Tracking(TrackingError::NoFile { .. } | TrackingError::NoLoggedModel { .. }) => FaultKind::Missing,
        E::Search(_) | E::AmbiguousRun { .. } | E::BadRunId { .. } | E::Tracking(_) => FaultKind::BadRequest,
        E::BadKey { .. } | E::BadKeyValue { .. } | E::BadName { .. } | E::BadExperimentName { .. } => {
            FaultKind::BadRequest
        }
        E::RunRunning { .. }
        | E::ExperimentExists { .. }
        | E::ExperimentDeleted { .. }
        | E::ModelExists { .. }
        | E::NeedsPromotion { .. }
        | E::IsChampion { .. }
        | E::NoArchivedVersion { .. }
        | E::PromotionRunning { .. }
        | E::CollectionRunning { .. }
        | E::ChampionChanged { .. }
        | E::StaleVerdict { .. }
        | E::NothingToRetire { .. }
        | E::RetirementUnfinished { .. }
        | E::Deployment(_)
        | E::AliasMoved { .. }
        | E::NotApproved { .. } => FaultKind::Refused,
        E::Database { .. } => FaultKind::Unavailable,
        _ => FaultKind::Failed,
    }
}

/// Returns a fragment as a sentence.
pub(crate) fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if fragment.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
