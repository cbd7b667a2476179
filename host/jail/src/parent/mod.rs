//! The parent's side: starts children, receives their messages, watches their clocks and ends them.

mod account;
mod channel;
mod ending;
mod memory_file;
mod spawn;
mod supervisor;
mod syscall_names;

pub use account::{Account, Spent, TimeBudget};
pub use channel::{Child, Event, Gone};
pub use ending::{Ending, Limit, Why};
pub use memory_file::sealed;
pub use spawn::{Command, spawn};
