//! The stages of a version's lifecycle: none, staging, production, archived.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::registry::names::shortened;

/// The stage of a version's lifecycle; MLflow's stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LifecycleStage {
    /// Registered.
    None,
    /// Tried out before production.
    Staging,
    /// The champion.
    Production,
    /// It was in production, or a user archived it.
    Archived,
}

impl LifecycleStage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Staging => "staging",
            Self::Production => "production",
            Self::Archived => "archived",
        }
    }
}

impl fmt::Display for LifecycleStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for LifecycleStage {
    type Err = StoreError;

    /// Parses a stage, in MLflow's spelling too: `Production`.
    fn from_str(name: &str) -> Result<Self, StoreError> {
        let lower = name.to_ascii_lowercase();
        let found = Self::ALL.into_iter().find(|it| it.name() == lower);
        found.ok_or_else(|| StoreError::BadStage { name: shortened(name) })
    }
}
