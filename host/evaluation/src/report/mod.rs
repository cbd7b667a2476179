//! What people open after a run, each as one HTML file and as JSON with the same numbers: the validation and the evaluation
//! report, the [`comparison`] of models side by side, and the [`card`] of a model, which is Markdown too.
//!
//! A page needs nothing but itself: styles and drawings are inline, there are no scripts, and a content security policy
//! forbids the network to it, whatever a stage wrote. What stages wrote is made printable, cut and escaped.
//! Reports are stored by their content: they hold no times and no paths, and the same input gives the same bytes.

pub mod card;
pub mod comparison;
mod comparison_details;
mod document;
mod evaluated_model;
mod evaluation;
mod json;
mod page;
mod pairs;
mod provenance;
mod subject;
mod validation;

pub use crate::gates::Verdict;
pub use comparison_details::ComparisonDetails;
pub use evaluated_model::{Champion, Confusion, EvaluatedModel};
pub use evaluation::{ComponentReport, EvaluationReport, PromotionDecision, Reason, ReportArtifact};
pub use provenance::{Dataset, StageComponent, WorkingTree};
pub use subject::{ReportComponent, ReportTable};
pub use validation::{Check, ColumnSummary, FailingCell, ValidationReport};
