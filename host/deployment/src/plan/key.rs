//! The part of a request that decides which arm answers it.

use serde::{Deserialize, Serialize};

use crate::error::PlanError;

/// The header that has the key unless a plan names another.
pub const DEFAULT_KEY_HEADER: &str = "x-routing-key";
/// The most bytes of a header's or a field's name.
const MAX_NAME: usize = 256;

/// The part of a request whose value decides which arm answers. Requests with the same value get
/// the same arm. A request without a value gets an arm at random.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A header of the request, by its name in small letters.
    Header(String),
    /// A field of the request's first row.
    Field(String),
}

impl Default for Key {
    fn default() -> Self {
        Self::Header(DEFAULT_KEY_HEADER.to_owned())
    }
}

impl Key {
    /// Checks the name, and turns that of a header into small letters.
    pub(super) fn checked(self) -> Result<Self, PlanError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        match self {
            Self::Header(name) if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_token) => {
                Err(PlanError::new(
                    "key.header",
                    format!("`{}` is no name of a header", stagewright_text::Untrusted::new(&name).cut(60)),
                    "write a name such as x-customer-id",
                ))
            }
            Self::Header(name) if ["authorization", "cookie"].contains(&name.to_ascii_lowercase().as_str()) => {
                Err(PlanError::new(
                    "key.header",
                    format!("`{name}` holds secrets, which change from time to time"),
                    "name a header with an identifier of the customer, or a field",
                ))
            }
            Self::Header(name) => Ok(Self::Header(name.to_ascii_lowercase())),
            Self::Field(name) if name.is_empty() || name.len() > MAX_NAME => Err(PlanError::new(
                "key.field",
                format!("a field's name has 1 to {MAX_NAME} bytes"),
                "name a field of the requests, such as customerID",
            )),
            Self::Field(name) => Ok(Self::Field(name)),
        }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header `{name}`"),
            Self::Field(name) => write!(f, "field `{}`", stagewright_text::Untrusted::new(name).cut(60)),
        }
    }
}
