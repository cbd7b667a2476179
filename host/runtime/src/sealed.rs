//! Immutable bytes in memory, so that the code that was verified is the code that runs.
//!
//! The bytes are in a sealed memory file of Linux (`memfd_create`). A mapped file of the cache
//! would show writes that happen after the verification, and wasmtime would copy bytes on the heap
//! once more.

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, SealFlags};

/// Creates an empty file in memory, which can be written until it is sealed.
pub(crate) fn memory_file(name: &str) -> io::Result<File> {
    Ok(File::from(rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?))
}

/// A file in memory whose bytes and length no process can change.
#[derive(Debug)]
pub(crate) struct Sealed(File);

impl Sealed {
    /// Seals a [`memory_file`].
    pub(crate) fn new(file: File) -> io::Result<Self> {
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok(Self(file))
    }

    /// Returns a path under which this process can open the file.
    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Returns the file descriptor, to be passed to another process.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Returns a reader that starts at the first byte. All readers share one position, so use one
    /// at a time.
    pub(crate) fn reader(&self) -> io::Result<impl io::Read> {
        (&self.0).rewind()?;
        Ok(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    // invariant: The bytes that were verified are the bytes that run.
    #[test]
    fn sealed_bytes_cannot_be_written_again() {
        let mut file = memory_file("test").expect("memory files");
        file.write_all(b"code").expect("room");
        let writer = file.try_clone().expect("a handle");
        let sealed = Sealed::new(file).expect("seals");
        assert!((&writer).write_all(b"more").is_err() && writer.set_len(1).is_err());
        let reopened = std::fs::OpenOptions::new().write(true).open(sealed.path());
        assert!(reopened.and_then(|mut file| file.write_all(b"evil")).is_err());
        let mut read = Vec::new();
        sealed.reader().and_then(|mut bytes| bytes.read_to_end(&mut read)).expect("bytes");
        assert_eq!(read, b"code");
    }
}
