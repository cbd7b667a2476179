//! The paths of the pages, and what a caller needs for each.

use crate::answer::{Answer, Request};
use crate::fault::Fault;
use crate::site::Site;

pub(crate) use crate::access::{Level, Resource};
pub(crate) use crate::section::Section;

/// A way to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To look, which changes nothing.
    Get,
    /// To send a form. The answer leads to a page.
    Post,
}

/// The needs of a route of its caller, before its function is called.
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
    /// The needs of its caller.
    pub needs: Needs,
    /// Whether the answer may take long to send, so that a caller has a bounded number of it.
    pub is_stream: bool,
    /// Whether the answer may take long to make, so that a few are made at once.
    pub is_long: bool,
    /// Who answers.
    pub handler: Handler,
}

impl Route {
    /// Returns a route to a page.
    pub const fn get(path: &'static str, needs: Needs, handler: Handler) -> Self {
        Self { method: Method::Get, path, needs, is_stream: false, is_long: false, handler }
    }

    /// Returns a route to a file, or to events as they happen.
    pub const fn stream(path: &'static str, needs: Needs, handler: Handler) -> Self {
        Self { method: Method::Get, path, needs, is_stream: true, is_long: false, handler }
    }

    /// Returns a route that takes a form.
    pub const fn post(path: &'static str, needs: Needs, handler: Handler) -> Self {
        Self { method: Method::Post, path, needs, is_stream: false, is_long: false, handler }
    }

    /// Returns the same route, whose answer may take long to make.
    pub const fn long(self) -> Self {
        Self { is_long: true, ..self }
    }
}
