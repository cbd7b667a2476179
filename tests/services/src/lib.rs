//! Servers for tests, with faults on demand.
//!
//! - [`s3`]: an S3 server over the network, with signatures, conditional writes, multipart uploads
//!   and faults on demand
//! - [`postgres`]: a PostgreSQL from the system's packages, in a temporary folder
//! - [`receiver`]: a server that receives POSTs, and answers as a test says
//!
//! Why not servers in containers? `cargo test` alone runs the tests, and no other server cuts a
//! connection at the request that a test chooses.

pub mod postgres;
pub mod receiver;
pub mod s3;
