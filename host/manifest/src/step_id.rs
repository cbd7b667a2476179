//! The names of steps.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::names::Identifier;

/// The name of a step or a stage in errors, records and messages. Cheap to clone.
///
/// It differs from a [`World`](crate::World): two stages may have the same world. In a pipeline of
/// six, each stage is named after its world.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId(Arc<str>);

impl StepId {
    /// Checks a name.
    ///
    /// # Errors
    /// [`InvalidStepId`] if it is not an [`Identifier`].
    pub fn new(name: &str) -> Result<Self, InvalidStepId> {
        Identifier::new(name).map_err(|rule| InvalidStepId { name: name.to_owned(), rule })?;
        Ok(Self(name.into()))
    }

    /// Takes a name that is known to be an identifier.
    pub(crate) fn unchecked(name: &str) -> Self {
        Self(name.into())
    }

    /// Returns the name of a whole model: of a prediction, for which all of its components answer.
    pub fn of_model() -> Self {
        Self::unchecked("model")
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that cannot name a step.
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
    fn a_step_id_is_serialized_as_its_name_and_checked_when_read() {
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
