//! The runs that a request names.

use stagewright_store::Run;
use stagewright_text::Untrusted;

use crate::answer::Request;
use crate::fault::Fault;
use crate::route::Resource;
use crate::site::Site;

/// The most runs beside each other.
const MOST_RUNS: usize = 30;
/// Reads the runs of a query, which the viewer may read, in their order.
///
/// # Errors
/// There are none or too many, or one of them is none that the viewer may read.
pub(super) fn runs_of(site: &Site<'_>, request: &Request<'_>) -> Result<Vec<Run>, Fault> {
    let mut ids: Vec<&str> = Vec::new();
    for id in request.query.all("run") {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    if ids.is_empty() || ids.len() > MOST_RUNS {
        let message = format!("{} are chosen, and from 1 to {MOST_RUNS} can be compared.", ids.len());
        return Err(Fault::bad(message).hinting("Select runs in the list of runs."));
    }
    ids.into_iter().map(|id| readable(site, request, id)).collect()
}

/// Reads a run that the viewer may read.
fn readable(site: &Site<'_>, request: &Request<'_>, id: &str) -> Result<Run, Fault> {
    let run = site.registry.run(id)?;
    // A run of another's experiment is as one that does not exist.
    if request.viewer.check_read(Resource::Experiment(run.experiment_id)).is_err() {
        return Err(Fault::missing(format!("There is no run `{}`.", Untrusted::new(id).cut(40))));
    }
    Ok(run)
}
