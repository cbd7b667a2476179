//! The page to sign in. The server answers its form itself: a password is no page's business.

use maud::{Markup, html};
use serde::Serialize;

use crate::answer::{Answer, Request, View};
use crate::fault::Fault;
use crate::route::{Needs, Route, Section};
use crate::site::Site;

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/login", Needs::Nobody, login)]
}

#[derive(Serialize)]
struct LoginView {
    /// Why the last attempt failed.
    problem: Option<&'static str>,
    /// The path to go to afterwards.
    next: String,
}

fn login(_: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let problem = match request.query.get("problem") {
        Some("wrong") => Some("Name and password do not belong together."),
        Some("often") => Some("Too many passwords were wrong. Try again in some minutes."),
        Some("busy") => Some("The server has too much to do. Try again."),
        _ => None,
    };
    let next = request.query.get("next").unwrap_or("/").to_owned();
    Ok(Answer::page(&LoginView { problem, next }, request))
}

impl View for LoginView {
    fn title(&self) -> String {
        "Sign in".to_owned()
    }

    fn section(&self) -> Section {
        Section::Elsewhere
    }

    fn body(&self, _: &Request<'_>) -> Markup {
        html! {
            h1 { "Sign in" }
            @if let Some(problem) = self.problem { p role="alert" { span."badge bad" { (problem) } } }
            form method="post" action="/login" .login {
                input type="hidden" name="next" value=(self.next);
                p { label { "Name" input type="text" name="username" autocomplete="username" required autofocus; } }
                p { label { "Password" input type="password" name="password" autocomplete="current-password" required; } }
                p { button.main { "Sign in" } }
            }
            p { "Programs sign in with " code { "MLFLOW_TRACKING_USERNAME" } " and " code { "MLFLOW_TRACKING_PASSWORD" }
                ", or with " code { "MLFLOW_TRACKING_TOKEN" } "." }
        }
    }
}
