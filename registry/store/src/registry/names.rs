//! Checks of names and identifiers, and how errors quote them.

use crate::error::StoreError;
use crate::random::random_hex;
use crate::registry::tracking_error::TrackingError;

/// The alias of the version that is in production.
pub const CHAMPION: &str = "champion";

/// The owner of runs that clients log: no process, so that they end with none.
pub(super) const CLIENT: &str = "";

/// The most bytes in the name of a model or an alias.
const MAX_NAME_BYTES: usize = 128;

/// The most bytes in the name of a model that a client registers.
const MAX_CLIENT_NAME_BYTES: usize = 256;

/// The most bytes in the name of a tag, a parameter or a metric: MLflow's limit.
const MAX_TAG_NAME: usize = 250;
/// The most bytes in the value of a tag or a parameter: MLflow's limit.
const MAX_TAG_VALUE: usize = 100_000;

/// Checks the name of a model or an alias. They are identifiers, because they are parts of paths
/// and URLs.
pub(super) fn check_name(what: &'static str, name: &str) -> Result<(), StoreError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let dots = name.bytes().all(|byte| byte == b'.');
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(allowed) && !dots {
        Ok(())
    } else {
        Err(StoreError::BadName { what, name: shortened(name) })
    }
}

/// Checks the name of a model that a client registers: MLflow's rule, with an end.
pub(super) fn check_client_name(name: &str) -> Result<(), StoreError> {
    let is_odd = |letter: char| letter.is_control() || matches!(letter, '/' | ':');
    if name.trim().is_empty() || name.len() > MAX_CLIENT_NAME_BYTES || name.contains(is_odd) {
        return Err(TrackingError::BadModelName { name: shortened(name) }.into());
    }
    Ok(())
}

/// Checks the name and the value of a tag, a parameter or a metric: free text within limits.
pub(super) fn check_key(what: &'static str, name: &str, value: &str) -> Result<(), StoreError> {
    if name.is_empty() || name.len() > MAX_TAG_NAME || name.contains('\0') {
        return Err(StoreError::BadKey { what, name: shortened(name), limit: MAX_TAG_NAME });
    }
    if value.len() > MAX_TAG_VALUE || value.contains('\0') {
        return Err(StoreError::BadKeyValue { what, name: shortened(name), limit: MAX_TAG_VALUE });
    }
    Ok(())
}

/// Returns a name as errors quote it: escaped, so that it begins no line of a message, and cut.
pub(super) fn shortened(name: &str) -> String {
    stagewright_text::Untrusted::new(name).cut(200).to_string()
}

/// Returns a random identifier of 32 lower-case hex digits, the form of MLflow's.
pub(crate) fn random_id() -> Result<String, StoreError> {
    random_hex::<16>()
}
