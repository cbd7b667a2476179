//! The child's side: takes what it is given, locks itself in, answers.

mod channel;
mod filter;
mod last_words;
mod lock;
mod start;
mod watchdog;

pub use channel::Channel;
pub use lock::{LockError, Locked};
pub use start::{StartError, Started, end, start};
