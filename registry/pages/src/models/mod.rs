//! The pages of registered models, and what can be done there.
//!
//! - [`list`]: `/models`; [`model`]: `/models/NAME`; [`version`]: `/models/NAME/VERSION`
//! - [`explained`]: card, lineage and provenance of a version, comparison of versions
//! - [`live`]: how good versions are by outcomes
//! - [`change`]: what is about to change, and the change; [`effects`]: what it would do
//! - [`version_files`]: the files of a version
//! - [`contents`]: what a pipeline registered with a version; [`parts`]: marks and links

mod change;
mod contents;
mod effects;
mod explained;
mod list;
mod live;
mod model;
pub(crate) mod parts;
#[cfg(test)]
mod tests;
mod version;
mod version_files;

use crate::route::{Level, Needs, Route};

pub(crate) use list::readable;

pub(crate) fn routes() -> Vec<Route> {
    const READ: Needs = Needs::Model(Level::Read);
    vec![
        Route::get("/models", Needs::SignedIn, list::models),
        Route::get("/models/{name}", READ, model::model),
        Route::get("/models/{name}/compare", READ, explained::compare),
        Route::get("/models/{name}/live", READ, live::live),
        Route::get("/models/{name}/decide", Needs::Model(Level::Manage), change::ask_decision),
        Route::post("/models/{name}/decide", Needs::Model(Level::Manage), change::decide).long(),
        Route::get("/models/{name}/edit", Needs::Model(Level::Edit), change::ask_edit),
        Route::post("/models/{name}/edit", Needs::Model(Level::Edit), change::edit),
        Route::get("/models/{name}/{version}", READ, version::version),
        Route::get("/models/{name}/{version}/card", READ, explained::card),
        Route::get("/models/{name}/{version}/lineage", READ, explained::lineage),
        Route::get("/models/{name}/{version}/provenance", READ, explained::provenance),
    ]
}
