//! Reports, each as one HTML file and as JSON with the same numbers: preparation, validation,
//! evaluation, [`comparison`] of models, and the model [`card`], which is also Markdown.
//!
//! A page is self-contained: styles and drawings are inline, there are no scripts, and a content
//! security policy forbids the network, whatever a stage wrote. Text of stages is made printable,
//! cut and escaped. Reports are stored by their content, so they contain no times and no paths, and
//! the same input gives the same bytes.

pub mod card;
pub mod comparison;
mod comparison_details;
mod document;
mod evaluated_model;
mod evaluation;
mod json;
mod page;
mod pairs;
mod preparation;
mod provenance;
mod subject;
mod validation;

pub use crate::gates::Verdict;
pub use comparison_details::ComparisonDetails;
pub use evaluated_model::{Champion, Confusion, EvaluatedModel};
pub use evaluation::{ComponentReport, EvaluationReport, PromotionDecision, Reason, ReportArtifact};
pub use preparation::PreparationReport;
pub use provenance::{Dataset, StageComponent, WorkingTree};
pub use subject::{ReportComponent, ReportTable};
pub use validation::{Check, ColumnSummary, FailingCell, Severity, ValidationReport};
