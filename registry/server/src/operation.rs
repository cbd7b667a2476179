//! Operations: what a request of the JSON interface does.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method, Response};
use serde::Serialize;
use tokio::sync::SemaphorePermit;
use tokio::time::timeout;

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::request::Fields;
use crate::stream;

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
    /// The most bytes of the body, if they are fewer than those of the server.
    pub(crate) most: usize,
    pub(crate) operation: Operation,
}

impl Route {
    pub(crate) const fn new(method: Method, path: &'static str, operation: Operation) -> Self {
        Self { method, path, most: usize::MAX, operation }
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
    match perform(app, &path, request, operation, most).await {
        Ok(reply) => reply.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn perform(
    app: Arc<App>,
    path: &RawPathParams,
    request: Request,
    operation: Operation,
    most: usize,
) -> Result<Reply, MlflowError> {
    let (head, body) = request.into_parts();
    let in_path: Vec<(String, String)> = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if head.method == Method::GET {
        let mut fields = Fields::of_query(head.uri.query().unwrap_or_default());
        in_path.iter().for_each(|(name, value)| fields.set(name, value));
        let on = app.clone();
        return app.pool.run(move || operation(&on, &fields)).await;
    }
    let (bytes, _memory) = whole(&app, &head.headers, body, most).await?;
    let is_json =
        |value: &HeaderValue| value.to_str().is_ok_and(|text| text.trim_start().starts_with("application/json"));
    // A form of another site may post other types without asking first.
    if !bytes.is_empty() && !head.headers.get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(MlflowError::invalid("Bad Request. Content-Type must be one of ['application/json']."));
    }
    let on = app.clone();
    app.pool
        .run(move || {
            let mut fields = Fields::of_body(&bytes)?;
            drop(bytes);
            in_path.iter().for_each(|(name, value)| fields.set(name, value));
            operation(&on, &fields)
        })
        .await
}

/// Returns a whole body, and what it holds of the memory for bodies.
async fn whole<'a>(
    app: &'a App,
    headers: &HeaderMap,
    mut body: Body,
    most: usize,
) -> Result<(Vec<u8>, SemaphorePermit<'a>), MlflowError> {
    let most = most.min(app.limits.body_bytes);
    let too_large = |size: u64| {
        let message = format!("The body of this request has at most {most} bytes, got a request of size {size}.");
        MlflowError::new(ErrorCode::MaxBlockSizeExceeded, message)
    };
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(size) = declared.filter(|size| *size > most as u64) {
        stream::discard(&mut body, app).await;
        return Err(too_large(size));
    }
    let expected = declared.map_or(most, |size| size as usize);
    let read = async {
        let kib = u32::try_from(expected.div_ceil(1 << 10)).unwrap_or(u32::MAX);
        let memory = app.memory.acquire_many(kib).await;
        let memory = memory.map_err(|_| MlflowError::new(ErrorCode::TemporarilyUnavailable, "the server ends"))?;
        let mut bytes = Vec::with_capacity(declared.map_or(0, |size| size as usize));
        while let Some(piece) = stream::next(&mut body, app).await? {
            if bytes.len() + piece.len() > most {
                stream::discard(&mut body, app).await;
                return Err(too_large((bytes.len() + piece.len()) as u64));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok((bytes, memory))
    };
    match timeout(app.limits.body_time, read).await {
        Ok(read) => read,
        Err(_) => Err(MlflowError::new(ErrorCode::RequestTimeout, "the body of the request did not come in time")),
    }
}
