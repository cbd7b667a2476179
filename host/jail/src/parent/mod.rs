//! The parent's side: starts children, reads what they say, watches their clocks and ends them.

mod account;
mod calls;
mod channel;
mod ending;
mod memory_file;
mod spawn;
mod watch;

pub use account::{Account, Spent, TimeBudget};
pub use channel::{Child, Event, Gone};
pub use ending::{Ending, Limit, Why};
pub use memory_file::sealed;
pub use spawn::{Command, spawn};
