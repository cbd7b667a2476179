//! Promotion of approved model versions to production: to a bucket of S3 or a directory.
//!
//! A destination holds the objects of versions by digest, a manifest for each version, and a
//! pointer to the champion of each model, the only key that changes. The registry
//! (`stagewright-store`) decides which version is promoted; nothing here does.
//!
//! ```
//! use stagewright_promotion::{Destination, LocalObject, Pointer, Settings, VersionUpload};
//! use stagewright_store::Digest;
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model");
//! std::fs::write(&path, b"weights")?;
//! let digest = Digest::of(b"weights");
//!
//! let production = folder.path().join("production");
//! let destination = Destination::open(&production.to_string_lossy(), &Settings::default())?;
//! // Before a training: could a promotion succeed?
//! destination.check()?;
//!
//! // After it: bytes and manifest first, then the pointer.
//! let manifest = format!(r#"{{"objects": [{{"digest": "{digest}", "size": 7, "role": "model"}}]}}"#);
//! let upload = VersionUpload {
//!     model: "churn".to_owned(),
//!     version: 1,
//!     objects: vec![LocalObject { digest, path, size: 7 }],
//!     manifest: manifest.into_bytes(),
//! };
//! let report = destination.upload(&upload, &|sent, total| println!("{sent} of {total} bytes"))?;
//! let pointer = Pointer::new("churn", 1, report.manifest, "promotion-1", "", "2026-11-29T02:00:00Z");
//! destination.point("churn", None, &pointer)?;
//!
//! // A reader follows the pointer.
//! assert_eq!(destination.load("churn", None)?.version, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`Destination`]: `check` before a training, `upload` and `point` after it, `load` for readers,
//!   `garbage`
//! - [`Destination::objects`], [`Destination::send_object`]: objects of another layout
//! - [`ObjectStore`]: the interface to a store; [`Directory`] and [`S3`] implement it
//! - [`promote`]: a promotion from end to end, with the registry
//! - [`ArtifactObjects`]: the same stores, as the place where several machines share artifacts
//! - [`SourceObjects`]: objects that others wrote, read as a source of data
//! - [`Pointer`]: the pointer to a champion
//! - [`Settings`]: credentials, endpoint, time-outs
//!
//! docs/formats/production.md describes the format, docs/decisions/promotion-by-pointer.md the
//! reasons.

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
mod send;
mod settings;
mod source_bucket;
mod source_objects;
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
pub use settings::{Addresses, Settings, TransferLimits, unfit_setting};
pub use source_bucket::source_objects;
pub use source_objects::{ObjectPart, ObjectReceiver, SourceObject, SourceObjectError, SourceObjects, Stop};
pub use store::{Condition, Etag, MAX_DOCUMENT, ObjectStore, Put, Sink, StoredObject, Unfinished};
pub use upload::{UploadReport, VersionUpload};
