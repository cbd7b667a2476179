//! The memory of a ring, which both processes map. All unsafe code of the ring is here.
//!
//! A memory file has the writer's page, the reader's page, and the data. The data is mapped twice
//! in a row, so that every piece is contiguous.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// The largest ring in bytes. A larger one would only exceed the processor's caches.
const MOST: usize = 1 << 30;

/// The words of the two pages. They are 64 bytes apart, so each has its own cache line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In the writer's page: whether it waits for room.
    WriterWaits,
    /// In the writer's page: the number of pieces written, as a futex.
    Filled,
    /// In the reader's page: whether it waits for a piece.
    ReaderWaits,
    /// In the reader's page: the number of pieces read, as a futex.
    Freed,
}

/// A mapped ring.
#[derive(Debug)]
pub(crate) struct Memory {
    base: NonNull<u8>,
    page: usize,
    size: usize,
}

// SAFETY: the value owns the mapping until it is dropped, and the mapping is not bound to a thread.
// Its contents are accessed through atomics and raw copies only.
unsafe impl Send for Memory {}
// SAFETY: as above; no method hands out a reference to anything but atomics.
unsafe impl Sync for Memory {}

/// Creates the file of a ring with `size` bytes of data, a power of two and a multiple of the page
/// size.
///
/// The length is sealed: a child that could truncate the file would kill the reading parent by a
/// bus error.
///
/// # Errors
/// The size is invalid, or the system cannot create the file.
#[cfg(feature = "parent")]
pub(crate) fn create(size: usize) -> io::Result<std::os::fd::OwnedFd> {
    let page = rustix::param::page_size();
    if !size.is_power_of_two() || !size.is_multiple_of(page) || size > MOST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a ring has a power of two of bytes, whole pages, at most {MOST}, not `{size}`"),
        ));
    }
    use rustix::fs::MemfdFlags;
    let file = rustix::fs::memfd_create("ring", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    rustix::fs::ftruncate(&file, (2 * page + size) as u64)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(file)
}

impl Memory {
    /// Maps a file that [`create`] made.
    ///
    /// # Errors
    /// The file is not the file of a ring, or there is no room for the mapping.
    pub(crate) fn map(file: impl AsFd) -> io::Result<Self> {
        let file = file.as_fd();
        let page = rustix::param::page_size();
        let length = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or_default();
        let size = length.saturating_sub(2 * page);
        let seals = rustix::fs::fcntl_get_seals(file)?;
        if !size.is_power_of_two() || !size.is_multiple_of(page) || size > MOST || !seals.contains(SealFlags::SHRINK) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a file of {length} bytes is no ring")));
        }
        // SAFETY: the kernel chooses the address of the reservation, so it affects no other
        // mapping.
        let base = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length + size, ProtFlags::empty(), flags)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on, dropping the value unmaps the reservation.
        let memory = Self { base, page, size };
        let (access, fixed) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        // SAFETY: both mappings lie within the reservation above, which this function owns:
        // `length` bytes from its start, then `size` bytes.
        unsafe {
            rustix::mm::mmap(base.as_ptr().cast(), length, access, fixed, file, 0)?;
            rustix::mm::mmap(base.add(length).as_ptr().cast(), size, access, fixed, file, 2 * page as u64)?;
        }
        Ok(memory)
    }

    /// Returns the size of the data in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Returns the writer's position: the number of bytes ever written.
    pub(crate) fn head(&self) -> &AtomicU64 {
        // SAFETY: this is the start of the mapping, which is page-aligned and lives as long as
        // `self`.
        unsafe { self.base.cast().as_ref() }
    }

    /// Returns the reader's position: the number of bytes ever read.
    pub(crate) fn tail(&self) -> &AtomicU64 {
        // SAFETY: this is the start of the mapping's second page, which lives as long as `self`.
        unsafe { self.base.add(self.page).cast().as_ref() }
    }

    /// Returns a word of the two pages.
    pub(crate) fn word(&self, place: Place) -> &AtomicU32 {
        let at = match place {
            Place::WriterWaits => 64,
            Place::Filled => 128,
            Place::ReaderWaits => self.page + 64,
            Place::Freed => self.page + 128,
        };
        // SAFETY: the word is within the first two pages of the mapping, aligned to 64 bytes, and
        // lives as long as `self`.
        unsafe { self.base.add(at).cast().as_ref() }
    }

    /// Returns the address of a position of the stream.
    fn data(&self, position: u64, length: usize) -> NonNull<u8> {
        assert!(length <= self.size, "a copy fits the ring");
        // The size is a power of two, so truncating the position loses nothing.
        let at = position as usize & (self.size - 1);
        // SAFETY: the data is mapped twice in a row, so `size` bytes are mapped from each of the
        // first `size` bytes on.
        unsafe { self.base.add(2 * self.page + at) }
    }

    /// Copies bytes into the ring.
    pub(crate) fn write(&self, position: u64, bytes: &[u8]) {
        let to = self.data(position, bytes.len());
        // SAFETY: `data` guarantees the room. The other process may access the same bytes
        // meanwhile. This process has no reference to them, so the worst case is that they have
        // other values.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) }
    }

    /// Copies bytes out of the ring. Only the copy may be checked, since the other process can
    /// change the ring at any time.
    pub(crate) fn read<const N: usize>(&self, position: u64) -> [u8; N] {
        let from = self.data(position, N);
        let mut bytes = [0; N];
        // SAFETY: as in `write`, with the roles exchanged.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), bytes.as_mut_ptr(), N) }
        bytes
    }

    /// Copies bytes out of the ring and appends them to `bytes`.
    pub(crate) fn append(&self, position: u64, length: usize, bytes: &mut Vec<u8>) {
        let from = self.data(position, length);
        bytes.reserve(length);
        // SAFETY: as in `read`; `length` bytes are reserved, and initialised before the length is
        // set.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr(), bytes.as_mut_ptr().add(bytes.len()), length);
            bytes.set_len(bytes.len() + length);
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the value owns this mapping, and no reference to it outlives the value.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), 2 * self.page + 2 * self.size) };
        debug_assert!(unmapped.is_ok());
    }
}
