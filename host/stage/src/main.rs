//! The program of stage processes. Only `stagewright` starts it; see `stagewright_runtime`.
//!
//! It uses the allocator of the C library. The host's allocator reserves fresh pages in large
//! pieces, which helps with many threads. Stage processes have one thread and start often, and
//! these pages would be a quarter of all that they touch before they work.

fn main() {
    // SAFETY: this is the first call in `main`; nothing has opened a descriptor or started a
    // thread.
    unsafe { stagewright_runtime::stage_process() }
}
