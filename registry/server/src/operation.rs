//! Operations: what a request of the JSON interface does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Response};
use serde::Serialize;

use crate::app::App;
use crate::json_body;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::request::Fields;

/// The most bytes of the body of an operation that names no other number.
const MOST_BODY: usize = 2 << 20;

/// The JSON of an answer.
pub(crate) struct Reply(Vec<u8>);

impl Reply {
    pub(crate) fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.0));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Returns a record as an answer.
pub(crate) fn reply(record: &impl Serialize) -> Result<Reply, MlflowError> {
    let written = serde_json::to_vec(record);
    written.map(Reply).map_err(|error| MlflowError::new(ErrorCode::InternalError, error.to_string()))
}

/// Something that a request asks for. It may block.
pub(crate) type Operation = fn(&App, &Fields) -> Result<Reply, MlflowError>;

/// An operation and its place below `/api/2.0`.
pub(crate) struct Route {
    pub(crate) method: Method,
    /// The path, such as `/mlflow/runs/create`.
    pub(crate) path: &'static str,
    /// The most bytes of the body, within those of the server.
    pub(crate) most: usize,
    pub(crate) operation: Operation,
}

impl Route {
    pub(crate) const fn new(method: Method, path: &'static str, operation: Operation) -> Self {
        Self { method, path, most: MOST_BODY, operation }
    }

    pub(crate) const fn get(path: &'static str, operation: Operation) -> Self {
        Self::new(Method::GET, path, operation)
    }

    pub(crate) const fn post(path: &'static str, operation: Operation) -> Self {
        Self::new(Method::POST, path, operation)
    }
}

/// Answers a request with an operation.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    path: RawPathParams,
    request: Request,
    (operation, most): (Operation, usize),
) -> Response<Body> {
    let in_path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    match perform(app, in_path, request, operation, most).await {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn perform(
    app: Arc<App>,
    in_path: Vec<(String, String)>,
    request: Request,
    operation: Operation,
    most: usize,
) -> Result<Reply, MlflowError> {
    let (head, mut body) = request.into_parts();
    if matches!(head.method, Method::GET | Method::HEAD) {
        let mut fields = Fields::of_query(head.uri.query().unwrap_or_default());
        in_path.iter().for_each(|(name, value)| fields.set(name, value));
        let on = app.clone();
        return app.pool.run(move || operation(&on, &fields)).await;
    }
    let (bytes, memory) = json_body::read(&app, &head.headers, &mut body, most).await?;
    let is_json =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.trim_start().starts_with("application/json"));
    // A form of another site may post other types without asking first.
    if !bytes.is_empty() && !head.headers.get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(MlflowError::invalid("Bad Request. Content-Type must be one of ['application/json']."));
    }
    let on = app.clone();
    app.pool
        .run(move || {
            // Given back when the work ends, even if the client has gone by then.
            let _memory = memory;
            let mut fields = Fields::of_body(&bytes)?;
            drop(bytes);
            in_path.iter().for_each(|(name, value)| fields.set(name, value));
            operation(&on, &fields)
        })
        .await
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use super::*;
    use crate::app::HttpLimits;

    /// How far the operation of the test has come: 1: it has begun, 2: it may end.
    static STEP: (Mutex<u8>, Condvar) = (Mutex::new(0), Condvar::new());

    fn set_step(step: u8) {
        *STEP.0.lock().expect("a step") = step;
        STEP.1.notify_all();
    }

    fn wait_for_step(step: u8) {
        let now = STEP.0.lock().expect("a step");
        let patience = Duration::from_secs(60);
        let (_now, waited) = STEP.1.wait_timeout_while(now, patience, |now| *now < step).expect("a step");
        assert!(!waited.timed_out(), "step {step} does not come");
    }

    fn waits(_: &App, _: &Fields) -> Result<Reply, MlflowError> {
        set_step(1);
        wait_for_step(2);
        reply(&())
    }

    // invariant: as `bodies_beyond_the_limits_are_refused`
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_keeps_its_memory_after_its_client_has_gone() {
        let (_folder, app) = App::in_new_home(HttpLimits::default(), None);
        let all = app.memory.available_permits();
        let body = format!("{{\"a\": \"{}\"}}", "x".repeat(1 << 20));
        let request = Request::builder().method(Method::POST).uri("/").header(CONTENT_TYPE, "application/json");
        let request = request.body(Body::from(body)).expect("a request");
        let on = app.clone();
        let client = tokio::spawn(perform(on, Vec::new(), request, waits, usize::MAX));
        tokio::task::spawn_blocking(|| wait_for_step(1)).await.expect("it has begun");
        client.abort();
        assert!(client.await.is_err_and(|ended| ended.is_cancelled()));
        assert!(app.memory.available_permits() + (1 << 10) <= all, "the memory was given back too early");
        set_step(2);
        let given_back = app.memory.acquire_many(u32::try_from(all).expect("a number"));
        let given_back = tokio::time::timeout(Duration::from_secs(60), given_back).await;
        drop(given_back.expect("the memory is given back").expect("permits"));
    }
}
