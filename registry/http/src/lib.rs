//! Connections of an HTTP server: accepted within bounds, with TLS or without, closed when they are
//! slow, and ended when the server ends.
//!
//! It knows neither paths nor callers. Both servers of this program use it, so that what one of
//! them learnt about slow clients holds for the other.
//!
//! - [`Listener`]: listens, accepts, and ends; [`Answers`]: who answers the requests
//! - `connection`: what each connection is doing, and which are closed for it; `ending`: when an
//!   answer is complete
//! - [`TlsFiles`]: a certificate and a key, which can be read again; [`read_secret`]: files that
//!   hold secrets
//! - `descriptors`: how many connections the process may have

mod connection;
mod descriptors;
mod ending;
mod listener;
mod secret_file;
mod tls;

pub use connection::{AnswerTime, ConnectionLimits};
pub use listener::{Answers, ListenError, Listener, Reloaded};
pub use secret_file::{SecretFileError, read as read_secret};
pub use tls::{TlsError, TlsFiles};
