//! The message about a change of a champion.

use serde::Serialize;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{ChampionChange, ChampionChangeKind, ChangedDestination, Digest, Registry, StoreError};

/// The format of the message. It rises if a field goes or means something else.
const FORMAT: u32 = 1;

/// The most characters of a reason that are told.
const LONGEST_REASON: usize = 2000;

/// A message, as JSON (docs/hooks.md).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Event {
    /// The format of the message: 1.
    pub format: u32,
    /// The hash of the audit's entry. Two messages of the same id are of the same change.
    pub id: String,
    /// The kind of change.
    pub event: ChampionChangeKind,
    /// When the champion changed, by RFC 3339, in UTC.
    pub time: String,
    /// The model's name.
    pub model: String,
    /// The new champion; of a retirement, the version that was champion.
    pub version: Option<u32>,
    /// The version's semantic version, if it has one and was not deleted since.
    pub semantic_version: Option<String>,
    /// The digest that a server of this version tells (docs/serving.md), unless the version was
    /// deleted since.
    pub digest: Option<String>,
    /// The version that was champion before.
    pub previous_version: Option<u32>,
    /// Who changed it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The production locations that are concerned.
    pub destinations: Vec<ToldDestination>,
    /// The registry.
    pub registry: ToldRegistry,
}

/// A production location of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToldDestination {
    /// The location.
    pub uri: String,
    /// Whether its pointer was moved or removed already.
    pub done: bool,
}

/// The registry of a message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ToldRegistry {
    /// The hash of its first entry, by which registries differ.
    pub id: Option<String>,
    /// The place of the entry in its audit, which rises from message to message.
    pub entry: u64,
}

impl Event {
    /// Describes a change.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub(crate) fn of(registry: &Registry, change: &ChampionChange) -> Result<Self, StoreError> {
        let entry = &change.entry;
        let version = entry.version.map(|version| registry.version(&entry.model, version)).transpose();
        let version = match version {
            Ok(version) => version,
            Err(StoreError::NoModel { .. } | StoreError::NoVersion { .. }) => None,
            Err(error) => return Err(error),
        };
        let contents = version.as_ref().map(|version| version.contents.clone());
        let model: Option<RegisteredModel> = contents.and_then(|contents| serde_json::from_value(contents).ok());
        let json = model.and_then(|model| serde_json::to_vec(&model).ok());
        let told = |it: &ChangedDestination| ToldDestination { uri: it.uri.clone(), done: it.is_done };
        Ok(Self {
            format: FORMAT,
            id: entry.hash.clone(),
            event: change.kind,
            // All three digits, also where the last ones are 0.
            time: format!("{:.3}", jiff::Timestamp::from_millisecond(entry.at_ms).unwrap_or_default()),
            model: entry.model.clone(),
            version: entry.version,
            semantic_version: version.and_then(|version| version.semantic_version),
            digest: json.map(|json| Digest::of(&json).to_string()),
            previous_version: change.previous,
            actor: entry.actor.clone(),
            reason: entry.reason.chars().take(LONGEST_REASON).collect(),
            destinations: change.destinations.iter().map(told).collect(),
            registry: ToldRegistry { id: registry.first_hash()?, entry: entry.seq },
        })
    }

    /// Returns the event in a few words: `promoted churn/4`.
    pub(crate) fn title(&self) -> String {
        let version = self.version.map(|version| format!("/{version}")).unwrap_or_default();
        format!("{} {}{version}", self.event.name(), self.model)
    }
}
