//! `POST /outcomes`: what became of requests that were answered before.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_data::{RequestFault, json_elements, json_members};
use stagewright_store::{MAX_OUTCOMES_AT_ONCE, NewOutcome};
use stagewright_text::Untrusted;

use super::json::json;
use crate::arm::Arm;
use crate::fault::PredictFault;
use crate::metrics::observed::OutcomeLabels;
use crate::outcomes::{OutcomeFault, OutcomeResult, Posted};
use crate::refusal::Refusal;
use crate::request_id::RequestId;
use crate::service::{Service, is_long, off_thread_if};

/// The member of an object that holds several outcomes.
const OUTCOMES: &str = "outcomes";

/// The bytes of an identifier's random part.
const ULID: usize = 26;

/// An outcome as it is posted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    request_id: String,
    #[serde(default)]
    label: Option<Value>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    time: Option<String>,
}

/// An outcome of a body.
struct Read {
    /// The identifier as it came, if it did.
    request_id: Option<String>,
    posted: Posted,
}

#[derive(Serialize)]
struct Answer<'a> {
    outcomes: Vec<Told<'a>>,
    recorded: usize,
    model: &'a str,
}

#[derive(Serialize)]
struct Told<'a> {
    request_id: Option<&'a str>,
    #[serde(flatten)]
    result: &'a OutcomeResult,
}

/// Records outcomes of the default model.
pub(super) async fn outcomes(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    answered(&service, None, &headers, body).await
}

/// Records outcomes of a model by its name.
pub(super) async fn outcomes_of_model(
    State(service): State<Arc<Service>>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answered(&service, Some(&model), &headers, body).await
}

async fn answered(service: &Service, model: Option<&str>, headers: &HeaderMap, body: Bytes) -> Response {
    match post(service, model, headers, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(&RequestId::unanswered()),
    }
}

async fn post(service: &Service, model: Option<&str>, headers: &HeaderMap, body: Bytes) -> Result<Response, Refusal> {
    let model = service.model(model).map_err(|fault| of_fault(&fault))?.name.clone();
    let recorder = service.outcomes().ok_or_else(no_registry)?;
    check_content_type(headers)?;
    let is_long = is_long(&body);
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let read = off_thread_if(is_long, move || read(&body, now_ms)).await;
    let read = read.map_err(|fault| of_fault(&fault))??;
    let (ids, posted): (Vec<_>, Vec<_>) = read.into_iter().map(|read| (read.request_id, read.posted)).unzip();
    let posted = Arc::new(posted);
    let results = recorder.post(&model, posted.clone()).await.map_err(|fault| of_outcome_fault(fault, &model))?;
    for (outcome, result) in posted.iter().zip(&results) {
        if let (Ok(outcome), OutcomeResult::Recorded) = (outcome, result) {
            service.metrics().observed().count_outcome(OutcomeLabels {
                model: model.clone(),
                version: outcome.version.to_string(),
                arm: outcome.arm.clone().unwrap_or_default(),
                label: outcome.label.clone().unwrap_or_default(),
            });
        }
    }
    let recorded = results.iter().filter(|result| **result == OutcomeResult::Recorded).count();
    let told = ids.iter().zip(&results).map(|(id, result)| Told { request_id: id.as_deref(), result }).collect();
    Ok(json(&Answer { outcomes: told, recorded, model: &model }))
}

fn of_fault(fault: &PredictFault) -> Refusal {
    let refusal = Refusal::new(fault.status(), fault.code(), fault.to_string());
    Refusal { hint: fault.hint().map(Into::into), is_temporary: fault.retry_after().is_some(), ..refusal }
}

fn no_registry() -> Refusal {
    let refusal = Refusal::new(
        StatusCode::NOT_IMPLEMENTED,
        "no_registry",
        "this server takes its models from a production location and has no registry that records outcomes",
    );
    Refusal { hint: Some("post to a server that follows the registry (`--from registry`)".into()), ..refusal }
}

fn of_outcome_fault(fault: OutcomeFault, model: &str) -> Refusal {
    let away = |code, message| Refusal {
        hint: Some("post the same outcomes again: of each request the first one counts".into()),
        is_temporary: true,
        ..Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
    };
    match fault {
        OutcomeFault::Busy => away("overloaded", "too many outcomes wait to be recorded"),
        OutcomeFault::Away => away("registry_away", "the registry cannot be reached now"),
        OutcomeFault::NoModel => {
            Refusal::new(StatusCode::NOT_FOUND, "no_model", format!("the registry has no model `{model}` any more"))
        }
        OutcomeFault::ReadOnly => Refusal {
            hint: Some("post to a server that may write to the registry".into()),
            ..Refusal::new(StatusCode::NOT_IMPLEMENTED, "read_only", "the registry can only be read by this server")
        },
    }
}

