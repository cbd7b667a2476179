//! Whether stages must run in processes of their own.

use std::fmt;

use serde::Serialize;

/// The walls that must stand around every stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WallPolicy {
    /// All walls: a stage runs in a process of its own, which the kernel confines.
    Required,
    /// The Wasm sandbox alone: a stage runs in this process.
    #[default]
    SandboxOnly,
}

impl WallPolicy {
    /// Every policy with the word of the operator's file.
    pub const ALL: [(&str, Self); 2] = [("required", Self::Required), ("sandbox-only", Self::SandboxOnly)];

    /// Returns the word of the operator's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::SandboxOnly => "sandbox-only",
        }
    }
}

impl fmt::Display for WallPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
