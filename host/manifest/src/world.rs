//! The six worlds of the contract, which are the six stages of the lifecycle, in their order.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A stage of the lifecycle, named after the WIT world that its component implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Data from outside becomes a table.
    Ingestion,
    /// The table is checked.
    Validation,
    /// Raw columns become features.
    Transformation,
    /// Features become a model.
    Training,
    /// The model is judged.
    Evaluation,
    /// The model is promoted or not.
    Promotion,
}

impl World {
    /// All of them, in lifecycle order.
    pub const ALL: [Self; 6] =
        [Self::Ingestion, Self::Validation, Self::Transformation, Self::Training, Self::Evaluation, Self::Promotion];

    /// The word in manifests, arguments and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingestion => "ingestion",
            Self::Validation => "validation",
            Self::Transformation => "transformation",
            Self::Training => "training",
            Self::Evaluation => "evaluation",
            Self::Promotion => "promotion",
        }
    }

    /// The world of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|world| world.as_str() == name)
    }

    /// All names in lifecycle order, for messages.
    pub(crate) fn order() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no [`World`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a stage\nhint: use one of {order}", order = World::order())]
pub struct UnknownWorld(String);

impl FromStr for World {
    type Err = UnknownWorld;

    fn from_str(text: &str) -> Result<Self, UnknownWorld> {
        Self::from_name(text).ok_or_else(|| UnknownWorld(text.to_owned()))
    }
}
