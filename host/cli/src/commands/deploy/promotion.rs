//! The end of a deployment: the ordinary promotion of its candidate.

use stagewright_deployment::Candidate;
use stagewright_promotion::UploadReport;
use stagewright_store::{Home, Promotion};

use crate::arguments::DestinationArguments;
use crate::commands::models::promote::promote_version;
use crate::production;

/// Promotes the candidate of a deployment, if the champion is still the one that it was compared
/// with. As `models promote` does, to the location of the model's last promotion unless another one
/// is named. `quiet` shows no progress.
pub(crate) fn promote_candidate(
    home: &Home,
    candidate: &Candidate,
    destination: &DestinationArguments,
    quiet: bool,
) -> anyhow::Result<(Promotion, UploadReport)> {
    let version = home.registry.version(&candidate.model, candidate.version)?;
    let destination = production::to_write(home, Some(&candidate.model), destination)?;
    promote_version(home, &version, Some(Some(candidate.champion)), &candidate.reason, &destination, quiet)
}
