//! Places in a pipeline.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Identifier;

/// A place in a pipeline: what errors, records and messages call a stage by. Cheap to clone.
///
/// A [`World`] is a contract, and two places may have one. In a pipeline of six, each place is
/// named as its world.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(Arc<str>);

impl StepId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidStepId`] if it is no identifier of a manifest.
    pub fn new(name: &str) -> Result<Self, InvalidStepId> {
        Identifier::new(name).map_err(|rule| InvalidStepId { name: name.to_owned(), rule })?;
        Ok(Self(name.into()))
    }

    /// Takes a name that is an identifier.
    pub(crate) fn unchecked(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that names no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` cannot name a step: {rule}")]
pub struct InvalidStepId {
    name: String,
    rule: &'static str,
}

impl std::borrow::Borrow<str> for StepId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&Self> for StepId {
    fn from(step: &Self) -> Self {
        step.clone()
    }
}

impl TryFrom<String> for StepId {
    type Error = InvalidStepId;

    fn try_from(name: String) -> Result<Self, InvalidStepId> {
        Self::new(&name)
    }
}

impl From<StepId> for String {
    fn from(step: StepId) -> Self {
        step.as_str().to_owned()
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    #[test]
    fn a_step_is_written_as_its_name_and_read_if_it_is_one() {
        for world in World::all() {
            let step = StepId::from(world);
            assert_eq!((step.as_str(), step.to_string()), (world.as_str(), world.to_string()));
            let json = serde_json::to_value(&step).expect("a text");
            assert_eq!(json, world.as_str());
            assert_eq!(serde_json::from_value::<StepId>(json).expect("its name"), step);
        }
        for wrong in ["", "Training", "a b", "1st", "über", "a\nb"] {
            let error = serde_json::from_value::<StepId>(wrong.into()).expect_err(wrong).to_string();
            assert!(error.contains("cannot name a step"), "{error}");
        }
    }
}
