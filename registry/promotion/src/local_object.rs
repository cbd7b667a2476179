//! A local file that is uploaded.

use std::path::PathBuf;

use stagewright_store::Digest;

/// A local file that never changes, and the digest that it should have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalObject {
    /// Of its bytes.
    pub digest: Digest,
    /// Where it is.
    pub path: PathBuf,
    /// How many bytes it has.
    pub size: u64,
}
