//! The operator's limits, which bind every stage on this machine whatever its manifest says.
//!
//! A stage's own limits (memory, CPU, wall time, output, log) are the manifest's and are defined in
//! `stagewright-manifest`. Those here bound what such limits cannot: the number of things that cost
//! the host memory, file descriptors or threads, and the size of one call. The reason for each
//! default is stated next to it.

use std::time::Duration;

/// The operator's limits. Exceeding `lines`, `figures` or `points` drops the excess. Exceeding any
/// other limit ends the call with a fault that names the limit, the amount used and the amount
/// allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bounds {
    /// Handles (tables, blobs, cursors, streams, pollables) that one instance may hold at once.
    pub handles: usize,
    /// Elements of all Wasm tables of one instance, mostly function pointers.
    pub table_elements: usize,
    /// Core instances of one component, which is also the limit on memories and on tables.
    pub instances: usize,
    /// Bytes of one instance's stack. With more than the default, guests run on threads of that
    /// size, which costs some 30 µs a call.
    pub stack: usize,
    /// Bytes that one call may move out of a guest, including what they take in the host.
    pub call_bytes: usize,
    /// Columns of a table, or of what a transformer returns.
    pub columns: usize,
    /// Rows of a table. The host holds some bytes for each row: its part of the split and its hash.
    pub rows: u64,
    /// Tables and blobs that one instance may begin, whether kept or not. Each is a file.
    pub artifacts: usize,
    /// Tables and blobs that all instances of a stage may begin. Each finished one is an open file
    /// until the stage ends.
    pub stage_artifacts: u64,
    /// Cursors that one instance may have open at once. Each is a thread and a connection.
    pub cursors: usize,
    /// Cursors that one instance may open in all. Each reads its source again.
    pub openings: usize,
    /// Lines of one stage's log; further ones are counted and dropped.
    pub lines: u64,
    /// Figures of one stage; further ones are counted and dropped.
    pub figures: u64,
    /// Points of curves of one stage; further ones are counted and dropped.
    pub points: u64,
    /// Bytes of everything that `describe` returns.
    pub description: usize,
    /// CPU time of `describe`, including the start of its instance.
    pub describe_cpu: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // A stage that reads two tables holds a handful; a language runtime a few hundred
            // streams and pollables.
            handles: 10_000,
            // A Python runtime has some 20,000.
            table_elements: 100_000,
            // componentize-py's linked libraries need some 20.
            instances: 100,
            // A usual stack of native threads. Deeper recursion is a trap, not an abort of the
            // process.
            stack: 1 << 20,
            // A batch of 8 MiB, its list headers, and some room.
            call_bytes: 32 << 20,
            // Six times the widest table in the tests. A chunk of this many float64 columns has 8
            // MiB.
            columns: 1 << 16,
            // Ten times what fits a stage's default memory.
            rows: 1 << 28,
            // A call returns one; the others may be temporary.
            artifacts: 64,
            // A training may have 1,024 shards, each with an artifact.
            stage_artifacts: 2048,
            // An ingestion reads one source.
            cursors: 8,
            // One for the columns, one for the rows, and some that were abandoned.
            openings: 64,
            // More than anybody reads; each is a record.
            lines: 100_000,
            // More than anybody looks at in one report.
            figures: 256,
            // A hundred curves of a thousand rounds.
            points: 100_000,
            // The largest schema of a built-in stage has 12 KiB.
            description: 1 << 20,
            // A Rust stage needs a millisecond, one in Python half a second on a small machine.
            describe_cpu: Duration::from_secs(10),
        }
    }
}
