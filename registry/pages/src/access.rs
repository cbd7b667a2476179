//! Rights: what somebody may do with what.

/// The power of somebody over a resource; each level has those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Look at it.
    Read,
    /// Change it.
    Edit,
    /// Delete it, promote it, decide about it.
    Manage,
}

/// A thing that rights are given for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The experiment with this number, and its runs.
    Experiment(i64),
    /// The registered model with this name, and its versions.
    Model(&'a str),
}
