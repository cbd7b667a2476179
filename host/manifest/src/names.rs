//! The names in a manifest.
//!
//! There are two kinds. An [`Identifier`] names a part of the pipeline (a source, a component) and
//! is as narrow as in the WIT contract. A [`Name`] is shown to people and other programs (an
//! experiment, a model): it may contain what MLflow allows and no path misreads.

use std::fmt;

use serde::Serialize;

macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

/// A lower-case ASCII letter, then lower-case ASCII letters, digits, `-` and `_`; at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Identifier(String);

text_type!(Identifier);

impl Identifier {
    /// Checks the text.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if text.starts_with(|first: char| first.is_ascii_lowercase()) && text.len() <= 64 && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err("use a lower-case letter, then lower-case letters, digits, `-` and `_`; at most 64")
        }
    }
}

/// An ASCII letter or digit, then ASCII letters, digits, `-`, `_` and `.`; at most 128 bytes. `/`,
/// `:` and `@` are excluded: they separate a model's name from its version and alias.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Name(String);

text_type!(Name);

impl Name {
    /// Checks the text.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.len() <= 128
            && text.bytes().all(allowed)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err("use a letter or digit, then letters, digits, `-`, `_` and `.`; at most 128")
        }
    }
}
