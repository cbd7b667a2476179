//! Trying a webhook: an example is sent now, once, and is in no queue and no log.

use stagewright_store::{QueuedEvent, StoreError, WebhookEvent, WebhookSecret};

use crate::example::example;
use crate::message::message;
use crate::policy::WebhookPolicy;

/// The result of trying a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Whether the receiver took the example.
    pub is_success: bool,
    /// The status of the answer.
    pub status: Option<u16>,
    /// The beginning of the answer's body. It is untrusted text.
    pub body: Option<String>,
    /// Why there is no answer.
    pub error: Option<String>,
}

/// Sends an example of an event to a URL. Blocks for the timeout at most.
///
/// # Errors
/// [`StoreError::Random`].
pub fn try_webhook(
    policy: &WebhookPolicy,
    url: &str,
    secret: Option<&WebhookSecret>,
    event: WebhookEvent,
) -> Result<Trial, StoreError> {
    let none = Trial { is_success: false, status: None, body: None, error: None };
    if let Err(reason) = policy.check_url(url) {
        return Ok(Trial { error: Some(format!("Failed to test webhook: {reason}")), ..none });
    }
    let message = message(&QueuedEvent::to_try(event, example(event))?, secret);
    Ok(match policy.poster().post(url, &message.headers, &message.body) {
        Ok(answer) => {
            Trial { is_success: answer.is_success(), status: Some(answer.status), body: Some(answer.text), ..none }
        }
        Err(error) => Trial { error: Some(format!("Failed to test webhook: {error}")), ..none },
    })
}
