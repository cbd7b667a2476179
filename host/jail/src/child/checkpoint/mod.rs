//! Checkpoints: the memory of a locked child returns to what it was, after each piece of work.
//!
//! A [`Checkpoint`] makes all private memory of the process read-only. The first write to a page
//! raises `SIGSEGV`, whose handler keeps a copy of the page and makes the page writable. After the
//! work, the copies are written back. A page that was written once stays writable and is written
//! back each time, so work that writes the same pages again costs one copy for each page, and no
//! system call. This is incremental checkpointing by page protection (Plank, Beck, Kingsley and Li
//! 1995, "Libckpt: transparent checkpointing under Unix").
//!
//! It covers whatever the process can write: heap, statics, thread-local values and every other
//! private mapping, with the end of the heap and the protection of reserved memory. So nothing has
//! to be known about the data in it. What it leaves as it is: the stack, where nothing of the work
//! remains; memory that the parent shares; and [`Kept`] values, which are the jail's own.
//!
//! It does not hold against native code of an attacker, which could write where no page is
//! restored. It holds for everything that a sandbox inside the process confines.
//!
//! A forked process for each piece of work would give the same, and would hold against native code
//! too. `docs/decisions/fresh-instances.md` has the figures that speak against it.

mod kept;
mod maps;
mod pages;

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::fs::FileExt as _;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

pub(super) use kept::Kept;
use pages::Pages;

use super::memory_figures::MemoryFigures;

/// Whether this crate can return the memory of a child to a checkpoint on this system. It needs an
/// allocator that takes all of its memory from the end of the heap.
pub const CAN_RESTORE: bool = cfg!(all(target_os = "linux", target_env = "gnu"));

/// The most bytes of the list of mappings.
const LIST: usize = 256 << 10;

/// Prepares the process, before it allocates what is large.
///
/// Memory that the allocator maps or gives back during the work could not be returned to what it
/// was. So it takes all memory from the end of the heap, which is one number, and gives none back.
pub(super) fn prepare() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets options of the allocator. No other thread runs yet.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

/// The means to take a checkpoint, which are opened before the lock.
#[derive(Debug)]
pub struct Checkpoint {
    // Leaked, since closing is refused after the lock.
    maps: &'static File,
    figures: &'static MemoryFigures,
    list: Kept<[u8; LIST]>,
    /// Memory that is left as it is, since other code uses it meanwhile: of signal handlers of this
    /// thread, and of the jail's other thread.
    excluded: [Range<usize>; 3],
}

impl Checkpoint {
    /// Opens what a checkpoint needs.
    ///
    /// # Errors
    /// The system lacks something that a checkpoint needs.
    pub(super) fn open() -> io::Result<Self> {
        if !CAN_RESTORE {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "its allocator maps memory"));
        }
        refuse_restartable_sequences()?;
        let maps = Box::leak(Box::new(File::open("/proc/self/maps")?));
        let figures = Box::leak(Box::new(MemoryFigures::open()?));
        Ok(Self { maps, figures, list: Kept::zeroed()?, excluded: [signal_stack()?, 0..0, 0..0] })
    }

    /// Leaves memory as it is that the jail's other thread uses.
    pub(super) fn exclude(&mut self, [stack, signals]: [Range<usize>; 2]) {
        let [_, first, second] = &mut self.excluded;
        (*first, *second) = (stack, signals);
    }

    /// Returns the descriptors that are read after the lock.
    pub(super) fn descriptors(&self) -> [RawFd; 2] {
        [self.maps.as_raw_fd(), self.figures.file().as_raw_fd()]
    }

    /// Calls `work` again and again. Each call finds the memory of the process as it is now, with
    /// `state` in it, and leaves nothing behind.
    ///
    /// Messages that `work` receives and sends cross by the [`Channel`](super::Channel), whose
    /// position is kept.
    ///
    /// # Errors
    /// The checkpoint cannot be taken, or the memory cannot be returned to it. The process must
    /// then end.
    ///
    /// # Safety
    /// During the call:
    /// - no thread runs but the calling one and the jail's own;
    /// - nothing that `work` changes is on the stack of the callers of this function;
    /// - no system call writes to memory outside of the stack;
    /// - only the C library's allocator and mappings that existed before give memory to `work`.
    pub unsafe fn repeat<S>(mut self, state: Box<S>, work: fn(&mut S)) -> io::Result<Infallible> {
        let state = Box::into_raw(state);
        // SAFETY: the caller guarantees what `Pages` needs, and the pages are tracked once: this
        // function returns only to let the process end.
        let pages = unsafe { self.track()? };
        loop {
            // SAFETY: the value was leaked above, and nothing else refers to it. It is as it was
            // when the checkpoint was taken, so it is valid.
            work(unsafe { &mut *state });
            // SAFETY: no reference to tracked memory is alive, except to what does not change.
            unsafe { Pages::restore(pages, self.figures)? };
        }
    }

    /// Starts to track all private memory.
    unsafe fn track(&mut self) -> io::Result<NonNull<Pages>> {
        let length = read_all(self.maps, &mut self.list[..])?;
        let text = &self.list[..length];
        // SAFETY: passed on from the caller. The list was read just now, and nothing was mapped or
        // allocated since.
        unsafe {
            let pages = Pages::new(maps::writable(text, &self.excluded), maps::reserved(text))?;
            install(pages)?;
            Pages::protect(pages, self.figures)?;
            Ok(pages)
        }
    }
}

