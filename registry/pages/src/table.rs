//! The table of all paths.

use crate::route::Route;
use crate::{asset_files, audit, deployments, experiments, login, models, overview, run, runs};

/// Returns all routes, one of each method and path.
pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(asset_files::routes());
    routes.extend(login::routes());
    routes.extend(overview::routes());
    routes.extend(models::routes());
    routes.extend(deployments::routes());
    routes.extend(audit::routes());
    routes.extend(runs::routes());
    routes.extend(run::routes());
    routes.extend(experiments::routes());
    routes
}
