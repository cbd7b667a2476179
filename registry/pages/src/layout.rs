//! The frame of every page.

use maud::{DOCTYPE, Markup, html};
use stagewright_text::Untrusted;

use crate::assets::link;
use crate::request::Request;
use crate::section::Section;
use crate::view::View;
use crate::viewer::Session;

/// Returns the document of a page.
pub(crate) fn document(view: &impl View, request: &Request<'_>) -> Markup {
    let title = view.title();
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (Untrusted::new(&title).cut(200)) " · Stagewright" }
                link rel="icon" type="image/svg+xml" href=(link("icon.svg"));
                link rel="stylesheet" href=(link("pages.css"));
                script src=(link("page.js")) defer {}
                @for name in view.scripts() { script src=(link(name)) defer {} }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header.top {
                    (navigation(view.section()))
                    (account(request))
                }
                main #content tabindex="-1" { (view.body(request)) }
                footer {
                    a href=(request.query.with("format", "json").link(request.path)) { "This page as JSON" }
                }
            }
        }
    }
}

/// Returns the links to the sections.
fn navigation(here: Section) -> Markup {
    html! {
        nav aria-label="Main" {
            a.brand href="/" { "Stagewright" }
            ul {
                @for section in Section::ALL {
                    li {
                        a href=(section.path()) aria-current=[(section == here).then_some("page")] { (section.title()) }
                    }
                }
            }
        }
    }
}

/// Returns who looks, and the way to sign out.
fn account(request: &Request<'_>) -> Markup {
    html! {
        @if let Some(name) = &request.viewer.name {
            div.account {
                span { (Untrusted::new(name).cut(80)) }
                @if request.viewer.session.is_some() {
                    form method="post" action="/logout" { (form_token(request)) button { "Sign out" } }
                }
            }
        }
    }
}

/// Returns the hidden field that every form with `method="post"` begins with.
pub(crate) fn form_token(request: &Request<'_>) -> Markup {
    html! {
        @if let Some(session) = &request.viewer.session {
            input type="hidden" name=(Session::FIELD) value=(session.form_token);
        }
    }
}
