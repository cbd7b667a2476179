//! What people open after a run, each as one HTML file and as JSON with the same numbers: the validation and the evaluation
//! report, the [`comparison`] of models side by side, and the [`card`] of a model, which is Markdown too.
//!
//! A page needs nothing but itself: styles and drawings are inline, there are no scripts, and a content security policy
//! forbids the network to it, whatever a stage wrote. What stages wrote is made printable, cut and escaped.
//! Reports are stored by their content: they hold no times and no paths, and the same input gives the same bytes.

pub mod card;
mod compared;
pub mod comparison;
mod document;
mod evaluation;
mod page;
mod pairs;
mod provenance;
mod validation;

use serde::{Deserialize, Serialize};

pub use crate::gates::Verdict;
pub use compared::ComparisonDetails;
pub use evaluation::{
    Champion, ComponentReport, Confusion, EvaluatedModel, EvaluationReport, PromotionDecision, Reason, ReportArtifact,
};
pub use provenance::{Dataset, StageComponent, WorkingTree};
pub use validation::{Check, ColumnSummary, FailingCell, ValidationReport};

/// A component that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportComponent {
    /// Its own name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// The digest of its bytes.
    pub digest: String,
}

/// A table that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportTable {
    /// What it is called among the artifacts: `table`, `test`.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// How many rows it has.
    pub rows: u64,
}

/// A report as JSON text that ends with a line break.
fn json(twin: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(twin).expect("reports have string keys and no failing parts");
    text.push('\n');
    stagewright_text::json(&text).into_owned()
}
