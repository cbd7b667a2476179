//! Versions of data: tables and folders of files under a name and a number.
//!
//! The registry (`stagewright-store`) records which artifacts a version is. This crate decides
//! which number it gets, tells how two versions differ, keeps many small files as a few packs, and
//! moves versions to and from remotes. It reads no source: a caller brings the table.
//!
//! - [`change`]: how much a version changes, and the number that follows; [`add`]: recording one
//! - [`diff`]: rows and cells that differ
//! - [`files`]: folders of files, their packs and differences
//! - [`export`]: a version as files for other programs; [`mod@pointer`]: a text that names a
//!   version
//! - [`remote`]: pushing to and pulling from a folder or a bucket
//! - [`error`]: the error of all of these
//!
//! docs/data-versions.md describes the formats, docs/decisions/data-versions.md the reasons.

pub mod add;
mod bytes;
pub mod change;
pub mod diff;
mod error;
pub mod export;
pub mod files;
pub mod pointer;
pub mod remote;

pub use bytes::open_table;
pub use error::DataVersionsError;
