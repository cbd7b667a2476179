//! An event as a request: the body, the headers and the signature that MLflow's server sends.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stagewright_outgoing::mac;
use stagewright_store::{QueuedEvent, WebhookSecret};

/// The headers of a request, and its body.
pub(crate) struct Message {
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

/// Returns an event as it is sent now.
pub(crate) fn message(event: &QueuedEvent, secret: Option<&WebhookSecret>) -> Message {
    let (entity, action) = event.event_name.split_once('.').unwrap_or((&event.event_name, ""));
    let at = jiff::Timestamp::from_millisecond(event.at_ms).unwrap_or_default();
    let body = serde_json::json!({
        "entity": entity,
        "action": action,
        // As Python's `isoformat` writes it.
        "timestamp": at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string(),
        "data": event.data,
    });
    let body = body.to_string().into_bytes();
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut headers = vec![
        ("Content-Type", "application/json".to_owned()),
        ("X-MLflow-Delivery-Id", event.delivery_id.clone()),
        ("X-MLflow-Timestamp", seconds.to_string()),
    ];
    if let Some(secret) = secret {
        headers.push(("X-MLflow-Signature", signature(secret.bytes(), &event.delivery_id, seconds, &body)));
    }
    Message { headers, body }
}

/// Returns the signature of a body, as the header `X-MLflow-Signature` has it: `v1,` and the base64
/// of HMAC-SHA-256 over the delivery's id, the time in seconds since the epoch, and the body, with
/// dots between them.
///
/// ```
/// let signed = stagewright_webhooks::signature(b"secret", "d1", 1_790_000_000, b"{}");
/// assert!(signed.starts_with("v1,") && signed.len() == 47);
/// assert_ne!(signed, stagewright_webhooks::signature(b"secret", "d2", 1_790_000_000, b"{}"));
/// ```
pub fn signature(secret: &[u8], delivery_id: &str, seconds: u64, body: &[u8]) -> String {
    let digest = mac(secret, &[format!("{delivery_id}.{seconds}.").as_bytes(), body]);
    format!("v1,{}", STANDARD.encode(digest))
}

#[cfg(test)]
mod tests {
    use stagewright_store::WebhookEvent;

    use super::*;

    /// By MLflow 3.17.2:
    /// `_generate_hmac_signature("0123456789abcdef", "4f1c", "1790000000", '{"a": 1}')`.
    #[test]
    fn the_signature_is_that_of_mlflow() {
        let signed = signature(b"0123456789abcdef", "4f1c", 1_790_000_000, br#"{"a": 1}"#);
        assert_eq!(signed, "v1,kRiILB3iZDF9oQCoejfPyqXyPWyIVUQIp5GBafew4wU=");
    }

    #[test]
    fn a_message_has_the_members_and_headers_of_mlflow() {
        let data = serde_json::json!({ "name": "churn", "tags": {}, "description": "" });
        let event = QueuedEvent::to_try(WebhookEvent::MODEL_CREATED, data.clone()).expect("an event");
        let unsigned = message(&event, None);
        let names: Vec<&str> = unsigned.headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["Content-Type", "X-MLflow-Delivery-Id", "X-MLflow-Timestamp"]);
        let body: serde_json::Value = serde_json::from_slice(&unsigned.body).expect("JSON");
        assert_eq!((body["entity"].as_str(), body["action"].as_str()), (Some("registered_model"), Some("created")));
        assert_eq!(body["data"], data);
        let time = body["timestamp"].as_str().expect("a time");
        assert!(time.len() == 32 && time.ends_with("+00:00"), "{time}");
        let secret = WebhookSecret::new("key").expect("a secret");
        let signed = message(&event, Some(&secret));
        assert!(signed.headers.iter().any(|(name, value)| *name == "X-MLflow-Signature" && value.starts_with("v1,")));
    }
}
