//! The child's side: receives its task, locks itself in, communicates.

mod channel;
mod lock;
mod reporting;
mod start;
mod syscall_filter;
mod watchdog;

pub use channel::Channel;
pub use lock::{LockError, Locked};
pub use start::{StartError, Started, end, start};
