//! `[trust]`: whose components a pipeline may run.
//!
//! Owns the section. The runtime checks signatures.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use stagewright_store::Digest;

use crate::reader::{Item, Section};

/// The prefix of an inline key.
const ED25519: &str = "ed25519:";

/// `[trust]`: whose components may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TrustSection {
    /// Whether a trusted key must sign every component that is named by a path.
    pub require_signature: bool,
    /// The trusted keys.
    pub trusted_keys: Vec<TrustedKey>,
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrustedKey {
    /// A PEM file.
    File(PathBuf),
    /// The key itself: `ed25519:` and 64 hex digits.
    Inline(String),
}

impl fmt::Display for TrustedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Inline(key) => formatter.write_str(key),
        }
    }
}

impl TrustSection {
    /// Returns whether the section is empty or absent.
    pub(crate) fn is_default(&self) -> bool {
        self == &Self::default()
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let require = section.get("require-signature").and_then(|item| item.boolean()).unwrap_or_default();
        let keys = section.get("trusted-keys").and_then(|item| item.array());
        let trusted: Vec<TrustedKey> = keys.iter().flatten().filter_map(read_key).collect();
        if require && keys.is_none_or(|keys| keys.is_empty()) {
            let hint = "add the public keys whose signatures count: `trusted-keys = [\"release.key.pub\"]`".to_owned();
            section.report(
                "`trust.require-signature` without a trusted key refuses every component".to_owned(),
                Some(hint),
            );
        }
        section.finish();
        Self { require_signature: require, trusted_keys: trusted }
    }
}

fn read_key(item: &Item<'_>) -> Option<TrustedKey> {
    let text = item.text()?;
    let Some(hex) = text.strip_prefix(ED25519) else { return Some(TrustedKey::File(item.resolve(text))) };
    // A key has as many hex digits as a digest.
    if Digest::from_hex(hex).is_err() {
        let hint = "write `ed25519:` and 64 lower-case hex digits, as `stagewright stage keygen` prints them, or the path of a PEM file";
        item.report_value(format!("`{}` is not a key: `{text}`", item.key), Some(hint.to_owned()));
        return None;
    }
    Some(TrustedKey::Inline(text.to_owned()))
}
