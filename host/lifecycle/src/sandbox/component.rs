//! A component that a sandbox has admitted.

use stagewright_manifest::World;
use stagewright_store::Digest;

/// A component's description of itself (WIT `metadata.describe`).
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Description {
    /// The component's name.
    pub name: String,
    /// Its semantic version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of its parameters.
    pub parameters: serde_json::Value,
    /// The kinds of tasks that it supports, as the manifest names them (`binary`, `multi-class`,
    /// `regression`). A component for which the task makes no difference lists all.
    pub tasks: Vec<String>,
}

/// A component that was found, compiled, admitted and described.
#[derive(Debug, Clone)]
pub struct Component {
    /// The name the manifest calls it by.
    pub name: String,
    /// The world it was admitted to.
    pub world: World,
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// The component's description of itself.
    pub description: Description,
    /// Whether it exports WIT `shards`.
    pub sharded: bool,
    /// Whether it exports WIT `rebalance`.
    pub rebalances: bool,
    /// Whether it exports WIT `assess`.
    pub assesses: bool,
    /// Its imports, which `plan` lists.
    pub imports: Vec<String>,
    /// The stubs of WASI, which always fail, that it was admitted with.
    pub stubs: Vec<String>,
}

impl Description {
    /// Adds the defaults that the component's schema states. A record then names all parameters, so
    /// a search finds a run by a value that nobody wrote.
    pub(crate) fn with_defaults(
        &self,
        mut parameters: serde_json::Map<String, serde_json::Value>,
    ) -> serde_json::Map<String, serde_json::Value> {
        for (name, property) in self.parameters["properties"].as_object().into_iter().flatten() {
            if let Some(default) = property.get("default").filter(|default| !default.is_null()) {
                parameters.entry(name.clone()).or_insert_with(|| default.clone());
            }
        }
        parameters
    }
}
