//! Promotions that clients of the tracking server ask for: those of `models promote`.

use stagewright_promotion::PromotionError;
use stagewright_promotion::promote::PromoteError;
use stagewright_server::{Promote, PromotionFault};
use stagewright_store::{StoreError, is_disk_full};

use crate::arguments::DestinationArguments;
use crate::commands::models::promote::promote_version;
use crate::home::HomeLocation;
use crate::production;

/// The reason that the audit names.
const REASON: &str = "by an MLflow client";

/// Returns the way into production of a home: the place of the model's last promotion.
pub(super) fn into_production(location: HomeLocation) -> Box<Promote> {
    let promote = move |model: &str, version: u32| {
        let home = location.existing()?;
        let version = home.registry.version(model, version)?;
        let destination = production::to_write(&home, Some(model), &DestinationArguments::default())?;
        promote_version(&home, &version, None, REASON, &destination, true).map(drop)
    };
    Box::new(move |model, version| match promote(model, version) {
        Ok(()) => Ok(()),
        // The version is champion; what remains is done by the next promotion.
        Err(error) if error.downcast_ref().is_some_and(PromoteError::is_champion) => {
            tracing::warn!("model `{model}`: {error:#}");
            Ok(())
        }
        Err(error) => Err(fault_of(&error)),
    })
}

/// Returns what a client is told of an error: that of a version that may not be promoted, and of
/// others nothing but whether to try again.
fn fault_of(error: &anyhow::Error) -> PromotionFault {
    let kind: Kind = match (error.downcast_ref(), error.downcast_ref(), error.downcast_ref()) {
        (Some(error), _, _) => kind_of_promotion(error),
        (None, Some(error), _) => kind_of_store(error),
        (None, None, Some(error)) => kind_of_destination(error),
        (None, None, None) => PromotionFault::Failed,
    };
    kind(format!("{error:#}"))
}

/// One of the kinds of faults.
type Kind = fn(String) -> PromotionFault;

fn kind_of_promotion(error: &PromoteError) -> Kind {
    match error {
        PromoteError::Destination(error) => kind_of_destination(error),
        PromoteError::Store(error) => kind_of_store(error),
        // If it is repeated, the registry may tell.
        PromoteError::InDoubt { .. } => PromotionFault::Busy,
        PromoteError::Pointer { .. } | PromoteError::Unnoted { .. } | PromoteError::Withdrawal { .. } => {
            PromotionFault::Failed
        }
    }
}

fn kind_of_store(error: &StoreError) -> Kind {
    match error {
        StoreError::NotApproved { .. }
        | StoreError::StaleVerdict { .. }
        | StoreError::NoModel { .. }
        | StoreError::NoVersion { .. }
        | StoreError::Tracking(_) => PromotionFault::Refused,
        StoreError::Io { source, .. } if is_disk_full(source) => PromotionFault::Failed,
        // Another promotion was faster, or something did not answer.
        StoreError::AliasMoved { .. }
        | StoreError::PromotionEnded { .. }
        | StoreError::NoPromotion { .. }
        | StoreError::CollectionRunning { .. }
        | StoreError::Database { .. }
        | StoreError::Io { .. }
        | StoreError::Shared { .. } => PromotionFault::Busy,
        _ => PromotionFault::Failed,
    }
}

fn kind_of_destination(error: &PromotionError) -> Kind {
    match error {
        PromotionError::Unmeasured { .. } => PromotionFault::Refused,
        PromotionError::Unreachable { .. } | PromotionError::Unanswered { .. } | PromotionError::LostRace { .. } => {
            PromotionFault::Busy
        }
        _ => PromotionFault::Failed,
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
            let PromotionFault::Refused(reason) = fault_of(&refused) else { panic!("{refused}") };
            assert!(reason.contains("rejected"), "{reason}");
        }
        for passing in [anyhow::Error::from(stale()), PromoteError::from(stale()).into(), unreachable.into()] {
            assert!(matches!(fault_of(&passing), PromotionFault::Busy(_)), "{passing}");
        }
        let of_operator = anyhow::anyhow!("component `a` is not allowed");
        for lasting in [no_bucket().into(), PromoteError::from(no_bucket()).into(), of_operator] {
            assert!(matches!(fault_of(&lasting), PromotionFault::Failed(_)), "{lasting}");
        }
    }
}
