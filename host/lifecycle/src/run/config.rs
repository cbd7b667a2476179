//! The keys that a run adds to the manifest's effective configuration when it records it.

use serde_json::{Value, json};
use stagewright_store::RunId;

/// The run whose artifacts this one starts from.
pub const BASE_RUN: &str = "upon";
/// The changes that the command line made to the manifest.
pub const CHANGES: &str = "changes";
/// The first and the last stage.
pub const RANGE: &str = "range";
/// The one stage or step, where the run is not to do all steps of its range.
pub const ONLY: &str = "only";
/// The run that this one resumes.
pub const RESUMES: &str = "resumes";
/// The key of a run's configuration that says which child it is.
pub const CHILD: &str = "child";

/// The tag that names a run's parent, as MLflow does.
pub const PARENT_TAG: &str = "mlflow.parentRunId";

/// The place of a run among the children of another one.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildOf {
    /// The run that it is a child of.
    pub parent: RunId,
    /// Its name among the children.
    pub name: String,
    /// Its value: of a key, or of the column.
    pub value: Value,
    /// Whether it sees the rows of its segment alone.
    pub is_segment: bool,
}

impl ChildOf {
    /// As the configuration of a run says it.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "name": self.name, "value": self.value, "of": self.parent, "segment": self.is_segment })
    }

    /// Reads it from the configuration of a run; `None`: it is no child.
    pub fn of(config: &Value) -> Option<Self> {
        let child = config.get(CHILD)?;
        Some(Self {
            parent: child["of"].as_str()?.parse().ok()?,
            name: child["name"].as_str()?.to_owned(),
            value: child["value"].clone(),
            is_segment: child["segment"].as_bool()?,
        })
    }
}
