//! Blobs as `std::io` streams: fitted states and models. They are read and written in chunks, so
//! that a blob may be larger than the stage's memory.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::stagewright::stage::blobs as imported;

/// Bytes of a chunk: large enough that the cost of a call does not matter, and far below the limit
/// of 8 MiB.
const CHUNK: usize = 256 * 1024;

/// A blob that a stage reads: the host's, or a `Vec<u8>` in native tests.
pub trait Blob {
    /// Returns the number of bytes.
    fn size(&self) -> u64;
    /// Returns at most `length` bytes from `offset` on. Returns none only at the end.
    ///
    /// # Errors
    /// Returns the host's failure.
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure>;
}

impl Blob for imported::Blob {
    fn size(&self) -> u64 {
        Self::size(self)
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        Self::read(self, offset, length)
    }
}

impl Blob for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }
    fn read(&self, offset: u64, length: u32) -> Result<Vec<u8>, Failure> {
        let rest = self.get(offset as usize..).unwrap_or_default();
        Ok(rest[..rest.len().min(length as usize)].to_vec())
    }
}

/// A buffered reader of a blob.
pub struct BlobReader<'a> {
    blob: &'a dyn Blob,
    offset: u64,
    chunk: Vec<u8>,
    used: usize,
}

impl<'a> BlobReader<'a> {
    /// Creates a reader that starts at the first byte.
    pub fn new(blob: &'a dyn Blob) -> Self {
        Self { blob, offset: 0, chunk: Vec::new(), used: 0 }
    }

    /// Returns the size of the whole blob.
    pub fn size(&self) -> u64 {
        self.blob.size()
    }

    /// Reads one JSON value, which must be the whole blob.
    ///
    /// # Errors
    /// `internal` if the bytes are not such a value, as in a state of another version of the stage.
    pub fn read_json<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size()).unwrap_or_default());
        self.read_to_end(&mut bytes)?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::internal(format!("the state cannot be read: {error}")))
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.used == self.chunk.len() {
            self.chunk = self.blob.read(self.offset, CHUNK as u32).map_err(io::Error::other)?;
            self.offset += self.chunk.len() as u64;
            self.used = 0;
        }
        let rest = &self.chunk[self.used..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.used += count;
        Ok(count)
    }
}

/// A buffered writer of a blob. In a component, it writes to the host, and the kit returns the blob
/// when the stage's function succeeds. Natively, it writes to memory.
pub struct BlobWriter {
    #[cfg(target_arch = "wasm32")]
    blob: imported::BlobWriter,
    buffer: Vec<u8>,
}

impl Default for BlobWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl BlobWriter {
    /// Creates an empty blob.
    pub fn new() -> Self {
        Self {
            #[cfg(target_arch = "wasm32")]
            blob: imported::BlobWriter::new(),
            buffer: Vec::new(),
        }
    }

    /// Writes one JSON value. Finite floats keep all of their bits.
    ///
    /// # Errors
    /// Returns the host's failure; `internal` if the value has no JSON form.
    pub fn write_json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        Ok(serde_json::to_writer(self, value)?)
    }

    /// Returns the bytes that were written, for native tests.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn finish(mut self) -> Result<imported::Blob, Failure> {
        self.flush()?;
        imported::BlobWriter::finish(self.blob)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn finish(self) -> Result<imported::Blob, Failure> {
        unreachable!("only a component returns a blob to the host")
    }
}

#[cfg(target_arch = "wasm32")]
impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        let count = bytes.len().min(CHUNK);
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.blob.write(&self.buffer).map_err(io::Error::other)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_longer_than_a_chunk_is_read_whole() {
        let bytes: Vec<u8> = (0..CHUNK * 2 + 7).map(|index| (index % 251) as u8).collect();
        let mut read = Vec::new();
        BlobReader::new(&bytes).read_to_end(&mut read).unwrap();
        assert_eq!(read, bytes);
    }

    #[test]
    fn json_keeps_every_bit_of_a_number() {
        let numbers = vec![0.1, -0.0, f64::MIN_POSITIVE, 1e308, 1.0 / 3.0];
        let mut writer = BlobWriter::new();
        writer.write_json(&numbers).unwrap();
        let bytes = writer.into_bytes();
        let read: Vec<f64> = BlobReader::new(&bytes).read_json().unwrap();
        assert!(read.iter().zip(&numbers).all(|(a, b)| a.to_bits() == b.to_bits()), "{read:?}");
    }

    #[test]
    fn bytes_after_the_json_are_refused() {
        let bytes = b"1 2".to_vec();
        assert!(BlobReader::new(&bytes).read_json::<u32>().is_err());
    }

    #[test]
    fn the_hosts_failure_reaches_the_stage_through_a_reader() {
        struct Broken;
        impl Blob for Broken {
            fn size(&self) -> u64 {
                10
            }
            fn read(&self, _: u64, _: u32) -> Result<Vec<u8>, Failure> {
                Err(Failure::internal("gone"))
            }
        }
        assert_eq!(BlobReader::new(&Broken).read_json::<u32>(), Err(Failure::internal("gone")));
    }
}
