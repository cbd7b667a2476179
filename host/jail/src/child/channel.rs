//! A locked child's end of the connection to its parent.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex;

use crate::ring::{Fault, Memory, Place, Reader, Rules, Writer};

/// A locked child's connection to its parent. If the parent ends, this process ends too.
#[derive(Debug)]
pub struct Channel {
    up: Writer,
    down: Reader,
    wake: &'static OwnedFd,
}

/// The parent is trusted, so its messages have no limits.
const NO_LIMITS: Rules = Rules { longest: |_| Some(u64::MAX), messages: u64::MAX, bytes: u64::MAX };

impl Channel {
    pub(super) fn new(up: Memory, down: Memory, wake: &'static OwnedFd) -> Self {
        Self { up: Writer::new(up), down: Reader::new(down, NO_LIMITS), wake }
    }

    /// Sends a message, whose bytes are the concatenated parts. Waits for room.
    ///
    /// # Errors
    /// The parent broke the ring's rules.
    pub fn send(&mut self, kind: u32, parts: &[&[u8]]) -> Result<(), Fault> {
        let mut pieces = Writer::pieces(kind, parts);
        while !pieces.ended() {
            let seen = self.up.memory().word(Place::Freed).load(Ordering::Acquire);
            if self.up.write(&mut pieces)? {
                if self.up.reader_waits() {
                    self.wake_parent();
                }
                continue;
            }
            self.up.waits(true);
            if !self.up.has_room_for(&pieces)? {
                wait(self.up.memory().word(Place::Freed), seen);
            }
            self.up.waits(false);
        }
        Ok(())
    }

    /// Waits for the next message, which replaces the contents of `bytes`, and returns its kind.
    ///
    /// # Errors
    /// The parent broke the ring's rules.
    pub fn receive(&mut self, bytes: &mut Vec<u8>) -> Result<u32, Fault> {
        loop {
            let seen = self.down.memory().word(Place::Filled).load(Ordering::Acquire);
            let message = self.down.read(bytes)?;
            if self.down.writer_waits() {
                self.wake_parent();
            }
            if let Some(kind) = message {
                return Ok(kind);
            }
            self.down.waits(true);
            if !self.down.has_more() {
                wait(self.down.memory().word(Place::Filled), seen);
            }
            self.down.waits(false);
        }
    }

    fn wake_parent(&self) {
        // If the counter is full, the parent is being woken already.
        let _ = rustix::io::write(self.wake, &1_u64.to_ne_bytes());
    }
}

/// Waits until the word differs from `seen`. May return early.
fn wait(word: &AtomicU32, seen: u32) {
    let _ = futex::wait(word, futex::Flags::empty(), seen, None);
}
