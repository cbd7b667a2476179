//! The evaluation report: candidate beside champion on the same untouched test rows, gates,
//! decision, figures, digests.

mod html;
mod report;

pub use report::{ComponentReport, EvaluationReport, PromotionDecision, Reason, ReportArtifact};
