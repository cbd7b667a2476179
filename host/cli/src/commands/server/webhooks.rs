//! Where webhooks of the tracking server may lead: what the operator says on the command line.

use stagewright_outgoing::{AllowedAddresses, Authorities};
use stagewright_webhooks::WebhookPolicy;

use crate::arguments::WebhookArguments;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The most bytes of a file of certificate authorities.
const MAX_AUTHORITIES: u64 = 1 << 20;

pub(super) fn policy(arguments: &WebhookArguments) -> anyhow::Result<WebhookPolicy> {
    let authorities = match &arguments.authorities {
        None => None,
        Some(file) => {
            let wrong = |problem: String| {
                let hint = "name a PEM file with the certificates of your authorities";
                UsageError::error(ErrorCode::ServerFiles, format!("{}: {problem}", file.display()), hint)
            };
            let text = stagewright_store::read_regular_text(file, MAX_AUTHORITIES);
            let text = text.map_err(|error| wrong(format!("it cannot be read: {error}")))?;
            let found = Authorities::of_pem(text.as_bytes());
            Some(found.ok_or_else(|| wrong("it holds no certificate".to_owned()))?)
        }
    };
    let addresses = AllowedAddresses::and(arguments.addresses.clone());
    Ok(WebhookPolicy { addresses, authorities, ..WebhookPolicy::default() })
}
