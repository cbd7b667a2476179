//! What lasts: artifacts, runs, models.

mod digest;
mod schema;

pub use digest::{Digest, DigestParseError};
pub use schema::{DataType, Field, MAX_NAME_BYTES, Role, Schema, SchemaError, UnknownName};
