//! The interface to a store of objects: a trait with two implementations,
//! [`Directory`](crate::Directory) and [`S3`](crate::S3), and one conformance suite
//! (`tests/conformance.rs`).
//!
//! Why not the crate `object_store`? Its guarantees about conditions and lost replies differ by
//! store, and everything here depends on them: after a fault, `put` must determine whether the
//! write happened.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::SystemTime;

use crate::error::PromotionError;

/// The most bytes of a pointer or manifest. A manifest names every column: 65,536 columns take a
/// fifth of it.
pub const MAX_DOCUMENT: u64 = 32 << 20;

/// Identifies the content of a key at the time of a read. Its text has no meaning except equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Etag(pub(crate) String);

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The condition of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key does not exist.
    Absent,
    /// The content still has this etag.
    Unchanged(Etag),
}

/// The result of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// The key has these bytes, under this etag, by this write or from before.
    Written(Etag),
    /// The condition does not hold, and the key has other bytes or does not exist. Nothing was
    /// written.
    Refused,
}

/// An object in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    /// Its key, relative to the destination.
    pub key: String,
    /// The number of bytes.
    pub size: u64,
    /// When it was written, by the store's clock.
    pub modified: SystemTime,
}

/// A write that was begun and neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its key, or the file that it left.
    pub key: String,
    /// The store's identifier of it.
    pub id: String,
    /// When it began, by the store's clock.
    pub started: SystemTime,
    /// The number of bytes, if the store reports it.
    pub bytes: u64,
}

/// A callback for the bytes of an object, in order. It breaks if it needs no more.
pub type Sink<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// A place that holds objects under keys. Keys are segments of letters, digits, `.`, `_` and `-`,
/// joined by `/`; implementations refuse others. They retry after passing faults, within the limits
/// of the settings.
pub trait ObjectStore: fmt::Debug + Send + Sync {
    /// Returns the URI without secrets, for messages.
    fn uri(&self) -> &str;

    /// Writes a file of `size` bytes under a key, replacing what is there. Atomic: a reader sees
    /// the old content or all of the new. Calls `progress` on the caller's thread with the bytes of
    /// each piece that has arrived.
    ///
    /// # Errors
    /// Those of reading the file and of the store. What remains of the write is [`Unfinished`].
    fn put_file(&self, key: &str, file: &Path, size: u64, progress: &dyn Fn(u64)) -> Result<(), PromotionError>;

    /// Writes a few bytes under a key if the condition holds. Atomic together with its condition,
    /// among all processes and machines that share the store.
    ///
    /// After a fault that hides whether the write happened, an implementation must read back: a
    /// write must not be reported as refused because it has already happened.
    ///
    /// # Errors
    /// If the write failed, or it is unknown whether it happened.
    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Put, PromotionError>;

    /// Returns all bytes of a key and its etag, for pointers and manifests; `None` if it does not
    /// exist.
    ///
    /// # Errors
    /// Those of the store; also if there are more than [`MAX_DOCUMENT`] bytes, of which no more are
    /// read.
    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, PromotionError>;

    /// Passes a range of the bytes of a key to `sink`, in order, each once.
    ///
    /// # Errors
    /// Those of the store; also if the key does not exist, or ends before the range.
    fn read(&self, key: &str, range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), PromotionError>;

    /// Returns the object under a key without its bytes, if it exists.
    ///
    /// # Errors
    /// Those of the store.
    fn head(&self, key: &str) -> Result<Option<StoredObject>, PromotionError>;

    /// Returns all objects whose keys begin with `prefix`, in order of the keys.
    ///
    /// # Errors
    /// Those of the store.
    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PromotionError>;

    /// Removes a key. It is not an error if it does not exist.
    ///
    /// # Errors
    /// Those of the store.
    fn delete(&self, key: &str) -> Result<(), PromotionError>;

    /// Returns the writes that were begun and not completed: parts of uploads, temporary files of
    /// dead processes.
    ///
    /// # Errors
    /// Those of the store.
    fn unfinished(&self) -> Result<Vec<Unfinished>, PromotionError>;

    /// Removes an unfinished write. It is not an error if it does not exist.
    ///
    /// # Errors
    /// Those of the store.
    fn abort(&self, unfinished: &Unfinished) -> Result<(), PromotionError>;

    /// Removes what dead processes left, if the store can tell. Called before every promotion.
    /// Otherwise garbage collection removes it.
    ///
    /// # Errors
    /// Those of the store.
    fn sweep(&self) -> Result<(), PromotionError> {
        Ok(())
    }
}

/// Refuses a key that could lead out of the destination or that a file system could not hold.
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
