//! The child's side: receives its task, locks itself in, communicates, and returns to a checkpoint.

mod channel;
mod checkpoint;
mod lock;
mod memory_figures;
mod reporting;
mod start;
mod syscall_filter;
mod watchdog;

pub use channel::Channel;
pub use checkpoint::{CAN_RESTORE, Checkpoint};
pub use lock::{LockError, Locked};
pub use start::{StartError, Started, end, start};
