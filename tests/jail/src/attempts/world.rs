//! The means of an attacker in a jail: all memory of the process, and its descriptors.

use std::fs;
use std::os::fd::RawFd;
use std::sync::atomic::AtomicU64;

use libc::c_long;

/// Prepared before the lock, because code in the process could find all of it afterwards.
#[derive(Debug)]
pub struct World {
    parent: u64,
    parent_memory: std::ffi::CString,
    wake: RawFd,
    report: RawFd,
    page: *mut u8,
    zeroes: *mut [u64; 512],
    ones: *mut [u64; 512],
    scratch: *mut [u64; 512],
    vector: Box<[u64; 2]>,
    capabilities: Box<[u32; 2]>,
    /// The ring to the parent.
    pub up: Ring,
    /// The ring from the parent.
    pub down: Ring,
}

impl World {
    /// Looks around. Must be called before the lock.
    pub fn look() -> Self {
        let (mut rings, mut wake, mut report) = (Vec::new(), -1, -1);
        let mut open: Vec<RawFd> = fs::read_dir("/proc/self/fd")
            .expect("a list of descriptors")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        open.sort_unstable();
        for descriptor in open {
            let Ok(target) = fs::read_link(format!("/proc/self/fd/{descriptor}")) else { continue };
            let target = target.to_string_lossy().into_owned();
            if target.starts_with("/memfd:ring") {
                rings.push(Ring::map(descriptor));
            } else if target.contains("eventfd") {
                wake = descriptor;
            } else if target.starts_with("pipe:") && descriptor > 2 {
                report = descriptor;
            }
        }
        let [up, down] = <[Ring; 2]>::try_from(rings).expect("two rings");
        let parent = rustix::process::getppid().expect("a parent").as_raw_pid() as u64;
        let parent_memory = std::ffi::CString::new(format!("/proc/{parent}/mem")).expect("a path");
        // SAFETY: a fresh page at an address of the kernel's choice.
        let page = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        let scratch = Box::into_raw(Box::new([0; 512]));
        let vector = Box::new([scratch as u64, 8]);
        Self {
            parent,
            parent_memory,
            wake,
            report,
            page: page.cast(),
            zeroes: Box::into_raw(Box::new([0; 512])),
            ones: Box::into_raw(Box::new([u64::MAX; 512])),
            scratch,
            vector,
            capabilities: Box::new([0x2008_0522, 0]),
            up,
            down,
        }
    }

    /// Returns the process number of the parent.
    pub fn parent(&self) -> u64 {
        self.parent
    }

    /// Returns the process number of this process.
    pub fn own(&self) -> u64 {
        std::process::id().into()
    }

    /// Returns the path of the parent's memory.
    pub fn parent_memory(&self) -> u64 {
        self.parent_memory.as_ptr() as u64
    }

    /// Returns the descriptor that wakes the parent.
    pub fn wake(&self) -> u64 {
        self.wake as u64
    }

    /// Returns the descriptor of the reports.
    pub fn report(&self) -> u64 {
        self.report as u64
    }

    /// Returns the end of the heap.
    pub fn heap_end(&self) -> u64 {
        // SAFETY: only asks.
        unsafe { libc::syscall(libc::SYS_brk, 0) as u64 }
    }

    /// Returns a writable page.
    pub fn page(&self) -> u64 {
        self.page as u64
    }

    /// Returns a page of code.
    pub fn code(&self) -> u64 {
        (Self::look as *const () as u64) & !4095
    }

    /// Returns 4 KiB of zeroes.
    pub fn zeroes(&self) -> u64 {
        self.zeroes as u64
    }

    /// Returns 4 KiB of ones.
    pub fn ones(&self) -> u64 {
        self.ones as u64
    }

    /// Returns 4 KiB to write into.
    pub fn scratch(&self) -> u64 {
        self.scratch as u64
    }

    /// Returns a vector of one buffer of 8 bytes.
    pub fn vector(&self) -> u64 {
        self.vector.as_ptr() as u64
    }

    /// Returns the header of a call about capabilities.
    pub fn capabilities(&self) -> u64 {
        self.capabilities.as_ptr() as u64
    }

    /// Makes a system call and returns a description of the result.
    pub fn call(&self, number: c_long, [a, b, c, d, e, f]: [u64; 6]) -> String {
        // SAFETY: none: this is what an attacker does. What is written to is this value's, or the
        // process's end is the point.
        let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        if result < 0 { format!("error: {}", std::io::Error::last_os_error()) } else { format!("it gave {result}") }
    }

    /// Writes to a descriptor.
    pub fn write(&self, descriptor: u64, bytes: &[u8]) -> String {
        self.call(libc::SYS_write, [descriptor, bytes.as_ptr() as u64, bytes.len() as u64, 0, 0, 0])
    }
}

/// A ring's memory, mapped once more. An attacker knows from the source where its words are.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    base: *mut u8,
    page: usize,
}

impl Ring {
    fn map(descriptor: RawFd) -> Self {
        let page = rustix::param::page_size();
        // SAFETY: a fresh mapping at an address of the kernel's choice, of a file that is longer.
        let base = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), 2 * page + (4 << 20), access, libc::MAP_SHARED, descriptor, 0)
        };
        assert_ne!(base, libc::MAP_FAILED, "the ring is mapped once more");
        Self { base: base.cast(), page }
    }

    /// Returns the writer's position.
    pub fn head(&self) -> &AtomicU64 {
        self.word(0)
    }

    /// Returns the reader's position.
    pub fn tail(&self) -> &AtomicU64 {
        self.word(self.page)
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: within the first pages of a mapping that is never given back, and aligned.
        unsafe { &*self.base.add(at).cast() }
    }

    /// Writes bytes at a position of the data.
    pub fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= 4 << 20, "within the data");
        // SAFETY: within the mapping, which nobody has a reference into.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(2 * self.page + at), bytes.len()) }
    }

    /// Fills the reader's page with a byte.
    pub fn spoil_readers_page(&self) {
        // SAFETY: within the mapping, which nobody has a reference into but to atomics, for which
        // every value is one.
        unsafe { std::ptr::write_bytes(self.base.add(self.page), 0xff, self.page) }
    }

    /// Returns the address after the data.
    pub fn end(&self) -> usize {
        self.base as usize + 2 * self.page + (4 << 20)
    }

    /// Writes a header for a piece of `length` bytes.
    pub fn header(&self, at: usize, kind: u32, flags: u32, length: u64) {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..].copy_from_slice(&length.to_le_bytes());
        self.put(at, &bytes);
    }
}
