//! The messages of an Arrow IPC stream: a length, a flatbuffer and a body each.
//!
//! Every length is checked against the bytes that are there, so nothing is allocated by what a
//! stream claims.

use std::ops::Range;

use arrow_buffer::Buffer;
use arrow_ipc::{Message, MetadataVersion, root_as_message};

use crate::error::shown;

/// The marker before a message's length.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The bytes of the marker and the length.
const PREFIX_BYTES: usize = 8;

/// Reads messages from the first to the last.
pub(crate) struct Messages<'a> {
    stream: &'a Buffer,
    at: usize,
}

/// A message.
pub(crate) struct Framed<'a> {
    pub(crate) message: Message<'a>,
    pub(crate) body: Buffer,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(stream: &'a Buffer) -> Self {
        Self { stream, at: 0 }
    }

    /// Returns the next message; `None` at the end, which a stream may mark.
    pub(crate) fn next(&mut self) -> Result<Option<Framed<'a>>, String> {
        let bytes = self.stream.as_slice();
        if self.at == bytes.len() {
            return Ok(None);
        }
        let start = self.at;
        let prefix = self.take(PREFIX_BYTES).ok_or_else(|| cut(start))?;
        let (marker, length) = bytes[prefix].split_at(CONTINUATION.len());
        if marker != CONTINUATION {
            return Err(format!("no message begins at byte {start}"));
        }
        let length = i32::from_le_bytes(length.try_into().map_err(|_| cut(start))?);
        if length == 0 {
            return match bytes.len() - self.at {
                0 => Ok(None),
                more => Err(format!("{more} bytes follow the end of the stream")),
            };
        }
        let header = usize::try_from(length).ok().and_then(|length| self.take(length)).ok_or_else(|| cut(start))?;
        let message = root_as_message(&bytes[header])
            .map_err(|error| format!("the message at byte {start} is damaged: {}", shown(&error.to_string())))?;
        if message.version() < MetadataVersion::V4 || message.version() > MetadataVersion::V5 {
            return Err(format!("the message at byte {start} has a version of the format that is not read"));
        }
        let body = usize::try_from(message.bodyLength()).ok().and_then(|length| self.take(length));
        let body = body.ok_or_else(|| cut(start))?;
        Ok(Some(Framed { message, body: self.stream.slice_with_length(body.start, body.len()) }))
    }

    fn take(&mut self, bytes: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(bytes)?;
        (range.end <= self.stream.len()).then(|| {
            self.at = range.end;
            range
        })
    }
}

fn cut(start: usize) -> String {
    format!("it ends within the message that begins at byte {start}")
}