/// Refuses everything that is not said to be JSON: a page of a foreign site can send other types,
/// and bodies without one, to a server that asks nobody for a token.
fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("the content type `{}` is not supported", Untrusted::new(text).cut(200));
    let refusal = Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_content_type", message);
    Err(Refusal { hint: Some("send `Content-Type: application/json`".into()), ..refusal })
}

/// Reads a body: an outcome, an array of them, or an object with the array `outcomes`.
fn read(body: &[u8], now_ms: i64) -> Result<Vec<Read>, Refusal> {
    let unreadable = |message: String| Refusal {
        hint: Some("send `{\"request_id\": \"...\", \"label\": \"...\"}`, or an array of such objects".into()),
        ..Refusal::new(StatusCode::BAD_REQUEST, "unreadable_body", message)
    };
    let of_fault = |fault: RequestFault| unreadable(fault.to_string());
    let body = body.trim_ascii();
    let items = match body.first() {
        None => return Err(unreadable("the body is empty".to_owned())),
        Some(b'[') => json_elements(body).map_err(of_fault)?,
        Some(_) => {
            let members = json_members(body).map_err(of_fault)?;
            match members.iter().find(|(name, _)| name == OUTCOMES) {
                Some((_, array)) if members.len() == 1 => json_elements(array.as_bytes()).map_err(of_fault)?,
                Some(_) => return Err(unreadable("beside `outcomes` there is no other member".to_owned())),
                None => vec![std::str::from_utf8(body).map_err(|_| unreadable("the body is not UTF-8".to_owned()))?],
            }
        }
    };
    if items.len() > MAX_OUTCOMES_AT_ONCE {
        let message = format!("there are more than {MAX_OUTCOMES_AT_ONCE} outcomes");
        let refusal = Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
        return Err(Refusal { hint: Some("post them in parts".into()), ..refusal });
    }
    Ok(items.into_iter().map(|item| read_item(item, now_ms)).collect())
}

fn read_item(text: &str, now_ms: i64) -> Read {
    let invalid = |message: String| OutcomeResult::Invalid { message };
    let item: Item = match serde_json::from_str(text) {
        Ok(item) => item,
        Err(error) => {
            // What there is of an identifier helps to find the outcome.
            let id =
                serde_json::from_str::<Value>(text).ok().and_then(|it| it["request_id"].as_str().map(str::to_owned));
            let message = Untrusted::new(&error.to_string()).cut(200).to_string();
            return Read { request_id: id, posted: Err(invalid(message)) };
        }
    };
    let posted = match parse_id(&item.request_id) {
        None => Err(OutcomeResult::MalformedId),
        Some((version, arm)) => outcome(&item, version, arm, now_ms).map_err(invalid),
    };
    Read { request_id: Some(item.request_id), posted }
}

/// Reads an identifier: its version and arm. Only the form in which servers write it counts, so
/// that no request has two names.
fn parse_id(text: &str) -> Option<(u32, Option<Arm>)> {
    let (version, arm) = RequestId::parse(text)?;
    let arm = match arm {
        None => None,
        Some(name) => Some(Arm::named(name).filter(|arm| *arm != Arm::Shadow)?),
    };
    let (id, rest) = text.split_at_checked(ULID)?;
    let written = match arm.and_then(Arm::name) {
        None => format!(".v{version}"),
        Some(arm) => format!(".v{version}.{arm}"),
    };
    (rest == written && !id.bytes().any(|byte| byte.is_ascii_lowercase())).then_some((version, arm))
}

