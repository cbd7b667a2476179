//! The bytes of an Arrow IPC file or stream.

use std::io::Read;
use std::path::Path;

use arrow_buffer::Buffer;
use arrow_ipc::root_as_footer;
use bytes::Bytes;

use super::stop::Stop;
use crate::error::{DataError, shown};
use crate::source::file_format::{FileFormat, HEAD_BYTES, recognise};

/// The bytes in front of the stream in a file: the magic number, aligned to eight bytes.
const HEAD: usize = 8;

/// The bytes behind the footer: its length, and the magic number.
const TAIL: usize = 10;

/// The magic number at both ends of a file.
const MAGIC: &[u8] = b"ARROW1";

/// The longest file that is read into the memory of this process. A decoder process maps its file,
/// and has a limit of its own.
const MAX_READ: u64 = 1 << 30;

/// The bytes of a file or stream.
pub(in crate::source) struct IpcBytes(Buffer);

impl IpcBytes {
    /// Reads a file into memory.
    pub(in crate::source) fn read(file: &mut dyn Read, path: &Path) -> Result<Self, DataError> {
        let mut bytes = Vec::new();
        let read = file.take(MAX_READ + 1).read_to_end(&mut bytes);
        read.map_err(|error| DataError::unreadable(path, error, ""))?;
        if bytes.len() as u64 > MAX_READ {
            let problem = format!("it has more than {MAX_READ} bytes, which are too many to read without walls");
            return Err(DataError::unreadable(path, problem, "have it written as Parquet, or in several files"));
        }
        Ok(Self(Buffer::from_vec(bytes)))
    }

    /// Takes bytes that are in memory already, without a copy.
    pub(in crate::source) fn of_memory(bytes: &'static [u8]) -> Self {
        Self(Buffer::from(Bytes::from_static(bytes)))
    }

    /// Returns the stream, and of a file the number of batches that its footer tells.
    pub(super) fn stream(self, path: &Path) -> Result<(Buffer, Option<usize>), Stop> {
        let Self(bytes) = self;
        match recognise(&bytes[..bytes.len().min(HEAD_BYTES)]) {
            Some(FileFormat::Arrow) => {}
            Some(found) => return Err(found.error(path).into()),
            None => return Ok((bytes, None)),
        }
        let cut = "it begins as an Arrow file and does not end as one: it may be truncated";
        let end = bytes.len().checked_sub(TAIL).filter(|end| *end >= HEAD).ok_or(cut)?;
        let (length, magic) = bytes[end..].split_first_chunk::<4>().ok_or(cut)?;
        if magic != MAGIC {
            return Err(cut.into());
        }
        let length = usize::try_from(i32::from_le_bytes(*length)).ok();
        let start = length.and_then(|length| end.checked_sub(length)).filter(|start| *start >= HEAD);
        let start = start.ok_or("its footer is longer than the file")?;
        // The verifier wants eight aligned bytes.
        let footer = Buffer::from_slice_ref(&bytes[start..end]);
        let footer =
            root_as_footer(&footer).map_err(|error| format!("its footer is damaged: {}", shown(&error.to_string())))?;
        let batches = footer.recordBatches().map_or(0, |blocks| blocks.len());
        // Writers align the stream to 8 or 64 bytes. A message begins with no zero.
        let padding = bytes[HEAD..start].chunks_exact(HEAD).take_while(|chunk| **chunk == [0; HEAD]).count() * HEAD;
        let first = HEAD + padding;
        Ok((bytes.slice_with_length(first, start - first), Some(batches)))
    }
}
