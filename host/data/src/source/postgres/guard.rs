//! A connection whose server is not trusted: what comes is looked at before the client reads it.
//!
//! The client keeps a whole message of the server in memory, computes as many rounds of a password
//! as the server says, and sends the password itself if the server asks for it. This bounds all
//! three.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::rows::MAX_ROW;

/// The most bytes of a message: a row with its head.
const MAX_MESSAGE: usize = MAX_ROW + 64;
/// The most bytes of messages about settings, which the client keeps.
const MAX_SETTINGS: usize = 64 << 10;
/// The most bytes of a message about authentication.
const MAX_AUTHENTICATION: usize = 8 << 10;
/// The rounds of SCRAM that are computed. The fewest hold for a password that is not sent: with
/// fewer, a server could find it by trying.
const FEWEST_ROUNDS: u32 = 4096;
const MOST_ROUNDS: u32 = 600_000;

/// The reason for which a server is not listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A message, such as a row, has this many bytes.
    Long(usize),
    /// It sends messages of no known form.
    Malformed,
    /// It sends settings without end.
    Settings,
    /// It sends this many bytes beside the rows.
    Flood,
    /// It asks for the password itself.
    Password,
    /// It asks for this many rounds of SCRAM.
    Rounds(u32),
}

/// The bounds on a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Whether the password itself may be sent, in clear or by MD5.
    pub(super) password: bool,
    /// The most bytes of all messages.
    pub(super) bytes: u64,
}

/// The messages of a server so far.
#[derive(Debug)]
struct Messages {
    allowed: Allowed,
    head: [u8; 5],
    /// Bytes of the head that came.
    in_head: usize,
    /// Bytes of the message that are still to come.
    rest: usize,
    /// The message, if it is about authentication.
    body: Vec<u8>,
    settings: usize,
    bytes: u64,
}

impl Messages {
    fn new(allowed: Allowed) -> Self {
        Self { allowed, head: [0; 5], in_head: 0, rest: 0, body: Vec::new(), settings: 0, bytes: 0 }
    }

    /// Looks at the next bytes.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.allowed.bytes {
            return Err(Refusal::Flood);
        }
        while !bytes.is_empty() {
            if self.in_head < self.head.len() {
                let (now, later) = bytes.split_at(bytes.len().min(self.head.len() - self.in_head));
                self.head[self.in_head..self.in_head + now.len()].copy_from_slice(now);
                self.in_head += now.len();
                bytes = later;
                if self.in_head == self.head.len() {
                    self.begin()?;
                }
            } else {
                let (now, later) = bytes.split_at(bytes.len().min(self.rest));
                if self.head[0] == b'R' {
                    self.body.extend(now);
                }
                self.rest -= now.len();
                bytes = later;
            }
            if self.in_head == self.head.len() && self.rest == 0 {
                self.end()?;
            }
        }
        Ok(())
    }

    /// Looks at a message by its head.
    fn begin(&mut self) -> Result<(), Refusal> {
        let [tag, length @ ..] = self.head;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Refusal::Malformed)?;
        self.rest = length.checked_sub(4).ok_or(Refusal::Malformed)?;
        if self.rest > MAX_MESSAGE || (tag == b'R' && self.rest > MAX_AUTHENTICATION) {
            return Err(Refusal::Long(self.rest));
        }
        if tag == b'S' {
            self.settings += length;
            if self.settings > MAX_SETTINGS {
                return Err(Refusal::Settings);
            }
        }
        Ok(())
    }

    /// Looks at a whole message.
    fn end(&mut self) -> Result<(), Refusal> {
        self.in_head = 0;
        if self.head[0] != b'R' {
            return Ok(());
        }
        let body = std::mem::take(&mut self.body);
        let (code, said) = body.split_first_chunk().ok_or(Refusal::Malformed)?;
        match u32::from_be_bytes(*code) {
            3 | 5 if !self.allowed.password => Err(Refusal::Password),
            11 => {
                let said = std::str::from_utf8(said).map_err(|_| Refusal::Malformed)?;
                let rounds = said.split(',').find_map(|part| part.strip_prefix("i="));
                let rounds = rounds.and_then(|rounds| rounds.parse().ok()).ok_or(Refusal::Malformed)?;
                let fewest = if self.allowed.password { 1 } else { FEWEST_ROUNDS };
                if (fewest..=MOST_ROUNDS).contains(&rounds) { Ok(()) } else { Err(Refusal::Rounds(rounds)) }
            }
            _ => Ok(()),
        }
    }
}

