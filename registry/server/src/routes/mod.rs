//! The operations, by subject.

mod artifacts;
mod experiments;
mod fields;
mod logged_models;
mod logging;
mod metrics;
mod model_versions;
mod promotion;
mod registered_models;
mod run_files;
mod runs;
mod server_info;
mod sources;

use crate::operation::Route;

pub(crate) use artifacts::{
    delete, download, download_of_logged_model, download_of_run, download_of_version, upload, upload_of_run,
};
pub(crate) use server_info::SERVER_INFO;

/// Returns all operations of the JSON interface below `/api/2.0`.
pub(crate) fn all() -> impl Iterator<Item = Route> {
    experiments::routes()
        .into_iter()
        .chain(runs::routes())
        .chain(logging::routes())
        .chain(metrics::routes())
        .chain(artifacts::routes())
        .chain(registered_models::routes())
        .chain(model_versions::routes())
        .chain(logged_models::routes())
}
