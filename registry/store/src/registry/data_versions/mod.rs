//! Versions of data: which bytes `customers@1.2.0` are.
//!
//! A version is never changed. Its artifacts are published before it is recorded, and garbage
//! collection keeps them.
//!
//! - [`number`]: numbers of versions, and references to versions; [`parse`]: their texts
//! - [`record`]: the record of a version, and its methods of the registry
//! - [`error`]: why a version cannot be found or recorded

mod error;
mod number;
mod parse;
mod record;

pub use error::DataVersionError;
pub use number::{DataReference, DataRequirement, DataVersion};
pub use parse::{MAX_DATA_NAME_BYTES, check_data_name};
pub use record::{DataArtifact, DataKind, DataVersionRecord};
