//! Messages between a parent and one child, as the parent sees them.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::futex;

use super::ending::{Ending, Why};
use super::watch::Shared;
use crate::ring::{Fault, Place, Reader, Writer};
use crate::wall::Walls;

/// A child that works, or has ended. Dropping it ends it.
#[derive(Debug)]
pub struct Child {
    reader: Reader,
    writer: Writer,
    wake: OwnedFd,
    shared: Arc<Shared>,
    /// It broke the rules: nothing of it is read any more.
    forged: bool,
}

/// The events that a parent waits for.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message of this kind came.
    Message(u32),
    /// The child is gone, and everything that it sent before was received.
    Ended(Box<Ending>),
}

/// The child is gone, or must go: [`Child::receive`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the child has ended")]
pub struct Gone;

impl Child {
    pub(super) fn new(reader: Reader, writer: Writer, wake: OwnedFd, shared: Arc<Shared>) -> Self {
        Self { reader, writer, wake, shared, forged: false }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.shared.id()
    }

    /// The walls around it, once it is locked.
    pub fn walls(&self) -> Option<Walls> {
        self.shared.walls()
    }

    /// Whether it lives, kept to the rules, and has said nothing that was not received: at this
    /// moment.
    pub fn is_quiet(&self) -> bool {
        !self.forged && self.shared.wish().is_none() && self.shared.ending().is_none() && !self.reader.has_more()
    }

    /// Ends it for a reason, unless it has ended or something else ends it already.
    pub fn stop(&self, reason: &str) {
        self.shared.kill(Why::Stopped(reason.into()));
    }

    /// Waits for its next message, whose bytes take the place of those that are there, or for its
    /// end. The bytes are a copy that the child cannot change, and unchecked.
    ///
    /// A broken rule ends the child, and is the reason that its ending names.
    ///
    /// # Errors
    /// The system does not let this thread wait.
    pub fn receive(&mut self, bytes: &mut Vec<u8>) -> io::Result<Event> {
        loop {
            // Asked before the ring is: what a child wrote before its end is there once its end is
            // known.
            let ending = self.shared.ending();
            if !self.forged {
                match self.reader.read(bytes) {
                    Ok(message) => {
                        if self.reader.writer_waits() {
                            wake(self.reader.memory().word(Place::Freed));
                        }
                        if let Some(kind) = message {
                            return Ok(Event::Message(kind));
                        }
                    }
                    Err(fault) => self.forged(fault),
                }
            }
            if let Some(ending) = ending {
                if self.forged || !self.reader.has_more() {
                    return Ok(Event::Ended(Box::new(self.of_the_ring(ending))));
                }
                continue;
            }
            self.reader.waits(true);
            if self.forged || !self.reader.has_more() {
                self.wait()?;
            }
            self.reader.waits(false);
        }
    }

    /// Sends one message, whose bytes are those of the parts, one after the other. Waits while
    /// there is no room and the child lives.
    ///
    /// # Errors
    /// The child is gone.
    pub fn send(&mut self, kind: u32, parts: &[&[u8]]) -> Result<(), Gone> {
        let mut pieces = Writer::pieces(kind, parts);
        while !pieces.ended() {
            if self.forged || self.shared.ending().is_some() {
                return Err(Gone);
            }
            match self.writer.write(&mut pieces) {
                Ok(true) => {
                    if self.writer.reader_waits() {
                        wake(self.writer.memory().word(Place::Filled));
                    }
                    continue;
                }
                Ok(false) => {}
                Err(fault) => {
                    self.forged(fault);
                    return Err(Gone);
                }
            }
            self.writer.waits(true);
            match self.writer.has_room_for(&pieces) {
                Ok(false) => self.wait().map_err(|_| Gone)?,
                Ok(true) => {}
                Err(fault) => {
                    self.forged(fault);
                    return Err(Gone);
                }
            }
            self.writer.waits(false);
        }
        Ok(())
    }

    /// Waits until the child says that there is something to do, or is gone. What it says may be a
    /// lie, and costs one look.
    fn wait(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(&self.wake, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
        let mut count = [0; 8];
        // Nothing to read is as good: the next look shows what there is.
        let _ = rustix::io::read(self.wake.as_fd(), &mut count);
        Ok(())
    }

    fn forged(&mut self, fault: Fault) {
        self.forged = true;
        self.shared.kill(Why::Forged(fault));
    }

    /// A child may be gone before what it wrote turns out to be forged.
    fn of_the_ring(&self, mut ending: Ending) -> Ending {
        if let Some(why) = self.shared.wish()
            && self.forged
        {
            ending.why = why;
        }
        ending
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.shared.kill(Why::Stopped("nobody waits for it any more".into()));
    }
}

fn wake(word: &AtomicU32) {
    let _ = futex::wake(word, futex::Flags::empty(), 1);
}
