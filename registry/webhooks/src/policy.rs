//! Where events may go, and for how long a receiver may take.

use std::time::Duration;

use stagewright_outgoing::{AllowedAddresses, Authorities, Poster, PosterOptions, check_url};

/// The operator's settings of webhooks.
#[derive(Clone, Debug)]
pub struct WebhookPolicy {
    /// The addresses that may be reached.
    pub addresses: AllowedAddresses,
    /// The certificate authorities; `None`: Mozilla's.
    pub authorities: Option<Authorities>,
    /// The time of an attempt.
    pub timeout: Duration,
}

impl Default for WebhookPolicy {
    fn default() -> Self {
        Self { addresses: AllowedAddresses::default(), authorities: None, timeout: Duration::from_secs(10) }
    }
}

impl WebhookPolicy {
    /// Checks a URL that a user names.
    ///
    /// # Errors
    /// The reason, in words for the user.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        check_url(url, &self.addresses)
    }

    pub(crate) fn poster(&self) -> Poster {
        Poster::new(PosterOptions {
            timeout: self.timeout,
            authorities: self.authorities.clone(),
            addresses: Some(self.addresses.clone()),
        })
    }
}
