//! The paths of the pages, and what a caller needs for each.

use crate::answer::{Answer, Request};
use crate::{assets, experiments, login, run, runs};
use crate::fault::Fault;
use crate::site::Site;

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To look, which changes nothing.
    Get,
    /// To send a form. The answer leads to a page.
    Post,
}

/// What somebody may do with a resource; each level has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Look at it.
    Read,
    /// Change it.
    Edit,
    /// Delete it, promote it, decide about it.
    Manage,
}

/// A thing that rights are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The experiment with this number, and its runs.
    Experiment(i64),
    /// The registered model with this name, and its versions.
    Model(&'a str),
}

/// What a route needs of its caller, before its function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, not even an account: assets and the page to sign in.
    Nobody,
    /// An account. The function shows what its [`Viewer`](crate::Viewer) may read.
    SignedIn,
    /// A level of the experiment of the run that `{run_id}` in the path names.
    Run(Level),
    /// A level of the experiment that `{experiment_id}` in the path names.
    Experiment(Level),
    /// A level of the model that `{name}` in the path names.
    Model(Level),
    /// The right to everything.
    Admin,
}

/// A function that answers.
pub type Handler = fn(&Site<'_>, &Request<'_>) -> Result<Answer, Fault>;

/// A path and who answers it. The function may block.
#[derive(Clone, Copy)]
pub struct Route {
    /// How it is asked.
    pub method: Method,
    /// The path, with names of its variable parts: `/runs/{run_id}`.
    pub path: &'static str,
    /// What the caller needs.
    pub needs: Needs,
    /// Whether the answer may take long to send, so that a caller has a bounded number of it.
    pub is_stream: bool,
    /// Who answers.
    pub handler: Handler,
}

impl Route {
    /// Returns a route to a page.
    pub const fn get(path: &'static str, needs: Needs, handler: Handler) -> Self {
        Self { method: Method::Get, path, needs, is_stream: false, handler }
    }

    /// Returns a route to a file, or to events as they happen.
    pub const fn stream(path: &'static str, needs: Needs, handler: Handler) -> Self {
        Self { method: Method::Get, path, needs, is_stream: true, handler }
    }

    /// Returns a route that takes a form.
    pub const fn post(path: &'static str, needs: Needs, handler: Handler) -> Self {
        Self { method: Method::Post, path, needs, is_stream: false, handler }
    }
}

/// Returns all routes, one of each method and path.
pub fn routes() -> Vec<Route> {
    let mut routes = Vec::new();
    routes.extend(assets::routes());
    routes.extend(login::routes());
    routes.extend(crate::overview::routes());
    routes.extend(crate::models::routes());
    routes.extend(crate::deployments::routes());
    routes.extend(crate::audit::routes());
    routes.extend(runs::routes());
    routes.extend(run::routes());
    routes.extend(experiments::routes());
    routes
}

/// A place in the navigation, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What is in production.
    Overview,
    /// Runs.
    Runs,
    /// Registered models.
    Models,
    /// Experiments.
    Experiments,
    /// Deployments.
    Deployments,
    /// Changes of models.
    Audit,
    /// A page that is in none of them.
    Elsewhere,
}

impl Section {
    /// Those that are shown, where a page has their path.
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Runs, Self::Models, Self::Experiments, Self::Deployments, Self::Audit];

    /// Returns the text of its link.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Runs => "Runs",
            Self::Models => "Models",
            Self::Experiments => "Experiments",
            Self::Deployments => "Deployments",
            Self::Audit => "Audit",
            Self::Elsewhere => "",
        }
    }

    /// Returns the path of its page.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Overview | Self::Elsewhere => "/",
            Self::Runs => "/runs",
            Self::Models => "/models",
            Self::Experiments => "/experiments",
            Self::Deployments => "/deployments",
            Self::Audit => "/audit",
        }
    }
}
