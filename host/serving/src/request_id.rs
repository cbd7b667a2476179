//! The identifier of a request, which its answer has and to which an outcome refers.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The identifier of a request: a ULID, the version that answered, and the arm if several answer.
///
/// An outcome names the request that it belongs to, days later and perhaps to another server. So
/// the identifier itself says which version and arm it counts for. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// Makes the identifier of a request that arrives now.
    pub fn new(version: u32, arm: Option<&str>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        let id = ulid::Ulid::from_parts(now, fastrand::u128(..));
        Self(match arm {
            None => format!("{id}.v{version}"),
            Some(arm) => format!("{id}.v{version}.{arm}"),
        })
    }

    /// Makes the identifier of a request that no version has answered.
    pub fn unanswered() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as u64);
        Self(ulid::Ulid::from_parts(now, fastrand::u128(..)).to_string())
    }

    /// Reads an identifier: its version and its arm.
    ///
    /// ```
    /// use stagewright_serving::RequestId;
    ///
    /// let id = RequestId::new(7, Some("canary"));
    /// assert_eq!(RequestId::parse(id.as_str()), Some((7, Some("canary"))));
    /// assert_eq!(RequestId::parse("nonsense"), None);
    /// ```
    pub fn parse(text: &str) -> Option<(u32, Option<&str>)> {
        let mut parts = text.splitn(3, '.');
        parts.next().and_then(|id| ulid::Ulid::from_string(id).ok())?;
        let version = parts.next()?.strip_prefix('v')?.parse().ok()?;
        Some((version, parts.next()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}
