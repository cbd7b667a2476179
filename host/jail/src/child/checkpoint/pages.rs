//! The pages of a checkpoint: which are tracked, which were written, and copies of these.
//!
//! All of it is in a mapping of its own, which is made after the list of tracked mappings was read
//! and is in none of them. The handler of write faults runs on the thread that it interrupts, so
//! nothing here is shared between threads. It uses raw pointers, because the handler may run
//! between any two instructions of other functions, except where those say that no page can fault.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, compiler_fence};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use crate::child::memory_figures::MemoryFigures;

/// The number of pages for copies that are mapped at once.
const COPIES: usize = 256;

/// The most pages that one fault makes writable, where faults follow each other upwards. Each makes
/// twice as many writable as the one before.
const MOST_AT_ONCE: usize = 64;

/// The number of writable pages from which on a fault makes [`COARSE`] pages writable. Every page
/// that differs from its neighbours may be a mapping of its own, and Linux allows 65,530.
const FINE: usize = 8192;

/// See [`FINE`].
const COARSE: usize = 512;

/// With more writable pages than this, it may be that most of them were written once, by work that
/// was larger than usual, and are written back each time for nothing. So all pages become read-only
/// again after some works: after one at first, and after twice as many, up to [`PATIENT`], as long
/// as about as many pages are then written again. A fault costs some 30 times as much as a copy.
const FEW: usize = 256;

/// See [`FEW`].
const PATIENT: u32 = 4096;

/// The bit of a page's entry that is set while the page is writable. Copies are aligned to pages.
const OPEN: usize = 1;

/// A tracked mapping.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    start: usize,
    end: usize,
    /// The place of its first page among all entries.
    first: usize,
}

/// A page that is writable, and its copy.
#[derive(Clone, Copy)]
struct Opened {
    page: *mut u8,
    copy: *const u8,
}

/// See the module's documentation.
pub(super) struct Pages {
    page: usize,
    /// Tracked mappings, ascending.
    tracked: *mut Tracked,
    tracked_count: usize,
    /// Mappings that are reserved and must stay inaccessible.
    reserved: *mut Range<usize>,
    reserved_count: usize,
    /// For each tracked page the address of its copy, or 0, and [`OPEN`].
    entries: *mut usize,
    /// The writable pages.
    opened: *mut Opened,
    opened_count: usize,
    /// The number of them after the work of before.
    opened_before: usize,
    /// Works since all pages were read-only, and the number after which they become so again.
    works: u32,
    patience: u32,
    /// The number of writable pages when that happened last.
    peak: usize,
    /// The last entry that a fault opened, and how many it opened.
    last: usize,
    at_once: usize,
    /// Free pages for copies.
    copies: Range<usize>,
    /// The end of the heap.
    heap_end: usize,
    /// Private writable memory in bytes, when all was restored.
    private: u64,
    next: libc::sigaction,
}

impl Pages {
    /// Maps memory for the pages of these mappings, which are ascending.
    ///
    /// # Errors
    /// There is not enough memory.
    ///
    /// # Safety
    /// The mappings are those of this process, and stay mapped. No other thread writes to them.
    pub(super) unsafe fn new(
        tracked: impl Iterator<Item = Range<usize>> + Clone,
        reserved: impl Iterator<Item = Range<usize>> + Clone,
    ) -> io::Result<NonNull<Self>> {
        let page = rustix::param::page_size();
        let (tracked_count, reserved_count) = (tracked.clone().count(), reserved.clone().count());
        let all: usize = tracked.clone().map(|range| range.len() / page).sum();
        let mut layout = Layout(0);
        let own = layout.place::<Self>(1);
        let places = (layout.place::<Tracked>(tracked_count), layout.place::<Range<usize>>(reserved_count));
        let (entries, opened) = (layout.place::<usize>(all), layout.place::<Opened>(all));
        let base = map(layout.0.next_multiple_of(page))?;
        // SAFETY: the mapping is as large as the layout, whose places are aligned, and a fresh
        // mapping is zeroed. Each array gets as many values as were counted.
        unsafe {
            let this = base.add(own).cast::<Self>();
            this.write(Self {
                page,
                tracked: base.add(places.0).cast().as_ptr(),
                tracked_count,
                reserved: base.add(places.1).cast().as_ptr(),
                reserved_count,
                entries: base.add(entries).cast().as_ptr(),
                opened: base.add(opened).cast().as_ptr(),
                opened_count: 0,
                opened_before: 0,
                works: 0,
                patience: 1,
                peak: 0,
                last: usize::MAX,
                at_once: 1,
                copies: 0..0,
                heap_end: heap_end(0),
                private: 0,
                next: std::mem::zeroed(),
            });
            let mut first = 0;
            for (place, range) in tracked.enumerate() {
                (*this.as_ptr()).tracked.add(place).write(Tracked { start: range.start, end: range.end, first });
                first += range.len() / page;
            }
            for (place, range) in reserved.enumerate() {
                (*this.as_ptr()).reserved.add(place).write(range);
            }
            Ok(this)
        }
    }

