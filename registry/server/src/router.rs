//! The one place where paths are mounted.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::{Method, Response};
use axum::routing::{MethodFilter, on};

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::operation::{Route, answer};
use crate::page;
use crate::routes;

/// Returns the server's routes: those of [`routes::table`], and no other.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes::table() {
        for path in route.paths() {
            router = mount(router, app, &path, &route);
        }
    }
    router.fallback(nothing)
}

fn mount(router: Router, app: &Arc<App>, path: &str, route: &Route) -> Router {
    let (app, what) = (app.clone(), (Arc::new(route.needs.clone()), route.work));
    let handler = move |path: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
        let (app, what) = (app.clone(), what.clone());
        async move {
            match path {
                Ok(path) => answer(app, path, request, what).await,
                Err(_) => MlflowError::invalid("The path is not UTF-8.").into_response(),
            }
        }
    };
    router.route(path, on(filter(&route.method), handler))
}

/// Returns the filter of one of the methods that routes have.
fn filter(method: &Method) -> MethodFilter {
    match *method {
        Method::GET => MethodFilter::GET,
        Method::PATCH => MethodFilter::PATCH,
        Method::DELETE => MethodFilter::DELETE,
        Method::PUT => MethodFilter::PUT,
        _ => MethodFilter::POST,
    }
}

/// Answers what this server does not have, such as MLflow's operations on traces and prompts. A
/// client does not repeat a request that gets this answer. A browser is shown a page.
async fn nothing(request: Request) -> Response<Body> {
    if page::is_for_people(&request) {
        return page::error(MlflowError::missing("There is no such page here."), request.uri(), false);
    }
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("This server has no endpoint {method} {}.", stagewright_text::Untrusted::new(path).cut(200));
    MlflowError::new(ErrorCode::EndpointNotFound, message).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::http::header::{ACCEPT, CONTENT_TYPE};
    use tower::Service as _;

    use super::*;
    use crate::app::HttpLimits;
    use crate::operation::Work;

    /// Requests that lack everything, have the wrong types, or name what does not exist.
    const BODIES: [&str; 4] = [
        "",
        r#"{"name": [1], "run_id": {}, "experiment_id": 5, "key": true, "experiment_ids": "0", "version": [], "tags": 3}"#,
        r#"{"name": "none", "run_id": "none", "experiment_id": "77", "experiment_ids": ["77"], "key": "k", "value": "1",
            "version": "1", "alias": "a", "stage": "Production", "new_name": "b", "source": "s3://a/b",
            "metric_key": "m", "timestamp": 1, "path": "a", "status": "FINISHED", "model_json": "{}", "models": [{}]}"#,
        r#"{"name": "a\u0000b", "run_id": "\u0000", "experiment_name": "\u0000", "experiment_id": "-9223372036854775808",
            "version": "4294967296", "key": "\u0000", "value": "\u0000", "filter": "\u0000", "path": "\u0000"}"#,
    ];

    async fn status(router: &Router, method: &Method, path: &str, body: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = router.clone().call(request).await.expect("an answer");
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8(bytes.to_vec()).expect("text"))
    }

    // invariant: No request of the JSON interface is the tracking server's fault, whatever it
    // lacks.
    #[tokio::test]
    async fn whatever_a_request_lacks_is_no_fault_of_the_server() {
        let (_folder, app) = App::in_new_home(HttpLimits::default(), None);
        let router = router(&app);
        let mut seen = 0;
        for route in routes::table().into_iter().filter(|route| matches!(route.work, Work::Operation(..))) {
            for body in BODIES {
                let query =
                    if route.method == Method::GET { "?name=none&run_id=none&version=x&path=..&path=a" } else { "" };
                for path in route.paths() {
                    let path = path.replace("{model_id}", "m-0").replace("{tag_key}", "t");
                    let at = format!("{path}{query}");
                    let (status, answer) = status(&router, &route.method, &at, body).await;
                    // 501 is for what the interface has and this server does not; clients do not
                    // repeat it.
                    let is_answer = status.as_u16() < 500 || status == StatusCode::NOT_IMPLEMENTED;
                    assert!(is_answer, "{} {at} {body}: {status} {answer}", route.method);
                    assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{at}");
                    assert!(!answer.contains("ENDPOINT_NOT_FOUND"), "{at} is not mounted");
                    assert!(serde_json::from_str::<serde_json::Value>(&answer).is_ok(), "{at}: {answer}");
                    seen += 1;
                }
            }
        }
        assert!(seen > 300, "{seen}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_a_page_for_browsers_and_json_for_clients() {
        let (_folder, app) = App::in_new_home(HttpLimits::default(), None);
        let router = router(&app);
        let paths = [("/none", true), ("/api/2.0/mlflow/traces", false), ("/ajax-api/2.0/mlflow/traces", false)];
        for (path, has_page) in paths {
            let request = Request::builder().uri(path).header(ACCEPT, "text/html,*/*;q=0.8").body(Body::empty());
            let response = router.clone().call(request.expect("a request")).await.expect("an answer");
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            let media_type = response.headers()[CONTENT_TYPE].to_str().expect("text");
            assert_eq!(media_type.starts_with("text/html"), has_page, "{path}: {media_type}");
            let (_, to_client) = status(&router, &Method::GET, path, "").await;
            assert!(to_client.contains("ENDPOINT_NOT_FOUND"), "{path}: {to_client}");
        }
    }

    #[tokio::test]
    async fn a_head_of_an_answer_is_asked_for_as_the_answer() {
        let (_folder, app) = App::in_new_home(HttpLimits::default(), None);
        let router = router(&app);
        let path = "/api/2.0/mlflow/experiments/get?experiment_id=0";
        for method in [Method::GET, Method::HEAD] {
            assert_eq!(status(&router, &method, path, "").await.0, StatusCode::OK, "{method}");
        }
    }
}
