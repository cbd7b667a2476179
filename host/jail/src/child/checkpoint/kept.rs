//! Values that a checkpoint leaves as they are.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use rustix::mm::{MapFlags, ProtFlags};

/// A value in a mapping of its own, which is never given back.
///
/// The mapping is a shared one, although no other process has it: checkpoints track private memory
/// only.
#[derive(Debug)]
pub(in crate::child) struct Kept<T>(NonNull<T>);

// SAFETY: the value owns the mapping, which is not bound to a thread.
unsafe impl<T: Send> Send for Kept<T> {}
// SAFETY: as above; references to the value are given out by the rules of `Deref` and `DerefMut`.
unsafe impl<T: Sync> Sync for Kept<T> {}

/// Maps memory for a value.
fn map<T>() -> io::Result<NonNull<T>> {
    assert!(align_of::<T>() <= rustix::param::page_size());
    // SAFETY: the kernel chooses the address, so it affects no other mapping.
    let place = unsafe {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        rustix::mm::mmap_anonymous(std::ptr::null_mut(), size_of::<T>().max(1), access, flags)?
    };
    NonNull::new(place.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

impl<T> Kept<T> {
    /// Moves a value into a mapping.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(in crate::child) fn new(value: T) -> io::Result<Self> {
        let place = map::<T>()?;
        // SAFETY: the mapping is fresh, writable, and as large and aligned as a `T`.
        unsafe { place.write(value) };
        Ok(Self(place))
    }
}

impl<const N: usize> Kept<[u8; N]> {
    /// Creates an array of zeroes.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(super) fn zeroed() -> io::Result<Self> {
        // A fresh mapping has zeroes, which are valid bytes.
        map().map(Self)
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the mapping holds a valid `T` as long as the process lives.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and this value is the only one with the pointer.
        unsafe { self.0.as_mut() }
    }
}
