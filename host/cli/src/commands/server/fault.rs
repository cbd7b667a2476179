//! Errors of commands, as pages and clients of the server are told them.

use stagewright_deployment::OperationError;
use stagewright_pages::PipelineFault;
use stagewright_promotion::PromotionError;
use stagewright_promotion::promote::PromoteError;
use stagewright_store::{StoreError, is_disk_full};

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Returns what a client is told of an error: that of a version that may not be promoted, and of
/// others nothing but whether to try again.
pub(super) fn fault_of(error: &anyhow::Error) -> PipelineFault {
    let kind: Kind = if let Some(error) = error.downcast_ref() {
        kind_of_promotion(error)
    } else if let Some(error) = error.downcast_ref() {
        kind_of_store(error)
    } else if let Some(error) = error.downcast_ref() {
        kind_of_destination(error)
    } else if let Some(error) = error.downcast_ref() {
        kind_of_operation(error)
    } else if let Some(error) = error.downcast_ref::<UsageError>() {
        kind_of_code(error.code)
    } else {
        PipelineFault::Failed
    };
    kind(format!("{error:#}"))
}

/// One of the kinds of faults.
type Kind = fn(String) -> PipelineFault;

fn kind_of_promotion(error: &PromoteError) -> Kind {
    match error {
        PromoteError::Destination(error) => kind_of_destination(error),
        PromoteError::Store(error) => kind_of_store(error),
        // If it is repeated, the registry may tell.
        PromoteError::InDoubt { .. } => PipelineFault::Busy,
        PromoteError::Pointer { .. } | PromoteError::Unnoted { .. } | PromoteError::Withdrawal { .. } => {
            PipelineFault::Failed
        }
    }
}

fn kind_of_store(error: &StoreError) -> Kind {
    match error {
        StoreError::NotApproved { .. }
        | StoreError::StaleVerdict { .. }
        | StoreError::NoModel { .. }
        | StoreError::NoVersion { .. }
        | StoreError::NoArchivedVersion { .. }
        | StoreError::IsChampion { .. }
        | StoreError::ChampionChanged { .. }
        | StoreError::Deployment(_)
        | StoreError::Tracking(_) => PipelineFault::Refused,
        StoreError::Io { source, .. } if is_disk_full(source) => PipelineFault::Failed,
        // Another promotion was faster, or something did not answer.
        StoreError::AliasMoved { .. }
        | StoreError::PromotionEnded { .. }
        | StoreError::NoPromotion { .. }
        | StoreError::CollectionRunning { .. }
        | StoreError::Database { .. }
        | StoreError::Io { .. }
        | StoreError::Shared { .. } => PipelineFault::Busy,
        _ => PipelineFault::Failed,
    }
}

fn kind_of_destination(error: &PromotionError) -> Kind {
    match error {
        PromotionError::Unmeasured { .. } => PipelineFault::Refused,
        PromotionError::Unreachable { .. } | PromotionError::Unanswered { .. } | PromotionError::LostRace { .. } => {
            PipelineFault::Busy
        }
        _ => PipelineFault::Failed,
    }
}

fn kind_of_operation(error: &OperationError) -> Kind {
    match error {
        OperationError::Store(error) => kind_of_store(error),
        _ => PipelineFault::Refused,
    }
}

/// Returns the kind of an error that a command finds itself. Those of what was asked are refusals.
fn kind_of_code(code: ErrorCode) -> Kind {
    match code {
        ErrorCode::Argument | ErrorCode::ChampionStays | ErrorCode::ImportedVersion => PipelineFault::Refused,
        _ => PipelineFault::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stale() -> StoreError {
        StoreError::AliasMoved { model: "churn".into(), alias: "champion".into(), expected: None, actual: Some(2) }
    }

    fn not_approved() -> StoreError {
        let (model, alias, state) = ("churn".to_owned(), "champion".to_owned(), "rejected".to_owned());
        StoreError::NotApproved { model, version: 1, alias, state }
    }

    #[test]
    fn a_client_is_told_why_a_version_is_refused_and_of_other_faults_whether_they_pass() {
        let no_bucket = || PromotionError::NoBucket { bucket: "secret".into(), endpoint: "https://inside".into() };
        let unreachable = PromotionError::Unreachable { endpoint: "https://inside".into(), problem: "refused".into() };
        for refused in [anyhow::Error::from(not_approved()), PromoteError::from(not_approved()).into()] {
            let PipelineFault::Refused(reason) = fault_of(&refused) else { panic!("{refused}") };
            assert!(reason.contains("rejected"), "{reason}");
        }
        for passing in [anyhow::Error::from(stale()), PromoteError::from(stale()).into(), unreachable.into()] {
            assert!(matches!(fault_of(&passing), PipelineFault::Busy(_)), "{passing}");
        }
        let of_operator = anyhow::anyhow!("component `a` is not allowed");
        for lasting in [no_bucket().into(), PromoteError::from(no_bucket()).into(), of_operator] {
            assert!(matches!(fault_of(&lasting), PipelineFault::Failed(_)), "{lasting}");
        }
    }
}
