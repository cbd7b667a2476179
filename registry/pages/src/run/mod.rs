//! A run: its steps, metrics, files, logs and origin.
//!
//! - [`page`]: the page itself; [`read`]: the run that a path names
//! - [`steps`] and [`graph`]: the steps of a pipeline's run; [`logs`]: what they said and say
//! - [`files`]: the files; [`preview`]: the page of one; [`origin`]: where data and model come from
//!   and go to

mod files;
mod graph;
mod logs;
mod origin;
mod page;
mod preview;
mod read;
mod steps;

use crate::route::{Level, Needs, Route};

pub(crate) fn routes() -> Vec<Route> {
    let read = Needs::Run(Level::Read);
    vec![
        Route::get("/runs/{run_id}", read, page::page),
        Route::get("/runs/{run_id}/curve", read, page::curve),
        Route::stream("/runs/{run_id}/events", read, logs::events),
        Route::get("/runs/{run_id}/files/{*path}", read, preview::page),
        Route::stream("/runs/{run_id}/raw/{*path}", read, preview::raw),
    ]
}
