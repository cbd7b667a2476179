//! The memory that both processes map. Everything that is unsafe about it is here.
//!
//! A memory file: the writer's page, the reader's page, then the data, which is mapped twice in a
//! row, so that no piece of a message ever lies in two parts.

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// The largest ring. More only falls out of the processor's caches.
const MOST: usize = 1 << 30;

/// Words of the two pages, 64 bytes apart: each in a cache line of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Writer's: whether it waits for room.
    WriterWaits,
    /// Writer's: counts pieces, for a futex.
    Filled,
    /// Reader's: whether it waits for a piece.
    ReaderWaits,
    /// Reader's: counts pieces that were taken, for a futex.
    Freed,
}

/// A mapped ring.
#[derive(Debug)]
pub(crate) struct Memory {
    base: NonNull<u8>,
    page: usize,
    size: usize,
}

// SAFETY: the mapping belongs to the value until it is dropped, and is bound to no thread. What is
// in it is reached through atomics and raw copies alone.
unsafe impl Send for Memory {}
// SAFETY: as above; no method hands out a reference to anything but atomics.
unsafe impl Sync for Memory {}

/// A file for a ring with `size` bytes of data, a power of two and whole pages.
///
/// Its length is final: a child that could cut it would kill the parent, which reads it, by a bus
/// error.
///
/// # Errors
/// The size, or the system, forbids it.
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
    /// It is not such a file, or there is no room for it.
    pub(crate) fn map(file: impl AsFd) -> io::Result<Self> {
        let file = file.as_fd();
        let page = rustix::param::page_size();
        let length = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or_default();
        let size = length.saturating_sub(2 * page);
        let seals = rustix::fs::fcntl_get_seals(file)?;
        if !size.is_power_of_two() || !size.is_multiple_of(page) || size > MOST || !seals.contains(SealFlags::SHRINK) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a file of {length} bytes is no ring")));
        }
        // SAFETY: a fresh reservation at an address of the kernel's choice touches no other
        // mapping.
        let base = unsafe {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
            rustix::mm::mmap_anonymous(std::ptr::null_mut(), length + size, ProtFlags::empty(), flags)?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // From here on, dropping it gives the reservation back.
        let memory = Self { base, page, size };
        let (access, fixed) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
        // SAFETY: both mappings lie within the reservation above, which is this function's own:
        // `length` bytes from its begin, then `size`.
        unsafe {
            rustix::mm::mmap(base.as_ptr().cast(), length, access, fixed, file, 0)?;
            rustix::mm::mmap(base.add(length).as_ptr().cast(), size, access, fixed, file, 2 * page as u64)?;
        }
        Ok(memory)
    }

    /// Bytes of data that lie in it at most.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// How much was ever written, in bytes; the writer's.
    pub(crate) fn head(&self) -> &AtomicU64 {
        // SAFETY: the begin of the mapping, which is aligned to a page and lives as long as `self`.
        unsafe { self.base.cast().as_ref() }
    }

    /// How much was ever read, in bytes; the reader's.
    pub(crate) fn tail(&self) -> &AtomicU64 {
        // SAFETY: the begin of the second page of the mapping, which lives as long as `self`.
        unsafe { self.base.add(self.page).cast().as_ref() }
    }

    /// A word that one side waits on.
    pub(crate) fn word(&self, place: Place) -> &AtomicU32 {
        let at = match place {
            Place::WriterWaits => 64,
            Place::Filled => 128,
            Place::ReaderWaits => self.page + 64,
            Place::Freed => self.page + 128,
        };
        // SAFETY: within the first two pages of the mapping, aligned to 64 bytes, and alive as long
        // as `self`.
        unsafe { self.base.add(at).cast().as_ref() }
    }

    /// Where a position of the endless stream lies.
    fn data(&self, position: u64, length: usize) -> NonNull<u8> {
        assert!(length <= self.size, "what is copied fits the ring");
        // The size is a power of two, so the cut to an address's width loses nothing.
        let at = position as usize & (self.size - 1);
        // SAFETY: the data lie twice in a row: from any of the first `size` bytes on, `size` bytes
        // are mapped.
        unsafe { self.base.add(2 * self.page + at) }
    }

    /// Copies bytes into the ring.
    pub(crate) fn write(&self, position: u64, bytes: &[u8]) {
        let to = self.data(position, bytes.len());
        // SAFETY: `data` says that there is room. The other process may read or write the same
        // bytes meanwhile: no reference to them exists in this one, so the worst is that they are
        // other bytes than these.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.as_ptr(), bytes.len()) }
    }

    /// Copies bytes out of the ring. They are looked at only afterwards: the other process may
    /// change what lies in the ring at any moment.
    pub(crate) fn read<const N: usize>(&self, position: u64) -> [u8; N] {
        let from = self.data(position, N);
        let mut bytes = [0; N];
        // SAFETY: as in `write`, with the roles exchanged.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), bytes.as_mut_ptr(), N) }
        bytes
    }

    /// Copies bytes out of the ring to the end of others.
    pub(crate) fn append(&self, position: u64, length: usize, bytes: &mut Vec<u8>) {
        let from = self.data(position, length);
        bytes.reserve(length);
        // SAFETY: as in `read`; there is room for `length` bytes, and they are written before they
        // count.
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
