//! The message that starts a child, over the socket that is its standard input: file descriptors,
//! and the numbers that the lock needs.
//!
//! Descriptors are sent over a socket rather than inherited. An inherited descriptor must not have
//! `CLOEXEC`, so every other process that starts at the same moment would inherit it too.

use std::io;
#[cfg(feature = "child")]
use std::os::fd::OwnedFd;

use crate::walls::Walls;

/// The version of this protocol.
const PROTOCOL: u32 = 2;

/// The most descriptors of one packet. Linux allows 253.
const PER_PACKET: usize = 200;

/// The longest version text, in bytes.
const VERSION: usize = 64;

/// The number of descriptors before the inputs: see [`Descriptors`].
#[cfg(feature = "child")]
const OWN: usize = 5;

/// Bytes of the message before the version text.
const FIXED: usize = 4 + 4 + 4 + 4 + 8 + 8 + 4;

/// The message that starts a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The version of the parent's program, which must be the child's too.
    pub(crate) version: String,
    /// The process ID of the parent.
    pub(crate) parent: u32,
    pub(crate) required: Walls,
    /// The limit on CPU time in nanoseconds.
    pub(crate) cpu: u64,
    /// The limit on private memory in addition to that at the lock, in bytes.
    pub(crate) memory: u64,
    /// Whether it may return its memory to a checkpoint.
    pub(crate) restores: bool,
}

/// The descriptors that a child gets, in this order.
#[derive(Debug)]
pub(crate) struct Descriptors<Fd> {
    pub(crate) task: Fd,
    /// The ring of the child's messages.
    pub(crate) up: Fd,
    /// The ring of the parent's.
    pub(crate) down: Fd,
    pub(crate) wake: Fd,
    pub(crate) report: Fd,
    pub(crate) inputs: Vec<Fd>,
}

impl Hello {
    #[cfg(feature = "parent")]
    fn bytes(&self, descriptors: usize) -> io::Result<Vec<u8>> {
        if self.version.len() > VERSION {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("a version of {} bytes; the longest has {VERSION}", self.version.len()),
            ));
        }
        let mut bytes = Vec::with_capacity(FIXED + VERSION);
        for word in [PROTOCOL, self.parent, self.required.bits() as u32, descriptors as u32] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [self.cpu, self.memory] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(u32::from(self.restores).to_le_bytes());
        bytes.extend(self.version.as_bytes());
        Ok(bytes)
    }

    /// Parses the message. Returns it with the number of descriptors.
    #[cfg(feature = "child")]
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (fixed, version) = bytes.split_first_chunk::<FIXED>()?;
        let word = |at: usize| fixed[at..at + 4].try_into().map(u32::from_le_bytes).ok();
        let long = |at: usize| fixed[at..at + 8].try_into().map(u64::from_le_bytes).ok();
        if word(0)? != PROTOCOL {
            return None;
        }
        let hello = Self {
            version: String::from_utf8(version.to_vec()).ok()?,
            parent: word(4)?,
            required: Walls::from_bits(word(8)?.into())?,
            cpu: long(16)?,
            memory: long(24)?,
            restores: word(32)? != 0,
        };
        Some((hello, word(12)? as usize))
    }
}

/// Sends the message and the descriptors without blocking.
///
/// # Errors
/// There are too many descriptors for the socket's buffer, or the child has ended.
#[cfg(feature = "parent")]
pub(crate) fn send(
    socket: impl std::os::fd::AsFd,
    hello: &Hello,
    descriptors: &Descriptors<std::os::fd::BorrowedFd<'_>>,
) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
    let Descriptors { task, up, down, wake, report, inputs } = descriptors;
    let mut all = vec![*task, *up, *down, *wake, *report];
    all.extend(inputs);
    let first = hello.bytes(all.len())?;
    for (at, packet) in all.chunks(PER_PACKET).enumerate() {
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_PACKET))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(packet)) {
            return Err(io::Error::other("a packet of descriptors does not fit its buffer"));
        }
        let words = if at == 0 { first.as_slice() } else { &[0] };
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        rustix::net::sendmsg(&socket, &[io::IoSlice::new(words)], &mut control, flags)?;
    }
    Ok(())
}

/// Receives the message and the descriptors.
///
/// # Errors
/// The bytes were not sent by [`send`].
#[cfg(feature = "child")]
pub(crate) fn receive(socket: impl std::os::fd::AsFd) -> io::Result<(Hello, Descriptors<OwnedFd>)> {
    let not_one = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut descriptors = Vec::new();
    let mut bytes = [0; FIXED + VERSION + 1];
    let length = packet(&socket, &mut bytes, &mut descriptors)?;
    let (hello, expected) = Hello::parse(&bytes[..length.min(FIXED + VERSION)])
        .ok_or_else(|| not_one("standard input is not the socket of a parent of the same version"))?;
    while descriptors.len() < expected {
        let before = descriptors.len();
        packet(&socket, &mut bytes, &mut descriptors)?;
        if descriptors.len() == before {
            return Err(not_one("descriptors are missing"));
        }
    }
    if descriptors.len() != expected || expected < OWN {
        return Err(not_one("another number of descriptors came than was told"));
    }
    let mut all = descriptors.into_iter();
    let mut next = || all.next().ok_or_else(|| not_one("descriptors are missing"));
    let (task, up, down, wake, report) = (next()?, next()?, next()?, next()?, next()?);
    Ok((hello, Descriptors { task, up, down, wake, report, inputs: all.collect() }))
}

#[cfg(feature = "child")]
fn packet(socket: impl std::os::fd::AsFd, bytes: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PER_PACKET))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recvmsg(&socket, &mut [io::IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)
    })?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::Error::other("this process may not have as many open files as it was given"));
    }
    Ok(received.bytes)
}