/// A stream of both directions.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why a [`Guard`] ended its connection, if it did.
pub(super) type RefusalCell = Arc<Mutex<Option<Refusal>>>;

/// A connection whose bytes are looked at. It ends at the first that is refused.
pub(super) struct Guard {
    stream: Box<dyn Duplex>,
    messages: Messages,
    refusal: RefusalCell,
}

impl Guard {
    /// Guards a stream from its first message on.
    pub(super) fn new(stream: Box<dyn Duplex>, allowed: Allowed) -> (Self, RefusalCell) {
        let refusal = RefusalCell::default();
        (Self { stream, messages: Messages::new(allowed), refusal: refusal.clone() }, refusal)
    }
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        if let Poll::Ready(Ok(())) = &read
            && let Err(refusal) = this.messages.take(&buffer.filled()[before..])
        {
            buffer.set_filled(before);
            *this.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
            return Poll::Ready(Err(io::Error::other("the server is not listened to")));
        }
        read
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        [&[tag][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
    }

    fn authentication(code: u32, body: &str) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes(), body.as_bytes()].concat())
    }

    /// Takes the bytes in pieces of every length up to 7.
    fn taken(password: bool, bytes: &[u8]) -> Result<(), Refusal> {
        let results: Vec<_> = (1..8)
            .map(|length| {
                let mut messages = Messages::new(Allowed { password, bytes: 1 << 20 });
                bytes.chunks(length).try_for_each(|piece| messages.take(piece))
            })
            .collect();
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        results[0].clone()
    }

    // invariant: A PGPASSWORD is never sent to the server of a source, only proven by SCRAM.
    #[test]
    fn a_password_is_sent_only_where_that_is_allowed() {
        for asked in [authentication(3, ""), authentication(5, "salt")] {
            let asked = [message(b'N', b"hello"), asked].concat();
            assert_eq!(taken(false, &asked), Err(Refusal::Password));
            assert_eq!(taken(true, &asked), Ok(()));
        }
        let scram = |rounds: u32| {
            [authentication(10, "SCRAM-SHA-256\0\0"), authentication(11, &format!("r=x,s=eA==,i={rounds}"))].concat()
        };
        assert_eq!(taken(false, &scram(4096)), Ok(()));
        assert_eq!(taken(false, &scram(1)), Err(Refusal::Rounds(1)));
        assert_eq!(taken(true, &scram(1)), Ok(()));
        assert_eq!(taken(true, &scram(4_000_000_000)), Err(Refusal::Rounds(4_000_000_000)));
        assert_eq!(taken(true, &authentication(11, "r=x,s=eA==")), Err(Refusal::Malformed));
    }

    #[test]
    fn messages_are_bounded() {
        let head = |tag: u8, length: u32| [&[tag][..], &length.to_be_bytes()].concat();
        assert_eq!(taken(true, &head(b'D', 3)), Err(Refusal::Malformed));
        assert_eq!(taken(true, &head(b'D', u32::MAX)), Err(Refusal::Long(u32::MAX as usize - 4)));
        assert_eq!(taken(true, &head(b'D', 1 << 20)), Ok(()));
        assert_eq!(taken(true, &head(b'R', 1 << 20)), Err(Refusal::Long((1 << 20) - 4)));
        assert_eq!(taken(true, &message(b'S', &[0; 60_000]).repeat(2)), Err(Refusal::Settings));
        assert_eq!(taken(true, &message(b'N', &[0; 60_000]).repeat(20)), Err(Refusal::Flood));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_alike_in_any_pieces(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = taken(false, &bytes);
        }
    }
}
