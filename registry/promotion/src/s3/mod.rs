//! A bucket as a store, by the AWS SDK.
//!
//! Every request runs on a small runtime of this store's own, and its caller waits: the rest of
//! Stagewright is synchronous. This module counts attempts, not the SDK, for two reasons. An
//! attempt of ours includes the body of a reply. And the SDK would repeat a conditional write whose
//! reply was lost, and report as refused what has happened.
//!
//! - [`client`]: credentials, region and endpoint
//! - [`bucket`]: [`S3`], with attempts and time-outs; [`fault`]: what a failed attempt means
//! - [`objects`]: [`ObjectStore`](crate::ObjectStore) for it; [`multipart`]: large files
//! - [`source_objects`]: objects that others wrote, as sources of data

mod bucket;
mod client;
mod fault;
mod multipart;
mod objects;
mod source_objects;

pub use bucket::S3;
pub(crate) use source_objects::Bucket;
