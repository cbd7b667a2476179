//! `GET /docs`: a page to try the interface in a browser.
//!
//! It needs no other server. The page itself says nothing about a model: its script builds the form
//! from `/openapi.json`, with the token that the reader enters where the server asks for one. Texts
//! of a model become text nodes and values of inputs, never markup, and the content security policy
//! lets no other script run.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY};
use axum::http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use maud::{DOCTYPE, html};

use crate::service::Service;

const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");

/// Everything comes from this server, nothing is inline, and no other page embeds this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the routes.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/docs", get(|| async { secured("text/html; charset=utf-8", page()) }))
        .route("/docs/page.js", get(|| async { secured("text/javascript; charset=utf-8", SCRIPT.to_owned()) }))
        .route("/docs/page.css", get(|| async { secured("text/css; charset=utf-8", STYLE.to_owned()) }))
}

fn secured(content_type: &'static str, body: String) -> Response {
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}

/// Returns the frame of the page, which its script fills.
fn page() -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Stagewright predictions" }
                // An empty icon: browsers ask for one otherwise.
                link rel="icon" href="data:,";
                link rel="stylesheet" href="docs/page.css";
                script defer src="docs/page.js" {}
            }
            body {
                header {
                    h1 { "Stagewright predictions" }
                    p { a href="openapi.json" { "openapi.json" } }
                }
                noscript { p class="notice" { "This page needs JavaScript. The interface is described in openapi.json." } }
                p id="notice" class="notice" role="alert" hidden {}
                form id="access" hidden {
                    label for="token" { "Token" }
                    input id="token" type="password" autocomplete="off" spellcheck="false";
                    button type="submit" { "Use" }
                }
                main id="main" hidden {
                    section class="model" {
                        label for="model" hidden { "Model" }
                        select id="model" hidden {}
                        h2 id="name" {}
                        span id="version" class="badge" {}
                        code id="digest" title="SHA-256 of the version's contents" {}
                    }
                    div class="columns" {
                        form id="row" autocomplete="off" novalidate {
                            div id="features" {}
                            div class="actions" {
                                button id="predict" type="submit" class="primary" { "Predict" }
                                button id="example" type="button" { "Fill in the example" }
                            }
                        }
                        aside {
                            section {
                                h3 { "Answer" }
                                div id="answer" aria-live="polite" { p class="muted" { "Press Predict." } }
                                details id="raw" hidden { summary { "JSON" } pre { code id="json" {} } }
                            }
                            section {
                                div class="title" {
                                    h3 { "Command" }
                                    button id="copy" type="button" { "Copy" }
                                }
                                pre { code id="curl" {} }
                            }
                        }
                    }
                }
            }
        }
    }
    .into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_no_other_server_and_has_nothing_inline() {
        let page = page();
        for text in [&page, SCRIPT, STYLE] {
            assert!(!text.contains("://"), "an address");
        }
        for inline in ["<style", " style=", " onclick", "javascript:"] {
            assert!(!page.contains(inline), "{inline}");
        }
        assert!(page.contains("<script defer src=\"docs/page.js\"></script>"));
        // Ways from a text to markup or code.
        for way in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("] {
            assert!(!SCRIPT.contains(way), "{way}");
        }
    }

    #[test]
    fn the_policy_forbids_all_but_the_server_itself() {
        let response = secured("text/html", page());
        let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
