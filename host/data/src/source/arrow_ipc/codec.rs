//! Compressed buffers of Arrow files, as Feather has them.

use std::io::Read;

use arrow_buffer::Buffer;
use arrow_ipc::{BodyCompression, CompressionType};

use crate::error::shown;

/// The most bytes that the buffers of one batch unpack to. Their lengths are what a file claims,
/// and nothing is allocated by them.
pub(super) const MAX_UNPACKED: usize = 1 << 30;

/// Bytes of the length in front of a compressed buffer.
const LENGTH_BYTES: usize = 8;
/// The length that says that a buffer is not compressed.
const PLAIN: i64 = -1;

/// How buffers are compressed.
#[derive(Clone, Copy)]
pub(super) enum Codec {
    Zstd,
}

impl Codec {
    pub(super) fn of(compression: BodyCompression<'_>) -> Result<Self, String> {
        match compression.codec() {
            CompressionType::LZ4_FRAME => {
                Err("its buffers are compressed with LZ4, which is not read: write it with zstd or without compression"
                    .to_owned())
            }
            CompressionType::ZSTD => Ok(Self::Zstd),
            other => Err(format!("its buffers have a compression that nobody knows: {}", other.0)),
        }
    }

    /// Returns what a buffer unpacks to, which is taken from `room`.
    pub(super) fn unpack(self, buffer: &Buffer, room: &mut usize) -> Result<Buffer, String> {
        if buffer.is_empty() {
            return Ok(buffer.clone());
        }
        let (length, packed) = buffer.split_first_chunk::<LENGTH_BYTES>().ok_or("a compressed buffer has no length")?;
        let length = i64::from_le_bytes(*length);
        if length == PLAIN {
            return Ok(buffer.slice(LENGTH_BYTES));
        }
        let length = usize::try_from(length).map_err(|_| format!("a buffer unpacks to {length} bytes"))?;
        *room = room
            .checked_sub(length)
            .ok_or_else(|| format!("a batch unpacks to more than {MAX_UNPACKED} bytes: write it in smaller batches"))?;
        let mut bytes = Vec::new();
        let read = match self {
            Self::Zstd => zstd::stream::read::Decoder::with_buffer(packed)
                .and_then(|decoder| decoder.take(length as u64 + 1).read_to_end(&mut bytes)),
        };
        read.map_err(|error| format!("a compressed buffer is damaged: {}", shown(&error.to_string())))?;
        if bytes.len() != length {
            return Err(format!("a buffer says that it unpacks to {length} bytes, and has another length"));
        }
        Ok(Buffer::from_vec(bytes))
    }
}
