//! The one place where paths are mounted.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response};
use axum::routing::{MethodFilter, get, on};

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::operation::{Route, answer};
use crate::routes;

/// The version of MLflow whose interface this is.
pub const MLFLOW_VERSION: &str = "3.17.2";

/// The places of the interface: that of clients, and that of pages.
const PREFIXES: [&str; 2] = ["/api", "/ajax-api"];

/// Returns the server's routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new()
        .route("/health", get(|| async { text("OK") }))
        .route("/version", get(|| async { text(MLFLOW_VERSION) }))
        .route("/get-artifact", get(routes::download_of_run))
        .route("/model-versions/get-artifact", get(routes::download_of_version));
    for prefix in PREFIXES {
        for route in routes::all() {
            router = mount(router, &format!("{prefix}/2.0{}", route.path), &route);
        }
        router = mount(router, &format!("{prefix}/3.0/mlflow/server-info"), &routes::SERVER_INFO);
        let artifacts = format!("{prefix}/2.0/mlflow-artifacts/artifacts");
        let file = get(routes::download).put(routes::upload).delete(routes::delete);
        router = router.route(&format!("{artifacts}/{{*path}}"), file);
    }
    router.fallback(nothing).with_state(app)
}

fn mount(router: Router<Arc<App>>, path: &str, route: &Route) -> Router<Arc<App>> {
    let what = (route.operation, route.most);
    let handler = move |app: State<Arc<App>>, path: RawPathParams, request: Request| answer(app, path, request, what);
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
/// client does not repeat a request that gets this answer.
async fn nothing(request: Request) -> Response<Body> {
    let (method, path) = (request.method(), request.uri().path());
    let message = format!("This server has no endpoint {method} {}.", stagewright_text::Untrusted::new(path).cut(200));
    MlflowError::new(ErrorCode::EndpointNotFound, message).into_response()
}

fn text(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
