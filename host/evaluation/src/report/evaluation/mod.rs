//! The evaluation report: candidate and champion on the same test rows, gates, decision, figures,
//! digests.

mod html;
mod report;

pub use report::{ComponentReport, EvaluationReport, PromotionDecision, Reason, ReportArtifact};
