//! Remotes: a folder or a bucket that holds versions of data for other machines.
//!
//! A remote has an index for each name, the only key that changes, and objects by the SHA-256 of
//! their bytes. So a push of what is there already is one request, and equal bytes are stored once,
//! whatever they are called. An index is replaced under a condition: of two pushes at once, the
//! later one reads the index again and adds its versions. Objects are sent before an index names
//! them, so that a push that ends early leaves nothing that a reader sees.
//!
//! Nothing that comes from a remote is believed: an index is parsed within bounds, an object must
//! have its digest, and a table is opened as one that anybody could have written.

mod index;
mod pull;
mod push;

pub use index::{RemoteIndex, RemoteObject, RemoteVersion, names, read_index};
pub use pull::{PullOptions, Pulled, Wanted, pull};
pub use push::{Pushed, push};
