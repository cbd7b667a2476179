//! Servers that tests speak to, in their own process, and the faults that they can have.
//!
//! - [`s3`]: an S3 server over the network, with signatures, conditional writes, multipart uploads and faults on demand
//!
//! For tests alone. Why not a server in a container? `cargo test` is all that it takes to run the tests, and no server of
//! others cuts a connection at the request that a test names.

pub mod s3;
