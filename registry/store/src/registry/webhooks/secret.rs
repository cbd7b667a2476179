//! Keys of webhooks' signatures. They leave the registry to sign, and for nothing else.

use std::fmt;

use crate::error::StoreError;
use crate::registry::tracking_error::TrackingError;

/// The most bytes of a secret: MLflow's limit.
const MOST: usize = 1000;

/// The key of a webhook's signature. It is neither displayed nor serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(String);

impl WebhookSecret {
    /// Creates a secret.
    ///
    /// # Errors
    /// [`TrackingError::BadWebhook`] if it is empty or longer than 1000 bytes.
    pub fn new(text: &str) -> Result<Self, StoreError> {
        if text.is_empty() || text.len() > MOST || text.contains('\0') {
            let problem = format!("the secret of a webhook has 1 to {MOST} bytes");
            return Err(TrackingError::BadWebhook { problem }.into());
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the key, for a signature.
    pub fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn stored(text: String) -> Self {
        Self(text)
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret")
    }
}
