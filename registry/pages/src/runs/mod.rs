//! The list of runs, and the comparison of some of them.
//!
//! - [`table`]: the search and its table; [`columns`]: which columns it has, and the names that may
//!   be chosen
//! - [`compare`]: several runs beside each other; [`curves`]: their metrics over steps
//! - [`scope`] and [`chosen`]: the experiments and the runs that a request names

mod chosen;
mod columns;
mod compare;
mod curves;
mod scope;
mod table;

use crate::route::{Needs, Route};

pub(crate) use curves::{Curve, chart, curve_of_run};
pub(crate) use table::{RunItem, item, run_table, status};

pub(crate) fn routes() -> Vec<Route> {
    vec![
        Route::get("/runs", Needs::SignedIn, table::page),
        Route::get("/runs/names", Needs::SignedIn, columns::names),
        Route::get("/runs/compare", Needs::SignedIn, compare::page),
        Route::get("/runs/curves", Needs::SignedIn, curves::curves),
    ]
}
