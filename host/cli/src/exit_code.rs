//! The exit codes of the program.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done; of a run: the candidate was accepted |
//! | 2 | wrong usage, or a wrong manifest |
//! | 3 | the data is wrong, or failed validation |
//! | 4 | the candidate was rejected by a gate, or a run was not reproduced |
//! | 5 | a stage crashed, failed or broke the contract |
//! | 6 | a stage ran past a limit |
//! | 7 | the host failed: disk, database, engine |
//! | 130 | interrupted |
//!
//! An error has the exit code of its [`ErrorCode`](crate::error_code::ErrorCode).

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    Done = 0,
    Usage = 2,
    Data = 3,
    Rejected = 4,
    Stage = 5,
    Limit = 6,
    Host = 7,
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