    /// Sets the handler that follows.
    pub(super) unsafe fn set_next(this: NonNull<Self>, next: libc::sigaction) {
        // SAFETY: the value lives as long as the process, and no handler runs yet.
        unsafe { (*this.as_ptr()).next = next };
    }

    /// Returns the handler that follows.
    pub(super) unsafe fn next(this: NonNull<Self>) -> libc::sigaction {
        // SAFETY: the value lives as long as the process.
        unsafe { (*this.as_ptr()).next }
    }

    /// Makes all tracked pages read-only: what is in them now is what [`Pages::restore`] returns
    /// to. Everything that is written from here on must be restored.
    ///
    /// # Errors
    /// The system refuses it.
    pub(super) unsafe fn protect(this: NonNull<Self>, figures: &MemoryFigures) -> io::Result<()> {
        // SAFETY: the pointers are those of `new`, and the handler does not run, because nothing
        // here writes to a tracked page before the first call of `mprotect`. From then on, only the
        // stack and this value are written, by which no page faults.
        unsafe {
            let pages = this.as_ptr();
            for opened in std::slice::from_raw_parts((*pages).opened, (*pages).opened_count) {
                if let Some(entry) = Self::entry(this, opened.page as usize) {
                    *(*pages).entries.add(entry) &= !OPEN;
                }
            }
            ((*pages).opened_count, (*pages).opened_before, (*pages).works) = (0, 0, 0);
            compiler_fence(Ordering::SeqCst);
            for range in std::slice::from_raw_parts((*pages).tracked, (*pages).tracked_count) {
                let length = range.end - range.start;
                rustix::mm::mprotect(range.start as *mut _, length, MprotectFlags::READ)?;
            }
            (*pages).private = figures.private_and_reserved()?.0;
            compiler_fence(Ordering::SeqCst);
        }
        Ok(())
    }

    /// Makes the page at this address writable, and keeps a copy of it. Returns `false` if the page
    /// is not tracked or is writable, so that the fault has another reason.
    pub(super) unsafe fn open(this: NonNull<Self>, address: usize) -> bool {
        // SAFETY: the pointers are those of `new`. The pages that are copied are mapped and
        // readable, since they are tracked and not writable.
        unsafe {
            let pages = this.as_ptr();
            let Some((range, entry)) = Self::find(this, address) else { return false };
            if *(*pages).entries.add(entry) & OPEN != 0 {
                return false;
            }
            let in_turn = (*pages).last.wrapping_add(1) == entry;
            let wanted = if (*pages).opened_count >= FINE {
                COARSE
            } else if in_turn {
                ((*pages).at_once * 2).min(MOST_AT_ONCE)
            } else {
                1
            };
            let page = (*pages).page;
            let start = address & !(page - 1);
            let count = wanted.min((range.end - start) / page);
            for number in 0..count {
                Self::keep(this, entry + number, (start + number * page) as *mut u8);
            }
            ((*pages).last, (*pages).at_once) = (entry + count - 1, count);
            let access = MprotectFlags::READ | MprotectFlags::WRITE;
            if rustix::mm::mprotect(start as *mut _, count * page, access).is_err() {
                out_of_memory();
            }
            true
        }
    }

    /// Copies a page, unless there is a copy or the page is writable, and notes that it becomes
    /// writable.
    unsafe fn keep(this: NonNull<Self>, entry: usize, page: *mut u8) {
        // SAFETY: as in `open`. `opened` has room for every tracked page, and a page is in it once.
        unsafe {
            let pages = this.as_ptr();
            let entry = (*pages).entries.add(entry);
            if *entry & OPEN != 0 {
                return;
            }
            if *entry == 0 {
                if (*pages).copies.is_empty() {
                    let length = COPIES * (*pages).page;
                    let Ok(fresh) = map(length) else { out_of_memory() };
                    (*pages).copies = fresh.as_ptr() as usize..fresh.as_ptr() as usize + length;
                }
                let copy = (*pages).copies.start;
                (*pages).copies.start += (*pages).page;
                std::ptr::copy_nonoverlapping(page, copy as *mut u8, (*pages).page);
                *entry = copy;
            }
            (*pages).opened.add((*pages).opened_count).write(Opened { page, copy: *entry as *const u8 });
            (*pages).opened_count += 1;
            *entry |= OPEN;
        }
    }

