//! Why a pool does not predict rows.

use stagewright_lifecycle::fault::StageFault;

/// Too many requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Overloaded {
    /// They have too many rows.
    #[error("{waiting} rows wait, and {allowed} may")]
    Rows {
        /// The rows that wait.
        waiting: usize,
        /// The rows that may wait.
        allowed: usize,
    },
    /// Their rows take too much memory.
    #[error("{waiting} bytes of rows wait, and {allowed} may")]
    Bytes {
        /// The bytes of the rows that wait.
        waiting: usize,
        /// The bytes that may wait.
        allowed: usize,
    },
}

/// Why rows were not predicted.
#[derive(Debug, thiserror::Error)]
pub enum PoolFault {
    /// Too many requests wait.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The model failed, or passed a limit.
    #[error(transparent)]
    Model(StageFault),
    /// The pool is closing, or no session can be opened.
    #[error("no session of the model is available")]
    Unavailable,
}
