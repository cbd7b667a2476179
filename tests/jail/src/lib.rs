//! Attempts of native code in a jail, and the outcome that each must have.
//!
//! The program `prisoner` stands for a stage's process in which a guest found a hole in the engine:
//! it does whatever machine code can do, with full knowledge of the jail's own memory. The tests
//! start it, let it try one thing at a time, and look at what came of it.
#![cfg(target_os = "linux")]

pub mod attempts;
pub mod calls;
pub mod prisoner;

/// The version that parent and child of these tests have in common.
pub const VERSION: &str = "test";

/// The kind of a message that says what came of an attempt.
pub const SAID: u32 = 1;

/// The kind of a message whose bytes come back.
pub const ECHO: u32 = 2;

/// The kind of a message that is only received.
pub const BULK: u32 = 3;

/// The longest message of a kind.
pub fn longest(kind: u32) -> Option<u64> {
    match kind {
        SAID => Some(4 << 10),
        ECHO | BULK => Some(8 << 20),
        _ => None,
    }
}
