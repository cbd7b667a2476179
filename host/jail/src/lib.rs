//! Runs untrusted code in a child process that can only compute and exchange messages with its
//! parent.
//!
//! A child is started with everything that it needs, and locks itself in before it runs untrusted
//! code. After that it cannot open files, sockets or processes, nor create executable memory; its
//! memory and its time are bounded; and its messages are checked against rules before the parent
//! reads them. The parent watches the child's clocks, kills it at a limit, and always learns why it
//! ended. This crate knows neither Wasm nor stages: the two programs decide what runs in the child
//! and what the messages mean.
//!
//! The parent [`spawn`]s a [`Command`] and gets a [`Child`], with which it exchanges messages until
//! the [`Ending`]. The child calls [`start`], loads and maps everything that it will use, calls
//! [`Started::lock`], and communicates over the [`Channel`] that this returns. The features
//! `parent` and `child` select the two sides; both are enabled by default.
//!
//! The walls need Linux. On other systems, this crate is empty.
//!
//! # Examples
//!
//! A child that doubles a number. This program is both the parent and the child:
//!
//! ```standalone_crate
//! # #[cfg(not(target_os = "linux"))] fn main() {}
//! # #[cfg(target_os = "linux")]
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     if std::env::args().nth(1).as_deref() == Some("child") { child() } else { parent() }
//! }
//!
//! # #[cfg(target_os = "linux")]
//! fn child() -> Result<(), Box<dyn std::error::Error>> {
//!     // SAFETY: nothing in this process has opened a descriptor yet.
//!     let started = unsafe { stagewright_jail::start("1.0") }?;
//!     let number: u64 = std::str::from_utf8(started.task())?.parse()?;
//!     let mut locked = started.lock()?;
//!     // Untrusted code could run here.
//!     locked.channel.send(1, &[(2 * number).to_string().as_bytes()])?;
//!     stagewright_jail::end(0)
//! }
//!
//! # #[cfg(target_os = "linux")]
//! fn parent() -> Result<(), Box<dyn std::error::Error>> {
//!     use stagewright_jail::{TimeBudget, Command, Event, Rules, Walls, Why, spawn};
//!     use std::{sync::Arc, time::Duration};
//!
//!     let program = std::env::current_exe()?;
//!     let budget = Arc::new(TimeBudget::new(Duration::from_secs(1), Duration::from_secs(10)));
//!     let rules = Rules { longest: |kind| (kind == 1).then_some(20), messages: 1, bytes: 20 };
//!     let mut command = Command::new(&program, "1.0", budget, rules);
//!     command.arguments = &["child"];
//!     command.task = b"21";
//! #   command.required = Walls::NONE; // this example runs on any kernel
//!     let mut child = spawn(&command)?;
//!     let mut bytes = Vec::new();
//!     let Event::Message(1) = child.receive(&mut bytes)? else { panic!("expected a message") };
//!     assert_eq!(bytes, b"42");
//!     let Event::Ended(ending) = child.receive(&mut bytes)? else { panic!("expected its end") };
//!     assert_eq!(ending.why, Why::Exited(0));
//!     println!("around it stood: {}", ending.walls.unwrap_or_default());
//!     Ok(())
//! }
//! ```

#[cfg(all(target_os = "linux", feature = "child"))]
mod child;
#[cfg(all(target_os = "linux", any(feature = "child", feature = "parent")))]
mod clock;
#[cfg(all(target_os = "linux", any(feature = "child", feature = "parent")))]
mod hello;
#[cfg(all(target_os = "linux", feature = "parent"))]
mod parent;
#[cfg(all(target_os = "linux", any(feature = "child", feature = "parent")))]
mod report;
#[cfg(all(target_os = "linux", any(feature = "child", feature = "parent")))]
mod ring;
#[cfg(target_os = "linux")]
mod walls;

#[cfg(all(target_os = "linux", feature = "child"))]
pub use child::{CAN_RESTORE, Channel, Checkpoint, LockError, Locked, StartError, Started, end, start};
#[cfg(all(target_os = "linux", feature = "parent"))]
pub use parent::{Account, Child, Command, Ending, Event, Gone, Limit, Spent, TimeBudget, Why, sealed, spawn};
#[cfg(all(target_os = "linux", feature = "parent"))]
#[doc(hidden)]
pub use ring::read_ring;
#[cfg(all(target_os = "linux", any(feature = "child", feature = "parent")))]
pub use ring::{Fault, PIECE, RING, Rules, SMALLEST_RING};
#[cfg(target_os = "linux")]
pub use walls::Walls;