/// Reads a file of `/proc` from its start, which takes several calls.
fn read_all(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    loop {
        match file.read_at(&mut bytes[length..], length as u64)? {
            0 if length < bytes.len() => return Ok(length),
            0 => return Err(io::Error::new(io::ErrorKind::InvalidData, "the process has too many mappings")),
            more => length += more,
        }
    }
}

/// Returns the pages on which this thread's signal handlers run.
pub(super) fn signal_stack() -> io::Result<Range<usize>> {
    // SAFETY: only asks; the kernel writes one `stack_t`.
    let stack = unsafe {
        let mut stack: libc::stack_t = std::mem::zeroed();
        if libc::sigaltstack(std::ptr::null(), &raw mut stack) != 0 {
            return Err(io::Error::last_os_error());
        }
        stack
    };
    if stack.ss_flags & libc::SS_DISABLE != 0 {
        return Ok(0..0);
    }
    Ok(pages_of(stack.ss_sp as usize, stack.ss_size))
}

/// Returns the pages that memory lies on. A signal stack need not end with a page: on processors
/// with large registers it has the size that the kernel asks for.
fn pages_of(start: usize, size: usize) -> Range<usize> {
    let page = rustix::param::page_size();
    start - start % page..(start + size).next_multiple_of(page)
}

/// Fails if the kernel writes to this thread's memory by itself, as it does for restartable
/// sequences, and would find the memory read-only.
///
/// The C library registers them unless its tunable `glibc.pthread.rseq` is 0.
fn refuse_restartable_sequences() -> io::Result<()> {
    /// The size and alignment of the kernel's `struct rseq` in its first version, in bytes.
    const SIZE: usize = 32;
    /// `RSEQ_FLAG_UNREGISTER`.
    const UNREGISTER: libc::c_int = 1;
    #[repr(align(32))]
    struct Area([u8; SIZE]);
    let mut area = Area([0; SIZE]);
    let signature: u32 = 0x5374_6167;
    // SAFETY: the kernel writes to the area as long as it is registered, which is until the second
    // call, and the area is alive until then.
    unsafe {
        let place = area.0.as_mut_ptr();
        if libc::syscall(libc::SYS_rseq, place, SIZE, 0, signature) == 0 {
            libc::syscall(libc::SYS_rseq, place, SIZE, UNREGISTER, signature);
            return Ok(());
        }
    }
    match io::Error::last_os_error() {
        // This kernel has none.
        reason if reason.raw_os_error() == Some(libc::ENOSYS) => Ok(()),
        _ => Err(io::Error::other("the kernel writes to its memory, for restartable sequences")),
    }
}

/// The tracked pages, for the handler. A signal handler can only access statics.
static PAGES: AtomicPtr<Pages> = AtomicPtr::new(std::ptr::null_mut());

/// Installs the handler of write faults before the handlers that are there.
///
/// # Safety
/// As [`Pages::new`].
unsafe fn install(pages: NonNull<Pages>) -> io::Result<()> {
    // SAFETY: zeroes are a valid `sigaction`, and the handler has the type that `SA_SIGINFO`
    // requires. The handler must be entered again while it forwards to the next one, which may
    // write to tracked memory: `SA_NODEFER`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        let mut before: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut before) != 0 {
            return Err(io::Error::last_os_error());
        }
        Pages::set_next(pages, before);
        PAGES.store(pages.as_ptr(), Ordering::Release);
        if libc::sigaction(libc::SIGSEGV, &raw const action, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

extern "C" fn on_fault(signal: libc::c_int, information: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(pages) = NonNull::new(PAGES.load(Ordering::Acquire)) else { return };
    // SAFETY: the kernel passes valid pointers. The pages live until the process ends, and only the
    // thread that tracks them faults in them.
    unsafe {
        if Pages::open(pages, (*information).si_addr() as usize) {
            return;
        }
        let next = Pages::next(pages);
        match next.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                // The instruction faults once more and ends the process.
                libc::signal(signal, libc::SIG_DFL);
            }
            handler if next.sa_flags & libc::SA_SIGINFO != 0 => {
                type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                std::mem::transmute::<usize, Handler>(handler)(signal, information, context);
            }
            handler => std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler)(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_stack_is_left_out_by_whole_pages() {
        let page = rustix::param::page_size();
        assert_eq!(pages_of(4 * page, 2 * page), 4 * page..6 * page);
        // As a processor with AMX has it.
        assert_eq!(pages_of(4 * page, 2 * page + 3312), 4 * page..7 * page);
        assert_eq!(pages_of(4 * page + 16, page), 4 * page..6 * page);
        let own = signal_stack().expect("the system tells it");
        assert_eq!((own.start % page, own.end % page), (0, 0));
    }
}