    /// Returns all memory to what it was at [`Pages::protect`].
    ///
    /// # Errors
    /// The system refuses it. The memory is then undefined, and the process must end.
    pub(super) unsafe fn restore(this: NonNull<Self>, figures: &MemoryFigures) -> io::Result<()> {
        // SAFETY: the pages in `opened` are writable and have copies of their length. Nothing is
        // called but what uses the stack alone: the allocator's state and thread-local values are
        // among what is written here.
        unsafe {
            let pages = this.as_ptr();
            let page = (*pages).page;
            for opened in std::slice::from_raw_parts((*pages).opened, (*pages).opened_count) {
                std::ptr::copy_nonoverlapping(opened.copy, opened.page, page);
            }
            compiler_fence(Ordering::SeqCst);
            (*pages).works = (*pages).works.saturating_add(1);
            let opened = (*pages).opened_count;
            let many = opened > FEW && (*pages).works >= (*pages).patience;
            // Other memory is writable than before where pages were opened, the heap grew, or
            // reserved memory was made accessible.
            let unchanged = opened == (*pages).opened_before;
            if !many && unchanged && figures.private_and_reserved()?.0 == (*pages).private {
                return Ok(());
            }
            Self::close(this)?;
            if many {
                let again = opened >= (*pages).peak / 2;
                (*pages).patience = if again { ((*pages).patience * 2).min(PATIENT) } else { 1 };
                (*pages).peak = opened;
                return Self::protect(this, figures);
            }
            (*pages).opened_before = opened;
            (*pages).private = figures.private_and_reserved()?.0;
            compiler_fence(Ordering::SeqCst);
        }
        Ok(())
    }

    /// Gives back what the heap grew by, and makes reserved memory inaccessible again.
    unsafe fn close(this: NonNull<Self>) -> io::Result<()> {
        // SAFETY: the memory behind the end of the heap, and reserved memory, was not accessible at
        // the checkpoint. Nothing that was restored refers to it.
        unsafe {
            let pages = this.as_ptr();
            if heap_end((*pages).heap_end) != (*pages).heap_end {
                return Err(io::Error::other("the end of the heap cannot be set back"));
            }
            for range in std::slice::from_raw_parts((*pages).reserved, (*pages).reserved_count) {
                let (start, length) = (range.start as *mut _, range.len());
                rustix::mm::mprotect(start, length, MprotectFlags::empty())?;
                rustix::mm::madvise(start, length, Advice::LinuxDontNeed)?;
            }
        }
        Ok(())
    }

    /// Returns the tracked mapping that contains an address, and the page's entry.
    unsafe fn find(this: NonNull<Self>, address: usize) -> Option<(Tracked, usize)> {
        // SAFETY: the pointers are those of `new`.
        let (tracked, page) = unsafe {
            let pages = this.as_ptr();
            (std::slice::from_raw_parts((*pages).tracked, (*pages).tracked_count), (*pages).page)
        };
        let after = tracked.partition_point(|range| range.start <= address);
        let range = *tracked.get(after.checked_sub(1)?)?;
        (address < range.end).then_some((range, range.first + (address - range.start) / page))
    }

    unsafe fn entry(this: NonNull<Self>, address: usize) -> Option<usize> {
        // SAFETY: passed on from the caller.
        unsafe { Self::find(this, address) }.map(|(_, entry)| entry)
    }
}

/// Places values of several types in one mapping.
struct Layout(usize);

impl Layout {
    /// Returns the offset of an array.
    fn place<T>(&mut self, count: usize) -> usize {
        let start = self.0.next_multiple_of(align_of::<T>());
        self.0 = start + count * size_of::<T>();
        start
    }
}

/// Maps private memory, which is zeroed.
fn map(length: usize) -> io::Result<NonNull<u8>> {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: the kernel chooses the address, so it affects no other mapping.
    let place = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, access, flags)? };
    NonNull::new(place.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Sets the end of the heap, unless it is 0, and returns it. Not by the C library, which keeps the
/// end in a static that is restored by itself.
fn heap_end(wanted: usize) -> usize {
    // SAFETY: gives memory back only where the caller says that nothing is there.
    unsafe { libc::syscall(libc::SYS_brk, wanted) as usize }
}

/// Ends the process for want of memory, with the words that Rust's allocator would use.
fn out_of_memory() -> ! {
    let words = b"memory allocation of 4096 bytes failed\n";
    // SAFETY: writes constant bytes to standard error, and ends the process.
    unsafe {
        libc::write(2, words.as_ptr().cast(), words.len());
        libc::abort()
    }
}
