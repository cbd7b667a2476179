//! The kinds of limits.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A limit of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// The linear memory of an instance, in bytes.
    Memory,
    /// The CPU time of all instances, in nanoseconds.
    Cpu,
    /// The wall time, in nanoseconds.
    Wall,
    /// The bytes written to artifacts.
    Output,
    /// The bytes of a response that the host fetches for the stage.
    Response,
    /// A limit that only the operator can raise: handles, table elements, instances, stack, or the
    /// size of one call. Holds its name.
    Operator(Cow<'static, str>),
}

impl LimitKind {
    /// Returns the manifest's key for the limit.
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

    /// Formats an amount in the limit's unit.
    pub fn show(&self, amount: u64) -> String {
        match self {
            // Precise enough that the amount used does not look equal to the amount allowed.
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
