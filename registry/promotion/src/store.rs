//! What the logic needs of a place that holds objects: a trait with two implementations, [`Directory`](crate::Directory)
//! and [`S3`](crate::S3), and one conformance suite (`tests/conformance.rs`).
//!
//! Why not the crate `object_store`? Its promises about conditions and lost replies differ by store, and are what all
//! else rests on here: after a fault, `put` must say whether it happened.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::SystemTime;

use crate::error::PromotionError;

/// The longest pointer or manifest that is read, in bytes. A manifest names every column: 65,536 columns take a fifth of it.
pub const MAX_DOCUMENT: u64 = 32 << 20;

/// Names the content that a key had when it was read. Its text means nothing but equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(pub(crate) String);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What must hold of a key for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is there.
    Absent,
    /// The content is still the one of this etag.
    Unchanged(Etag),
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The key has these bytes, under this etag: by this write, or because they were there already.
    Written(Etag),
    /// The condition does not hold, and other bytes are there, or none. Nothing was written.
    Refused,
}

/// A key of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Relative to the destination.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// A write that was begun and neither completed nor undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The key that it was for, or the file that it left.
    pub key: String,
    /// What the store calls it.
    pub id: String,
    /// When it began, by the store's clock.
    pub started: SystemTime,
    /// Bytes, if the store tells.
    pub bytes: u64,
}

/// Takes bytes as they come, and may say that it has seen enough.
pub type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// A place that holds objects under keys. Keys are segments of letters, digits, `.`, `_` and `-`, joined by `/`;
/// implementations refuse others. Passing faults are met with new attempts within the limits of the settings.
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// What people call it: a URI without secrets.
    fn uri(&self) -> &str;

    /// Writes a file of `size` bytes under a key, whatever is there. Atomic: a reader sees what was there or all of it.
    /// `progress` is told the bytes of each piece once they are there, on the thread of the caller.
    ///
    /// # Errors
    /// If the file cannot be read or the store does not take it. What it left behind is [`Unfinished`].
    fn put_file(&self, key: &str, file: &Path, size: u64, progress: &dyn Fn(u64)) -> Result<(), PromotionError>;

    /// Writes a few bytes under a key if the condition holds. Atomic together with its condition, between all processes
    /// and machines that share the store.
    ///
    /// After a fault that hides whether the write happened, an implementer must read back: a write may not be reported
    /// as refused because it has already happened.
    ///
    /// # Errors
    /// If it is not known whether it happened, or it cannot.
    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Put, PromotionError>;

    /// Returns the bytes of a key, at once: for pointers and manifests. None if nothing is there.
    ///
    /// # Errors
    /// If the store does not give them, or there are more than [`MAX_DOCUMENT`], of which no more
    /// are then kept.
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, PromotionError>;

    /// Gives a range of the bytes of a key to `sink`, in order and each once.
    ///
    /// # Errors
    /// If the store does not give all of them; also if nothing is there, or it ends before the range.
    fn read(&self, key: &str, range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), PromotionError>;

    /// What is under a key.
    ///
    /// # Errors
    /// If the store does not say.
    fn head(&self, key: &str) -> Result<Option<StoredObject>, PromotionError>;

    /// Returns all keys that begin with `prefix`, in order of the keys.
    ///
    /// # Errors
    /// If the store does not say.
    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PromotionError>;

    /// Removes a key. Nothing there is no error.
    ///
    /// # Errors
    /// If the store does not do it.
    fn delete(&self, key: &str) -> Result<(), PromotionError>;

    /// What was begun and not completed: parts of uploads, temporary files of processes that are gone.
    ///
    /// # Errors
    /// If the store does not say.
    fn unfinished(&self) -> Result<Vec<Unfinished>, PromotionError>;

    /// Removes one of these. Gone already is no error.
    ///
    /// # Errors
    /// If the store does not do it.
    fn abort(&self, unfinished: &Unfinished) -> Result<(), PromotionError>;

    /// Removes what dead processes left, where that can be told for sure; called before every promotion. Elsewhere it waits
    /// for a collection of garbage.
    ///
    /// # Errors
    /// If the store fails.
    fn sweep(&self) -> Result<(), PromotionError> {
        Ok(())
    }
}

/// Refuses a key that is none: one that could leave the destination, or that a file system could not take.
pub(crate) fn check_key(key: &str) -> Result<&str, PromotionError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.len() <= 200 && segment.bytes().all(allowed);
    if key.split('/').all(good) {
        return Ok(key);
    }
    Err(PromotionError::BadKey { key: key.chars().take(200).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_leave_the_destination_are_refused() {
        for key in ["", "/etc", "a//b", "../b", "a/../b", "a/.", "a b", "a\\b", "a/", "é"] {
            assert!(check_key(key).is_err(), "{key}");
        }
        assert!(check_key("models/churn.v2_a-b/champion.json").is_ok());
    }
}
