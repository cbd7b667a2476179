//! Objects of a bucket that others wrote, as sources of data.

use std::fmt;

use crate::error::PromotionError;

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceObject {
    /// Its whole key.
    pub key: String,
    /// The number of bytes.
    pub size: u64,
    /// The ETag, with its quotes. It says whether the object changed. It is not a digest: each
    /// store makes it in its own way.
    pub etag: String,
    /// The version, if the bucket has versions and the store has told it. A listing does not.
    pub version: Option<String>,
    /// When it was written, in milliseconds since the epoch by the store's clock, if it says so.
    pub modified: Option<i64>,
}

/// The reason why objects could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceObjectError {
    /// The caller waits no longer.
    #[error("stopped")]
    Stopped,
    /// There are more objects than are allowed.
    #[error("more than {most} objects")]
    TooMany {
        /// The most that are allowed.
        most: usize,
    },
    /// The credentials or the settings are unfit.
    #[error(transparent)]
    Settings(#[from] PromotionError),
    /// The store or the network refused or failed.
    #[error("{message}\nhint: {hint}")]
    Store {
        /// `s3://BUCKET/KEY` of what was asked for.
        uri: String,
        /// The refusal or the failure.
        message: String,
        /// A hint.
        hint: String,
    },
    /// The caller's receiver failed.
    #[error("{0}")]
    Receiver(String),
}

/// A part of an object, in order.
#[derive(Debug)]
pub enum ObjectPart<'a> {
    /// The next object begins.
    Begin(&'a SourceObject),
    /// Bytes of it.
    Bytes(&'a [u8]),
    /// It is complete. It has a version now, if the bucket has versions.
    End(&'a SourceObject),
}

/// Receives objects. An error ends the reading.
pub type ObjectReceiver<'a> = dyn FnMut(ObjectPart<'_>) -> Result<(), String> + 'a;

/// Whether the caller waits no longer.
pub type Stop<'a> = &'a dyn Fn() -> bool;

/// A bucket whose objects are read as a source, whatever their keys.
pub trait SourceObjects: fmt::Debug + Send + Sync {
    /// Returns the store for records and messages: an address, or AWS and its region.
    fn endpoint(&self) -> &str;

    /// Returns the object under a key.
    ///
    /// # Errors
    /// [`SourceObjectError`], also if there is none.
    fn look_up(&self, key: &str, stop: Stop<'_>) -> Result<SourceObject, SourceObjectError>;

    /// Returns all objects whose keys begin with a prefix, at most `most`, in byte order of the
    /// keys.
    ///
    /// # Errors
    /// [`SourceObjectError`].
    fn list(&self, prefix: &str, most: usize, stop: Stop<'_>) -> Result<Vec<SourceObject>, SourceObjectError>;

    /// Reads objects in order, and passes their bytes on.
    ///
    /// # Errors
    /// [`SourceObjectError`], also if an object is no longer the one that was listed.
    fn read(
        &self,
        objects: &[SourceObject],
        stop: Stop<'_>,
        receive: &mut ObjectReceiver<'_>,
    ) -> Result<(), SourceObjectError>;
}
