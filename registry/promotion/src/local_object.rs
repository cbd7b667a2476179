//! A local file to upload.

use std::path::PathBuf;

use stagewright_store::Digest;

/// A local file that never changes, and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalObject {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its path.
    pub path: PathBuf,
    /// The number of bytes.
    pub size: u64,
}
