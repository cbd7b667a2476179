//! Servers that tests speak to, and the faults that they can have.
//!
//! - [`s3`]: an S3 server over the network, with signatures, conditional writes, multipart uploads and faults on demand
//! - [`postgres`]: a PostgreSQL from the system's packages, in a temporary folder
//!
//! For tests alone. Why not servers in containers? `cargo test` is all that it takes to run the tests, and no server of
//! others cuts a connection at the request that a test names.

pub mod postgres;
pub mod s3;