/// Returns the outcome that an item is.
///
/// # Errors
/// A message with what is wrong.
fn outcome(item: &Item, version: u32, arm: Option<Arm>, now_ms: i64) -> Result<NewOutcome, String> {
    let label = match &item.label {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        // Classes are texts; those of numbers and booleans are written alike.
        Some(value @ (Value::Number(_) | Value::Bool(_))) => Some(value.to_string()),
        Some(_) => return Err("`label` is a text, a number or a boolean".to_owned()),
    };
    if label.is_none() && item.value.is_none() {
        return Err("there is neither a `label` nor a `value`".to_owned());
    }
    let at_ms = match &item.time {
        None => now_ms,
        Some(text) => text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond).map_err(|_| {
            let shown = Untrusted::new(text).cut(100);
            format!("`{shown}` is no time: write one with its zone, such as 2026-11-29T11:00:00Z")
        })?,
    };
    let arm = arm.and_then(Arm::name).map(str::to_owned);
    Ok(NewOutcome { request_id: item.request_id.clone(), version, arm, label, value: item.value, at_ms })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "01KB6TZ7M0V3W6QK5S0J3Z6T6N";

    // invariant: A page of a foreign site cannot post outcomes to a server that asks nobody for a
    // token.
    #[test]
    fn a_form_of_a_page_is_no_outcome() {
        let of = |kind: &str| HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().expect("a header"))]);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
            assert_eq!(check_content_type(&of(kind)).unwrap_err().status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
        assert!(check_content_type(&of("application/json; charset=utf-8")).is_ok());
    }

    #[test]
    fn an_identifier_has_one_form() {
        let written = RequestId::new(12, Some("canary"));
        assert_eq!(parse_id(written.as_str()), Some((12, Some(Arm::Canary))));
        assert_eq!(parse_id(RequestId::new(1, None).as_str()), Some((1, None)));
        for other in [
            RequestId::unanswered().as_str().to_owned(),
            format!("{ID}.v01"),
            format!("{ID}.v+1"),
            format!("{}.v1", ID.to_lowercase()),
            format!("{ID}.v1."),
            format!("{ID}.v1.shadow"),
            format!("{ID}.v1.other"),
            format!("{ID}.v1.canary.more"),
            format!("{ID}.v99999999999"),
            String::new(),
        ] {
            assert_eq!(parse_id(&other), None, "{other}");
        }
    }

    #[test]
    fn a_body_is_one_outcome_or_several() {
        let one = format!(r#"{{"request_id": "{ID}.v3", "label": "Yes", "time": "2026-11-29T11:00:00+01:00"}}"#);
        let expected = NewOutcome {
            request_id: format!("{ID}.v3"),
            version: 3,
            arm: None,
            label: Some("Yes".into()),
            value: None,
            at_ms: 1_795_946_400_000,
        };
        for body in [one.clone(), format!("[{one}]"), format!(r#"{{"outcomes": [{one}]}}"#)] {
            let read = read(body.as_bytes(), 7).expect("a body");
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].posted.as_ref(), Ok(&expected));
        }
        assert_eq!(read(b"[]", 7).expect("a body").len(), 0);
        for (body, status) in [
            ("", 400),
            ("nonsense", 400),
            ("7", 400),
            (r#"{"outcomes": 7}"#, 400),
            (r#"{"outcomes": [], "model": "churn"}"#, 400),
            (&format!("[{}]", vec!["{}"; MAX_OUTCOMES_AT_ONCE + 1].join(",")), 413),
        ] {
            assert_eq!(read(body.as_bytes(), 7).err().map(|refusal| refusal.status.as_u16()), Some(status));
        }
    }

    #[test]
    fn each_outcome_is_told_what_is_wrong_with_it() {
        let item = |members: &str| read_item(&format!(r#"{{"request_id": "{ID}.v3"{members}}}"#), 7);
        let label = |members: &str| item(members).posted.expect("an outcome").label;
        assert_eq!(label(r#", "label": 1"#).as_deref(), Some("1"));
        assert_eq!(label(r#", "label": true"#).as_deref(), Some("true"));
        let value = item(r#", "value": 2.5"#).posted.expect("an outcome");
        assert_eq!((value.value, value.at_ms, value.label), (Some(2.5), 7, None));
        for (members, part) in [
            ("", "neither a `label` nor a `value`"),
            (r#", "label": null"#, "neither a `label` nor a `value`"),
            (r#", "label": []"#, "`label` is a text"),
            (r#", "value": "x""#, "invalid type"),
            (r#", "label": "Yes", "time": "yesterday""#, "`yesterday` is no time"),
            (r#", "label": "Yes", "time": "2026-11-29T11:00:00""#, "is no time"),
            (r#", "lable": "Yes""#, "unknown field `lable`"),
        ] {
            let read = item(members);
            assert_eq!(read.request_id, Some(format!("{ID}.v3")));
            match read.posted {
                Err(OutcomeResult::Invalid { message }) => assert!(message.contains(part), "{message}"),
                other => panic!("{members}: {other:?}"),
            }
        }
        assert_eq!(read_item(r#"{"request_id": "x", "label": "Yes"}"#, 7).posted, Err(OutcomeResult::MalformedId));
        assert!(matches!(read_item("7", 7), Read { request_id: None, posted: Err(OutcomeResult::Invalid { .. }) }));
    }
    proptest! {
        // invariant: Whatever is posted as outcomes is an outcome, a result for it, or an error of
        // the client.
        #[test]
        fn whatever_is_posted_is_read_or_refused(
            places in prop::collection::vec((0_usize..300, any::<u8>()), 0..4),
            tail in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            let item = format!(r#"{{"request_id": "{ID}.v3.canary", "label": "Yes", "value": 1.5}}"#);
            let mut body = format!(r#"{{"outcomes": [{item}, {item}]}}"#).into_bytes();
            let length = body.len();
            for (place, byte) in places {
                body[place % length] = byte;
            }
            body.extend(tail);
            match read(&body, 7) {
                Ok(outcomes) => prop_assert!(outcomes.len() <= MAX_OUTCOMES_AT_ONCE),
                Err(refusal) => prop_assert!(refusal.status.is_client_error()),
            }
        }
    }
}
