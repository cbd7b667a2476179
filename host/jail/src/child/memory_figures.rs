//! How much memory this process has.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// `/proc/self/statm`, opened before opening is refused. It is the cheapest source of a process's
/// memory size.
#[derive(Debug)]
pub(super) struct MemoryFigures(File);

impl MemoryFigures {
    /// # Errors
    /// `/proc` is not mounted.
    pub(super) fn open() -> io::Result<Self> {
        File::open("/proc/self/statm").map(Self)
    }

    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Returns the bytes of private writable memory, including the stack, and of the address space.
    /// `RLIMIT_DATA` does not count the stack, which is some hundred KiB here.
    ///
    /// # Errors
    /// The figures cannot be read.
    pub(super) fn private_and_reserved(&self) -> io::Result<(u64, u64)> {
        let mut bytes = [0; 256];
        let length = self.0.read_at(&mut bytes, 0)?;
        let page = rustix::param::page_size() as u64;
        let mut words = bytes[..length].split(u8::is_ascii_whitespace);
        let figure = |word: Option<&[u8]>| std::str::from_utf8(word?).ok()?.parse::<u64>().ok();
        let (all, data) = (figure(words.next()), figure(words.nth(4)));
        let figures = data.zip(all).map(|(data, all)| (data.saturating_mul(page), all.saturating_mul(page)));
        figures.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}
