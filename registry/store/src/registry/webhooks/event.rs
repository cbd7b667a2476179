//! The kinds of events that webhooks are told of.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::error::StoreError;
use crate::registry::names::shortened;
use crate::registry::tracking_error::TrackingError;

/// A kind of event: what something happened to, and what happened. Displayed with a dot between
/// them: `model_version.created`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WebhookEvent {
    entity: &'static str,
    action: &'static str,
}

impl WebhookEvent {
    /// A model was registered.
    pub const MODEL_CREATED: Self = Self::new("registered_model", "created");
    /// A version was registered.
    pub const VERSION_CREATED: Self = Self::new("model_version", "created");
    /// A version got a tag, or another value of one.
    pub const TAG_SET: Self = Self::new("model_version_tag", "set");
    /// A tag of a version was removed.
    pub const TAG_DELETED: Self = Self::new("model_version_tag", "deleted");
    /// An alias points to a version.
    pub const ALIAS_CREATED: Self = Self::new("model_version_alias", "created");
    /// An alias was removed.
    pub const ALIAS_DELETED: Self = Self::new("model_version_alias", "deleted");
    /// A version of a pipeline's model became champion. MLflow has no such event.
    pub const PROMOTED: Self = Self::new("model_version", "promoted");
    /// A version moved to another stage. MLflow has no such event.
    pub const TRANSITIONED: Self = Self::new("model_version", "transitioned");
    /// A run ended well. MLflow has no such event.
    pub const RUN_FINISHED: Self = Self::new("run", "finished");
    /// A run failed or was killed. MLflow has no such event.
    pub const RUN_FAILED: Self = Self::new("run", "failed");

    /// The events that a webhook can ask for. Those of prompts and budgets are MLflow's, and never
    /// happen here.
    pub const ALL: [Self; 19] = [
        Self::MODEL_CREATED,
        Self::VERSION_CREATED,
        Self::TAG_SET,
        Self::TAG_DELETED,
        Self::ALIAS_CREATED,
        Self::ALIAS_DELETED,
        Self::PROMOTED,
        Self::TRANSITIONED,
        Self::RUN_FINISHED,
        Self::RUN_FAILED,
        Self::new("prompt", "created"),
        Self::new("prompt_version", "created"),
        Self::new("prompt_tag", "set"),
        Self::new("prompt_tag", "deleted"),
        Self::new("prompt_version_tag", "set"),
        Self::new("prompt_version_tag", "deleted"),
        Self::new("prompt_alias", "created"),
        Self::new("prompt_alias", "deleted"),
        Self::new("budget_policy", "exceeded"),
    ];

    /// The events that MLflow does not have.
    const OWN: [Self; 4] = [Self::PROMOTED, Self::TRANSITIONED, Self::RUN_FINISHED, Self::RUN_FAILED];

    const fn new(entity: &'static str, action: &'static str) -> Self {
        Self { entity, action }
    }

    /// Returns the kind of this name.
    pub fn named(entity: &str, action: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.entity == entity && event.action == action)
    }

    /// Returns the thing that something happened to: `model_version`.
    pub fn entity(self) -> &'static str {
        self.entity
    }

    /// Returns what happened: `created`.
    pub fn action(self) -> &'static str {
        self.action
    }

    /// Returns whether MLflow has this event, so that its clients know it.
    pub fn is_of_mlflow(self) -> bool {
        !Self::OWN.contains(&self)
    }
}

impl fmt::Display for WebhookEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entity, self.action)
    }
}

impl FromStr for WebhookEvent {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let found = text.split_once('.').and_then(|(entity, action)| Self::named(entity, action));
        found.ok_or_else(|| TrackingError::NoWebhookEvent { event: shortened(text) }.into())
    }
}

impl Serialize for WebhookEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_has_a_name_by_which_it_is_found() {
        for event in WebhookEvent::ALL {
            assert_eq!(event.to_string().parse::<WebhookEvent>().ok(), Some(event), "{event}");
        }
        for wrong in ["", "run", "run.", "run.created", "registered_model.deleted", "Run.finished"] {
            assert!(wrong.parse::<WebhookEvent>().is_err(), "{wrong}");
        }
        assert!(WebhookEvent::VERSION_CREATED.is_of_mlflow() && !WebhookEvent::RUN_FAILED.is_of_mlflow());
    }
}
