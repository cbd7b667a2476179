//! The pages, and what their forms post: the routes of `stagewright_pages`.

use axum::http::Method;
use stagewright_pages::{Level, Needs as PageNeeds};
use stagewright_store::Permission;

use crate::access::{Needs, Of};
use crate::operation::{Place, Route, Work};

/// Returns the routes of the pages.
pub(super) fn routes() -> Vec<Route> {
    let route = |route: stagewright_pages::Route| {
        let method = match route.method {
            stagewright_pages::Method::Get => Method::GET,
            stagewright_pages::Method::Post => Method::POST,
        };
        Route { method, place: Place::Root, path: route.path, needs: needs(route.needs), work: Work::Site(route) }
    };
    stagewright_pages::routes().into_iter().map(route).collect()
}

fn needs(needs: PageNeeds) -> Needs {
    match needs {
        PageNeeds::Nobody => Needs::Nobody,
        PageNeeds::SignedIn => Needs::Anybody,
        PageNeeds::Run(level) => Needs::of(permission(level), Of::Run),
        PageNeeds::Experiment(level) => Needs::of(permission(level), Of::Experiment("experiment_id")),
        PageNeeds::Model(level) => Needs::of(permission(level), Of::Model("name")),
        PageNeeds::Admin => Needs::Admin,
    }
}

fn permission(level: Level) -> Permission {
    match level {
        Level::Read => Permission::Read,
        Level::Edit => Permission::Edit,
        Level::Manage => Permission::Manage,
    }
}
