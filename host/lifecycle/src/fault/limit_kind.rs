//! The kinds of limits.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A limit of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// Linear memory of an instance, bytes.
    Memory,
    /// CPU time of all instances, nanoseconds.
    Cpu,
    /// Time on the wall, nanoseconds.
    Wall,
    /// Bytes written to artifacts.
    Output,
    /// Bytes of a response that the host fetches for the stage.
    Response,
    /// An operator's limit that no manifest raises: handles, table elements, instances, stack, or the size of one call.
    Operator(Cow<'static, str>),
}

impl LimitKind {
    /// The manifest's key.
    pub fn key(&self) -> &str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Output => "output",
            Self::Response => "max-bytes",
            Self::Operator(name) => name,
        }
    }

    /// A figure in the limit's unit, for people.
    pub fn show(&self, amount: u64) -> String {
        match self {
            // Fine enough that what was used does not look like what is allowed.
            Self::Memory | Self::Output | Self::Response if amount < 10 << 20 => {
                format!("{:.1} KiB", amount as f64 / 1024.0)
            }
            Self::Memory | Self::Output | Self::Response => format!("{:.1} MiB", amount as f64 / (1 << 20) as f64),
            Self::Cpu | Self::Wall if amount < 10_000_000_000 => format!("{:.0} ms", amount as f64 / 1e6),
            Self::Cpu | Self::Wall => format!("{:.2} s", amount as f64 / 1e9),
            Self::Operator(_) => amount.to_string(),
        }
    }
}
