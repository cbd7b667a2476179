//! The process of one stage. It is started by `stagewright` and by nobody else; see
//! `stagewright_runtime`.
//!
//! Its allocator is the C library's. The host's takes fresh pages in large pieces for the sake of
//! many threads; here is one, a process starts for each call of a stage, and those pages would be a
//! quarter of all that it touches before it works.

fn main() {
    // SAFETY: nothing in this process has opened a descriptor or started a thread yet.
    unsafe { stagewright_runtime::stage_process() }
}
