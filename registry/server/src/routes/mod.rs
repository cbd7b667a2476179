//! The routes, by subject: the one table of what the server answers.

mod artifacts;
mod experiments;
mod fields;
mod logged_models;
mod logging;
mod login;
mod metrics;
mod model_versions;
mod opened;
mod pages;
mod parts;
mod promotion;
mod registered_models;
mod run_files;
mod runs;
mod server_info;
mod sources;
mod version_files;
mod webhooks;

use crate::operation::Route;

/// Returns every route of the server, with what each needs of its caller.
pub(crate) fn table() -> Vec<Route> {
    let subjects = [
        server_info::routes(),
        experiments::routes(),
        runs::routes(),
        logging::routes(),
        metrics::routes(),
        artifacts::routes(),
        parts::routes(),
        webhooks::routes(),
        registered_models::routes(),
        model_versions::routes(),
        logged_models::routes(),
        login::routes(),
        pages::routes(),
    ];
    subjects.into_iter().flatten().collect()
}
