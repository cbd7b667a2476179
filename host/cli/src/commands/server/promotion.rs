//! Promotions that clients of the tracking server ask for: those of `models promote`.

use stagewright_promotion::promote::PromoteError;
use stagewright_server::Promote;

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
        Err(error) => Err(format!("{error:#}")),
    })
}
