//! `POST /predict`: rows in, predictions out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::Response;
use serde::Serialize;
use stagewright_data::DecodedRequest;

use super::json::json;
use crate::fault::{PredictFault, RowError};
use crate::handled::{Handled, HandledResponse};
use crate::prediction::Predictions;
use crate::protocol::Protocol;
use crate::refusal::Refusal;
use crate::service::{Answer, Failure, Service, is_long, off_thread_if};
use crate::traffic::Route;

/// The format of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFormat {
    /// JSON: one object, an array of objects, or `{"rows": [...]}`.
    Json,
    /// CSV with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// The answer to a request.
#[derive(Serialize)]
struct AnswerBody<'a> {
    predictions: Predictions<'a>,
    model: &'a str,
    version: u32,
    digest: &'a str,
    request_id: &'a str,
}

/// The answer to a request whose values do not fit the signature.
#[derive(Serialize)]
struct RowErrors<'a> {
    errors: &'a [RowError],
    more_errors: bool,
    request_id: &'a str,
}

/// A request that the server answers past its router: `POST` to `/predict`, or to
/// `/models/{model}/predict` if the name is written without escapes. Reading a row takes so little
/// that the copies and boxes of the router are a good part of a request.
///
/// The router has these paths too, for other methods and names.
pub(crate) struct Direct<'a> {
    /// The model, if it is not the default.
    model: Option<&'a str>,
}

impl<'a> Direct<'a> {
    /// Returns the request that a head begins; `None` if it is the router's.
    pub(crate) fn of(method: &Method, path: &'a str) -> Option<Self> {
        if method != Method::POST {
            return None;
        }
        if path == "/predict" {
            return Some(Self { model: None });
        }
        let model = path.strip_prefix("/models/")?.strip_suffix("/predict")?;
        let is_name = !model.is_empty() && !model.contains(['/', '%']);
        is_name.then_some(Self { model: Some(model) })
    }

    /// Answers it.
    pub(crate) async fn answer(self, service: &Service, headers: &HeaderMap, body: Bytes) -> HandledResponse {
        answer_with(service, self.model, headers, body).await
    }
}

/// Predicts with the default model.
pub(super) async fn predict(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> HandledResponse {
    answer_with(&service, None, &headers, body).await
}

/// Predicts with a model by its name.
pub(super) async fn predict_model(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> HandledResponse {
    answer_with(&service, Some(&model), &headers, body).await
}

async fn answer_with(service: &Service, model: Option<&str>, headers: &HeaderMap, body: Bytes) -> HandledResponse {
    let chosen = format(headers).and_then(|format| Ok((format, service.route(model, headers)?)));
    let (format, route) = match chosen {
        Ok(chosen) => chosen,
        Err(fault) => return refusal(Failure::unserved(fault)).into(),
    };
    let is_long = is_long(&body);
    let decode = move |route: &Route| Ok((decode(format, route, &body)?, ()));
    let found = match service.predict(route, is_long, decode).await {
        Ok((found, ())) => found,
        Err(failure) => return refusal(failure).into(),
    };
    let (version, arm, is_long) = (found.version.clone(), found.arm, found.is_long());
    let written = off_thread_if(is_long, || answer(found)).await;
    written.unwrap_or_else(|fault| refusal(Failure::of(version, arm, fault)).into())
}

fn decode(format: BodyFormat, route: &Route, body: &[u8]) -> Result<DecodedRequest, PredictFault> {
    let decoder = route.decoder();
    Ok(match format {
        BodyFormat::Json => decoder.json(body),
        BodyFormat::Csv => decoder.csv(body),
        BodyFormat::Arrow => decoder.arrow_stream(body),
    }?)
}

/// Returns the format that the content type names; JSON if there is none.
fn format(headers: &HeaderMap) -> Result<BodyFormat, PredictFault> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(BodyFormat::Json) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if is("application/json") {
        Ok(BodyFormat::Json)
    } else if is("text/csv") {
        Ok(BodyFormat::Csv)
    } else if is("application/vnd.apache.arrow.stream") {
        Ok(BodyFormat::Arrow)
    } else {
        Err(PredictFault::ContentType(stagewright_text::Untrusted::new(text).cut(200).to_string()))
    }
}

fn answer(answer: Answer) -> HandledResponse {
    let Answer { version, id, values, .. } = &answer;
    let response = json(&AnswerBody {
        predictions: Predictions { task: version.task(), values, width: version.contents.width() },
        model: &version.model,
        version: version.version,
        digest: &version.digest_text,
        request_id: id.as_str(),
    });
    HandledResponse { response, handled: Handled::answered(answer, Protocol::Native) }
}

/// Answers a request that failed.
pub(super) fn refusal(failure: Failure) -> Response {
    let handled = Handled::of_failure(&failure, Protocol::Native, failure.fault.code());
    let Failure { id, fault, .. } = failure;
    if let Some(cause) = fault.cause() {
        tracing::warn!("request {id}: {fault}: {cause}");
    }
    let mut response = match &fault {
        PredictFault::Rows { errors, is_cut } => {
            let mut response = json(&RowErrors { errors, more_errors: *is_cut, request_id: id.as_str() });
            *response.status_mut() = fault.status();
            response
        }
        fault => {
            let mut refusal = Refusal::new(fault.status(), fault.code(), fault.to_string());
            refusal.hint = fault.hint().map(Into::into);
            refusal.is_temporary = fault.retry_after().is_some();
            refusal.answer(&id)
        }
    };
    response.extensions_mut().insert(handled);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posts_to_the_two_paths_are_answered_directly() {
        let model = |method, path| Direct::of(&method, path).map(|direct| direct.model.map(str::to_owned));
        assert_eq!(model(Method::POST, "/predict"), Some(None));
        assert_eq!(model(Method::POST, "/models/churn/predict"), Some(Some("churn".to_owned())));
        assert_eq!(model(Method::POST, "/models/models/predict"), Some(Some("models".to_owned())));
        for others in [
            "/",
            "/predict/",
            "/models/predict",
            "/models//predict",
            "/models/a/b/predict",
            "/models/a%2Fb/predict",
            "/models/churn",
            "/models/churn/predict/",
            "/v2/models/churn/predict",
        ] {
            assert_eq!(model(Method::POST, others), None, "{others}");
        }
        assert_eq!(model(Method::GET, "/predict"), None);
        assert_eq!(model(Method::OPTIONS, "/models/churn/predict"), None);
    }
}
