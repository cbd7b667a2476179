//! The limits of a stage, and the budget that all runs of a process share.

mod budget;
mod cancel;
mod cpu_clock;
mod meter;
mod wall_clock;
mod watch;

pub use budget::{Budget, GuestMemory, Permit, cores};
pub use cancel::Cancel;
pub use cpu_clock::{CpuMark, thread_cpu};
pub use meter::{Claim, Meter, Started};
pub use wall_clock::WallClock;
pub use watch::Watch;

pub(crate) use meter::WALLS;
