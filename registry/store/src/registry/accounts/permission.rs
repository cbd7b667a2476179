//! The permissions of a user on an experiment or a registered model.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::StoreError;
use crate::registry::accounts::AccountError;

/// The right of a user to do something with an experiment or a registered model. Each permission
/// includes those before it. The names are MLflow's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Nothing.
    NoPermissions,
    /// See it and all that belongs to it.
    Read,
    /// Change it and log to it.
    Edit,
    /// Delete it, promote its versions, and say what others may do with it.
    Manage,
}

impl Permission {
    /// All of them, from the least to the most.
    pub const ALL: [Self; 4] = [Self::NoPermissions, Self::Read, Self::Edit, Self::Manage];

    /// Returns the name, as MLflow spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPermissions => "NO_PERMISSIONS",
            Self::Read => "READ",
            Self::Edit => "EDIT",
            Self::Manage => "MANAGE",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Permission {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let found = Self::ALL.into_iter().find(|permission| permission.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| AccountError::UnknownPermission { text: text.chars().take(100).collect() }.into())
    }
}

impl Serialize for Permission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
