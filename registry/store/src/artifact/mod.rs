//! Artifacts: what stages make, stored once under the digest of its content.
//!
//! A store is one flat directory: `<hex>.table`, `<hex>.blob`, `<hex>.document`. Flat, because
//! publication flushes every directory that it touches. Artifacts are written under `staging/` and
//! appear by a rename. A file under a digest never changes afterwards, so that readers need no lock
//! and may map it into memory.
//!
//! - [`store`]: [`ArtifactStore`], which finds, opens and verifies artifacts
//! - [`staging`]: [`Staging`], which publishes new ones; [`staged`]: their files before that
//! - [`upload`]: bytes that arrive in pieces from a client; [`parts`]: in several requests
//! - [`blob`]: blobs and documents (tables are in [`crate::table`])
//! - [`shared`]: a place that several machines reach; [`sharing`]: sending there, fetching from
//!   there
//! - [`garbage`]: removing what nothing refers to
//!
//! Why not a file of its own format per kind and run? Content addresses make publication
//! idempotent, let equal runs share their files, and make "did anything change" a comparison of 32
//! bytes.

mod blob;
mod garbage;
mod kind;
mod parts;
mod shared;
mod sharing;
mod staged;
mod staging;
mod store;
mod upload;

pub use blob::{Blob, BlobWriter, Document};
pub use garbage::CollectedArtifact;
pub use kind::{ArtifactKind, UnknownKind};
pub use parts::{Assembled, MOST_PARTS, OpenParts, PARTS_LIFETIME, PartWriter, PartsUpload};
pub use shared::{SharedArtifact, SharedArtifacts};
pub(crate) use staged::{RemoveOnDrop, StagedFile, StagedFiles};
pub use staging::Staging;
pub use store::ArtifactStore;
pub use upload::{OpenFile, Upload};
