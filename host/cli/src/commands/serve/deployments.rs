//! Deployments of a server that follows a registry: how it reaches the registry, and how a
//! candidate gets into production.

use stagewright_deployment::Candidate;
use stagewright_promotion::promote::PromoteError;
use stagewright_serving::{Operations, Production, PromotionFault};
use stagewright_store::StoreError;

use super::origins::open_registry;
use crate::arguments::DestinationArguments;
use crate::commands::deploy::promote_candidate;
use crate::commands::models::promote::check_components;
use crate::home::HomeLocation;

/// Returns what operators and the server itself do with deployments.
pub(super) fn operations(location: &HomeLocation) -> Operations {
    let of_registry = location.clone();
    Operations::new(Box::new(move || open_registry(&of_registry)), Box::new(InHome(location.clone())))
}

/// The way into production of a home, as `models promote` has it.
struct InHome(HomeLocation);

impl Production for InHome {
    fn admit(&self, model: &str, version: u32) -> Result<(), PromotionFault> {
        let admit = || {
            let home = self.0.existing()?;
            check_components(&home, &home.registry.version(model, version)?)
        };
        admit().map_err(|error| fault(&error))
    }

    fn promote(&self, candidate: &Candidate) -> Result<(), PromotionFault> {
        let promote = || promote_candidate(&self.0.existing()?, candidate, &DestinationArguments::default(), true);
        match promote() {
            Ok(_) => Ok(()),
            Err(error) if error.downcast_ref().is_some_and(PromoteError::is_champion) => {
                tracing::warn!("model `{}`: {error:#}", candidate.model);
                Ok(())
            }
            Err(error) => Err(fault(&error)),
        }
    }
}

/// Returns why a candidate was not promoted. It is final if the registry refused the version, and
/// did not fail.
fn fault(error: &anyhow::Error) -> PromotionFault {
    let store = error.downcast_ref().or_else(|| match error.downcast_ref() {
        Some(PromoteError::Store(error)) => Some(error),
        _ => None,
    });
    let is_final = matches!(
        store,
        Some(
            StoreError::NotApproved { .. }
                | StoreError::StaleVerdict { .. }
                | StoreError::AliasMoved { .. }
                | StoreError::NoVersion { .. }
                | StoreError::NoModel { .. }
        )
    );
    PromotionFault { reason: format!("{error:#}"), is_final }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_registry_refuses_is_final_and_a_failure_is_not() {
        let moved = || StoreError::AliasMoved {
            model: "m".into(),
            alias: "champion".into(),
            expected: Some(1),
            actual: Some(3),
        };
        let is_final = |error: anyhow::Error| fault(&error).is_final;
        assert!(is_final(moved().into()));
        assert!(is_final(PromoteError::Store(moved()).into()));
        assert!(!is_final(StoreError::ReadOnly { place: "p".into() }.into()));
        assert!(!is_final(anyhow::anyhow!("the bucket is away")));
    }
}
