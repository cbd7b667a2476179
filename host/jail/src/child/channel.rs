//! A locked child's end of the connection to its parent.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::futex;

use super::checkpoint::Kept;
use crate::ring::{Fault, Memory, Place, Reader, Rules, Writer};

/// A locked child's connection to its parent. If the parent ends, this process ends too.
///
/// Its positions in the rings are not part of a [`Checkpoint`](super::Checkpoint).
#[derive(Debug)]
pub struct Channel(Kept<Rings>);

#[derive(Debug)]
struct Rings {
    up: Writer,
    down: Reader,
    wake: &'static OwnedFd,
}

/// The parent is trusted, so its messages have no limits.
const NO_LIMITS: Rules = Rules { longest: |_| Some(u64::MAX), messages: u64::MAX, bytes: u64::MAX };

impl Channel {
    /// # Errors
    /// There is not enough memory.
    pub(super) fn new(up: Memory, down: Memory, wake: &'static OwnedFd) -> io::Result<Self> {
        Kept::new(Rings { up: Writer::new(up), down: Reader::new(down, NO_LIMITS), wake }).map(Self)
    }

    /// Sends a message, whose bytes are the concatenated parts. Waits for room.
    ///
    /// # Errors
    /// The parent broke the ring's rules.
    pub fn send(&mut self, kind: u32, parts: &[&[u8]]) -> Result<(), Fault> {
        let Rings { up, wake, .. } = &mut *self.0;
        let mut pieces = Writer::pieces(kind, parts);
        while !pieces.ended() {
            let seen = up.memory().word(Place::Freed).load(Ordering::Acquire);
            if up.write(&mut pieces)? {
                if up.reader_waits() {
                    wake_parent(wake);
                }
                continue;
            }
            up.waits(true);
            if !up.has_room_for(&pieces)? {
                wait(up.memory().word(Place::Freed), seen);
            }
            up.waits(false);
        }
        Ok(())
    }

    /// Waits for the next message, which replaces the contents of `bytes`, and returns its kind.
    ///
    /// # Errors
    /// The parent broke the ring's rules.
    pub fn receive(&mut self, bytes: &mut Vec<u8>) -> Result<u32, Fault> {
        let Rings { down, wake, .. } = &mut *self.0;
        loop {
            let seen = down.memory().word(Place::Filled).load(Ordering::Acquire);
            let message = down.read(bytes)?;
            if down.writer_waits() {
                wake_parent(wake);
            }
            if let Some(kind) = message {
                return Ok(kind);
            }
            down.waits(true);
            if !down.has_more() {
                wait(down.memory().word(Place::Filled), seen);
            }
            down.waits(false);
        }
    }
}

fn wake_parent(wake: &OwnedFd) {
    // If the counter is full, the parent is being woken already.
    let _ = rustix::io::write(wake, &1_u64.to_ne_bytes());
}

/// Waits until the word differs from `seen`. May return early.
fn wait(word: &AtomicU32, seen: u32) {
    let _ = futex::wait(word, futex::Flags::empty(), seen, None);
}
