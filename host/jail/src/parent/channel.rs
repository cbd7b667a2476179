//! The parent's end of the connection to a child.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::futex;

use super::ending::{Ending, Why};
use super::supervisor::Shared;
use crate::ring::{Fault, Place, Reader, Writer};
use crate::walls::Walls;

/// A child process. Dropping the value kills the child.
#[derive(Debug)]
pub struct Child {
    reader: Reader,
    writer: Writer,
    wake: OwnedFd,
    shared: Arc<Shared>,
    /// Whether the child broke the rules. Nothing more is read from it then.
    broke_rules: bool,
}

/// An event that a parent receives.
#[derive(Debug, Clone)]
pub enum Event {
    /// A message of this kind.
    Message(u32),
    /// The child has ended, and all of its messages were received.
    Ended(Box<Ending>),
}

/// The child has ended or is being killed. [`Child::receive`] says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the child has ended")]
pub struct Gone;

impl Child {
    pub(super) fn new(reader: Reader, writer: Writer, wake: OwnedFd, shared: Arc<Shared>) -> Self {
        Self { reader, writer, wake, shared, broke_rules: false }
    }

    /// Returns its process ID.
    pub fn id(&self) -> u32 {
        self.shared.id()
    }

    /// Returns the walls around it, once it is locked.
    pub fn walls(&self) -> Option<Walls> {
        self.shared.walls()
    }

    /// Returns whether the child is alive, has followed the rules, and has sent nothing that was
    /// not received.
    pub fn is_quiet(&self) -> bool {
        !self.broke_rules
            && self.shared.kill_reason().is_none()
            && self.shared.ending().is_none()
            && !self.reader.has_more()
    }

    /// Kills the child for a reason, unless it has ended or is being killed already.
    pub fn stop(&self, reason: &str) {
        self.shared.kill(Why::Stopped(reason.into()));
    }

    /// Waits for the next message or for the child's end. The message replaces the contents of
    /// `bytes`; it is a copy that the child cannot change, and is not checked.
    ///
    /// A child that breaks the rules is killed, and its [`Ending`] names the rule.
    ///
    /// # Errors
    /// The system call that waits fails.
    pub fn receive(&mut self, bytes: &mut Vec<u8>) -> io::Result<Event> {
        loop {
            // Checked before the ring: once the end is known, everything that the child wrote has
            // arrived.
            let ending = self.shared.ending();
            if !self.broke_rules {
                match self.reader.read(bytes) {
                    Ok(message) => {
                        if self.reader.writer_waits() {
                            wake(self.reader.memory().word(Place::Freed));
                        }
                        if let Some(kind) = message {
                            return Ok(Event::Message(kind));
                        }
                    }
                    Err(fault) => self.kill_for(fault),
                }
            }
            if let Some(ending) = ending {
                if self.broke_rules || !self.reader.has_more() {
                    return Ok(Event::Ended(Box::new(self.with_broken_rule(ending))));
                }
                continue;
            }
            self.reader.waits(true);
            if self.broke_rules || !self.reader.has_more() {
                self.wait()?;
            }
            self.reader.waits(false);
        }
    }

    /// Sends a message, whose bytes are the concatenated parts. Waits for room while the child is
    /// alive.
    ///
    /// # Errors
    /// The child has ended.
    pub fn send(&mut self, kind: u32, parts: &[&[u8]]) -> Result<(), Gone> {
        let mut pieces = Writer::pieces(kind, parts);
        while !pieces.ended() {
            if self.broke_rules || self.shared.ending().is_some() {
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
                    self.kill_for(fault);
                    return Err(Gone);
                }
            }
            self.writer.waits(true);
            match self.writer.has_room_for(&pieces) {
                Ok(false) => self.wait().map_err(|_| Gone)?,
                Ok(true) => {}
                Err(fault) => {
                    self.kill_for(fault);
                    return Err(Gone);
                }
            }
            self.writer.waits(false);
        }
        Ok(())
    }

    /// Waits until the child signals or ends. A false signal only costs one check.
    fn wait(&self) -> io::Result<()> {
        let mut ready = [PollFd::new(&self.wake, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut ready, None))?;
        let mut count = [0; 8];
        // An empty counter is fine, since the caller checks the ring again.
        let _ = rustix::io::read(self.wake.as_fd(), &mut count);
        Ok(())
    }

    fn kill_for(&mut self, fault: Fault) {
        self.broke_rules = true;
        self.shared.kill(Why::Forged(fault));
    }

    /// Replaces the reason of an ending if the child had broken the rules before it ended.
    fn with_broken_rule(&self, mut ending: Ending) -> Ending {
        if let Some(why) = self.shared.kill_reason()
            && self.broke_rules
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
