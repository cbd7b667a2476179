//! The contents of a pipeline's version: its task, its signature, what it was made from.
//!
//! The lifecycle owns the format (docs/formats/home.md). A page reads what it shows and does
//! without what an older or newer program wrote in another way.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stagewright_store::ModelVersion;

use crate::markup::cell;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Contents {
    pub(crate) task: Json,
    pub(crate) signature: Signature,
    pub(crate) target: String,
    pub(crate) importance: Vec<(String, Option<f64>)>,
    pub(crate) source: Option<String>,
    pub(crate) code: Option<Code>,
    pub(crate) limits: Vec<StageLimits>,
    pub(crate) data_digest: Option<String>,
    pub(crate) features_digest: Option<String>,
    pub(crate) test_digest: Option<String>,
    pub(crate) seed: u64,
}

/// The columns of raw rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Signature {
    pub(crate) fields: Vec<Field>,
    #[serde(rename = "null-values")]
    pub(crate) null_values: Vec<String>,
    #[serde(rename = "extra-columns")]
    pub(crate) extra_columns: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) data_type: String,
    pub(crate) role: String,
    pub(crate) nullable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Code {
    pub(crate) commit: String,
    pub(crate) branch: Option<String>,
    pub(crate) dirty: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StageLimits {
    pub(crate) stage: String,
    pub(crate) memory: u64,
    pub(crate) memory_used: u64,
    pub(crate) cpu_ms: u64,
    pub(crate) cpu_used_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) wall_used_ms: u64,
}

impl Contents {
    /// Reads what a version was registered with; `None` if a client registered it, or if nothing
    /// of it can be read.
    pub(crate) fn of(version: &ModelVersion) -> Option<Self> {
        if version.foreign.is_some() {
            return None;
        }
        serde_json::from_value(version.contents.clone()).ok()
    }

    /// Returns the task for people: `binary, positive class Yes`.
    pub(crate) fn task_text(&self) -> String {
        let text = |name: &str| self.task.get(name).and_then(Json::as_str);
        let kind = text("kind").unwrap_or("not known");
        match (text("positive"), self.task.get("classes").and_then(Json::as_array)) {
            (Some(positive), _) => format!("{kind}, positive class {positive}"),
            (None, Some(classes)) => format!("{kind}, {} classes", classes.len()),
            _ => kind.to_owned(),
        }
    }
}

impl Code {
    pub(crate) fn markup(&self) -> Markup {
        html! {
            code { (cell(self.commit.get(..12).unwrap_or(&self.commit))) }
            @if let Some(branch) = &self.branch { " " (cell(branch)) }
            @match self.dirty {
                Some(true) => ", with changes that were not committed",
                Some(false) => "",
                None => ", with or without changes that were not committed",
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_program_wrote_otherwise_is_left_out() {
        let read = |text: &str| serde_json::from_str::<Contents>(text).ok();
        let contents = read(
            r#"{"format": 3, "task": {"kind": "binary", "negative": "No", "positive": "Yes"}, "new": [1],
                "signature": {"fields": [{"name": "x", "data_type": "float64", "role": "feature"}]},
                "importance": [["x", null], ["y", 0.5]]}"#,
        );
        let contents = contents.expect("contents");
        assert_eq!(contents.task_text(), "binary, positive class Yes");
        assert_eq!(contents.signature.fields[0].role, "feature");
        assert_eq!(contents.importance[0], ("x".to_owned(), None));
        assert_eq!(read("{}").expect("nothing").task_text(), "not known");
        assert_eq!(read(r#"{"signature": 5}"#), None);
    }
}
