//! The keys that a run adds to its recorded configuration, besides the manifest's.

use serde_json::{Value, json};
use stagewright_store::RunId;

/// The run whose artifacts this one starts from.
pub const BASE_RUN: &str = "upon";
/// The changes that the command line made to the manifest.
pub const CHANGES: &str = "changes";
/// The first and the last stage.
pub const RANGE: &str = "range";
/// The one stage or step to run, if it is not the whole range.
pub const ONLY: &str = "only";
/// The run that this one resumes.
pub const RESUMES: &str = "resumes";
/// The place among the children of another run.
pub const CHILD: &str = "child";

/// The tag that names a run's parent, as in MLflow.
pub const PARENT_TAG: &str = "mlflow.parentRunId";

/// The place of a run among the children of another run.
#[derive(Clone, Debug, PartialEq)]
pub struct ChildOf {
    /// The parent run.
    pub parent: RunId,
    /// The name among the children.
    pub name: String,
    /// The value of the key or of the column.
    pub value: Value,
    /// Whether the child reads the rows of its segment only.
    pub is_segment: bool,
}

impl ChildOf {
    /// Returns its form in a run's configuration.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "name": self.name, "value": self.value, "of": self.parent, "segment": self.is_segment })
    }

    /// Reads it from a run's configuration; `None` if the run is no child.
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
