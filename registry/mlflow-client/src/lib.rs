//! A client of MLflow's REST interface.
//!
//! The server is one that the user named, and is not trusted: the size of each answer, the time for
//! each request and the number of pages are bounded, and redirects are not followed. Credentials go
//! to the address that the user named and to no other. They are in no error and in no log line.
//!
//! - [`Address`]: a tracking URI; [`Settings`]: what the variables of MLflow say about it
//! - [`Server`]: the client. `requests` makes a request, tries again, and bounds the answer
//! - `operations`: the calls, one function each; [`artifacts`]: files through the server's proxy
//! - [`records`]: what is asked and answered
//! - [`ClientError`]: why a call failed
//!
//! The tracking server (`registry/server`) has types of its own for what it answers. They borrow
//! from the registry's records and leave out what MLflow leaves out; those here are owned and take
//! whatever a server of another version sends. One set of types for both would serve neither.

mod address;
pub mod artifacts;
mod error;
mod operations;
pub mod records;
mod requests;
mod settings;

pub use address::{Address, AddressError};
pub use error::ClientError;
pub use operations::{Page, quoted};
pub use requests::{Limits, Server};
pub use settings::{SettingError, Settings, VARIABLES};
