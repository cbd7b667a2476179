//! The process of one stage. It is started by `stagewright` and by nobody else; see
//! `stagewright_runtime`.

/// As the host's: it gives back memory that guests' batches took, and reuses it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // SAFETY: nothing in this process has opened a descriptor or started a thread yet.
    unsafe { stagewright_runtime::stage_process() }
}
