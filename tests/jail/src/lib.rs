//! Attempts of native code in a jail, and the expected result of each.
//!
//! The program `prisoner` stands for a stage's process in which a guest found a hole in the engine.
//! It does whatever machine code can do, and knows the jail's memory. The tests start it, let it
//! try one thing at a time, and check the result.
#![cfg(target_os = "linux")]

pub mod attempts;
pub mod calls;
pub mod prisoner;
pub mod restoring;

/// The common version of parent and child in these tests.
pub const VERSION: &str = "test";

/// The kind of a message with the result of an attempt.
pub const SAID: u32 = 1;

/// The kind of a message that is sent back.
pub const ECHO: u32 = 2;

/// The kind of a message that is only received.
pub const BULK: u32 = 3;

/// Returns the maximum length of a message of a kind.
pub fn longest(kind: u32) -> Option<u64> {
    match kind {
        SAID => Some(4 << 10),
        ECHO | BULK => Some(8 << 20),
        _ => None,
    }
}
