//! Pages and their actions.

use crate::operation::Route;

/// Returns the pages, and what their forms post.
pub(super) fn routes() -> Vec<Route> {
    crate::site::routes()
}
