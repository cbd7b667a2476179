//! What binds every stage on this machine, whatever a manifest says: the operator's limits.
//!
//! A stage's own limits (memory, CPU, wall time, output, log) are its manifest's and live in `stagewright-manifest`. Those here bound what such a limit cannot: counts of things that
//! cost the host memory, file descriptors or threads, and the size of one call. The reason of each default stands beside it.

use std::time::Duration;

/// The operator's limits. Past any of them, but `lines`, `figures` and `points`, the call ends with a fault that names the limit, what was used and what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bounds {
    /// Handles (tables, blobs, cursors, streams, pollables) that one instance may hold at once.
    pub handles: usize,
    /// Elements of all tables of one instance: function pointers, mostly.
    pub table_elements: usize,
    /// Core instances of one component; as many memories, and as many tables.
    pub instances: usize,
    /// Bytes of one instance's stack. Guests with more than the default run on threads that have it, for some 30 µs a call.
    pub stack: usize,
    /// Bytes that one call may move out of a guest, and what they take up in the host.
    pub call_bytes: usize,
    /// Columns of a table, or of what a transformer returns.
    pub columns: usize,
    /// Rows of a table. The host keeps some bytes for each: its part of the split, its hash.
    pub rows: u64,
    /// Tables and blobs that one instance may begin, kept or not: each is a file.
    pub artifacts: usize,
    /// Tables and blobs that all instances of a stage may begin: each that is finished is an open file
    /// until the stage ends.
    pub stage_artifacts: u64,
    /// Cursors that one instance may have open: each is a thread and a connection.
    pub cursors: usize,
    /// Cursors that one instance may open, one after the other: each reads its source anew.
    pub openings: usize,
    /// Lines of one stage's log; further ones are counted and dropped.
    pub lines: u64,
    /// Figures of one stage; further ones are counted and dropped.
    pub figures: u64,
    /// Points of curves of one stage; further ones are counted and dropped.
    pub points: u64,
    /// Bytes of everything that `describe` returns.
    pub description: usize,
    /// CPU time of `describe`, the start of its instance included.
    pub describe_cpu: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            // A stage that reads two tables holds a handful; a language runtime a few hundred streams and pollables.
            handles: 10_000,
            // A Python runtime has some 20,000.
            table_elements: 100_000,
            // componentize-py's linked libraries need some 20.
            instances: 100,
            // What native threads of small services get; recursion past it is a trap, not an abort.
            stack: 1 << 20,
            // A batch of 8 MiB, its list headers, and some room.
            call_bytes: 32 << 20,
            // Six times the widest table in the tests. One chunk of as many float64 columns is 8 MiB.
            columns: 1 << 16,
            // Ten times what a stage's memory has room for by default.
            rows: 1 << 28,
            // A call returns one; the others may be scratch.
            artifacts: 64,
            // A training may fall into 1,024 parts, each with an artifact.
            stage_artifacts: 2048,
            // An ingestion reads one source.
            cursors: 8,
            // A reading for the columns, one for the rows, and some that were given up.
            openings: 64,
            // More than anybody reads, and each is a record.
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
