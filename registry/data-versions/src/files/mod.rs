//! Folders of files as data: a list of paths with digests, and packs that hold the bytes.
//!
//! A version of files has a list (`files`), which is its content, a table of places (`places`), and
//! packs. A pack is many files one after another, so that 100,000 small files are one artifact and
//! one object at a remote. A file whose bytes the version before has stays in its pack; only new
//! bytes make a new pack. Names and bytes of regular files are kept; modes, times and empty folders
//! are not, and links are refused.

mod diff;
mod list;
mod pack;
mod unpack;

pub use diff::{ChangedFile, FilesDiff, compare};
pub use list::{FileEntry, FileList, MOST_FILES, check_path};
pub use pack::{Packed, pack};
pub use unpack::{open_list, unpack};

/// The roles of a version's artifacts.
pub(crate) const FILES: &str = "files";
pub(crate) const PLACES: &str = "places";
pub(crate) const PACK: &str = "pack";

/// The media type of list and places.
pub(crate) const MEDIA_TYPE: &str = "application/json";
