//! Whether the outer wall must stand.

use std::fmt;

use serde::Serialize;

/// Which walls must stand around every stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WallPolicy {
    /// All of them: a stage works in a process of its own, which the kernel locks in.
    Required,
    /// The Wasm sandbox alone: a stage works in this process.
    #[default]
    SandboxOnly,
}

impl WallPolicy {
    /// The words of the operator's file.
    pub const ALL: [(&str, Self); 2] = [("required", Self::Required), ("sandbox-only", Self::SandboxOnly)];

    /// The word of the operator's file.
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
