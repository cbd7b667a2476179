//! How an approved model version gets to production, whole: to a bucket of S3 or a directory.
//!
//! - [`Destination`]: the logic; `check` before a training, `upload` and `point` after it, `load` for readers, `garbage`
//! - [`ObjectStore`]: what it needs of a store; [`Directory`] and [`S3`] are the two
//! - [`promote`]: a promotion from end to end, with the registry
//! - [`ArtifactObjects`]: the same stores, as the place where several machines share artifacts
//! - [`Pointer`]: the one key that changes
//! - [`Settings`]: credentials, endpoint, time-outs
//!
//! Which version should be promoted, and what happened so far, is for the database to know (`stagewright-store`); nothing
//! here decides. The format is docs/formats/production.md, the reasons docs/decisions/promotion-by-pointer.md.

mod artifacts;
mod destination;
mod directory;
mod error;
mod garbage;
mod layout;
mod load;
mod local_object;
mod pointer;
pub mod promote;
#[cfg(feature = "s3")]
mod s3;
mod settings;
mod store;
mod upload;
mod verify;

pub use artifacts::ArtifactObjects;
pub use destination::{Destination, StoredVersion};
pub use directory::Directory;
pub use error::PromotionError;
pub use garbage::{Garbage, GarbageKind, Removed};
pub use layout::{ManifestObject, manifest_objects};
pub use load::{FetchedObject, LoadedVersion};
pub use local_object::LocalObject;
pub use pointer::Pointer;
#[cfg(feature = "s3")]
pub use s3::S3;
pub use settings::{Settings, TransferLimits, unfit_setting};
pub use store::{Condition, Etag, MAX_DOCUMENT, ObjectStore, Put, Sink, StoredObject, Unfinished};
pub use upload::{UploadReport, VersionUpload};
