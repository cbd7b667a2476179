//! A place where the tables are not what the audit says.

use std::fmt;

use serde::Serialize;

/// A part of a model, a version or a verdict that differs from what the audit says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AuditDifference {
    /// The model.
    pub model: String,
    /// The version, if it is about one.
    pub version: Option<u32>,
    /// The part: `stage`, `metrics`, `verdict 2: record`, ...; `model` or `version` if the
    /// difference is whether it exists.
    pub what: String,
    /// The state by the audit: a text, or the digest of rows; `None`: it should not exist.
    pub expected: Option<String>,
    /// The state in the tables; `None`: it does not exist.
    pub found: Option<String>,
}

impl fmt::Display for AuditDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |text: &Option<String>| match text {
            Some(text) => format!("`{text}`"),
            None => "not there".to_owned(),
        };
        write!(f, "model `{}`", self.model)?;
        if let Some(version) = self.version {
            write!(f, ", version {version}")?;
        }
        write!(f, ": `{}` is {}, the audit says {}", self.what, said(&self.found), said(&self.expected))
    }
}
