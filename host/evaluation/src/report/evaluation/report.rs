//! The contents of an evaluation report, and the report as JSON.

use serde::{Deserialize, Serialize};

use crate::difference::MetricDifference;
use crate::figure::Figure;
use crate::gates::{GateResult, GateSummary, Verdict, failure_text};
use crate::metrics::MetricSet;
use crate::report::comparison_details::{ComparisonDetails, difference_text};
use crate::report::evaluated_model::{Champion, EvaluatedModel};
use crate::report::json::json;
use crate::report::subject::{ReportComponent, ReportTable};

/// A reason for a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The gate or rule: `minimum roc_auc`.
    pub gate: String,
    /// Whether it supports the candidate.
    pub passed: bool,
    /// One sentence with the numbers.
    pub message: String,
}

/// The decision of the promotion stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromotionDecision {
    /// The verdict.
    pub verdict: Verdict,
    /// The component that decided; `None` if the host did, by the gates alone.
    pub component: Option<ReportComponent>,
    /// Every rule that was considered.
    pub reasons: Vec<Reason>,
}

/// Metrics and figures of the evaluation component. They are shown under its name, and no gate
/// reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComponentReport {
    /// The component.
    pub component: ReportComponent,
    /// Its metrics.
    pub metrics: MetricSet,
    /// Its figures. Each has passed [`Figure::check`].
    pub figures: Vec<Figure>,
}

/// An artifact of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportArtifact {
    /// The stage that made it.
    pub stage: String,
    /// The name among the stage's artifacts.
    pub name: String,
    /// `table`, `blob` or `document`.
    pub kind: String,
    /// The digest of its content.
    pub digest: String,
}

/// The report on an evaluated candidate. The report of a run's evaluation is written before the
/// decision; the report of a verdict includes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The name of the registered model.
    pub model: String,
    /// The task, for people: `binary, positive class Yes`.
    pub task: String,
    /// The primary metric.
    pub primary_metric: String,
    /// The test rows that both models predicted.
    pub test: ReportTable,
    /// The candidate.
    pub candidate: EvaluatedModel,
    /// The champion.
    pub champion: Champion,
    /// How the two were compared. In JSON, its fields are inlined.
    #[serde(flatten)]
    pub compared: ComparisonDetails,
    /// The results of the manifest's gates.
    pub gates: Vec<GateResult>,
    /// The decision; `None` in the report of an evaluation.
    pub decision: Option<PromotionDecision>,
    /// The host's figures.
    pub figures: Vec<Figure>,
    /// Metrics and figures of the evaluation component.
    pub reported: Option<ComponentReport>,
    /// The artifacts that the candidate was made from.
    pub artifacts: Vec<ReportArtifact>,
}

#[derive(Serialize)]
struct EvaluationJson<'a> {
    format: &'static str,
    passed: bool,
    verdict: Verdict,
    judged_against: Option<u64>,
    test_rows: u64,
    compared_rows: Option<u64>,
    difference: Option<&'a MetricDifference>,
    caveats: Vec<String>,
    failure: Option<String>,
    gate_summary: GateSummary,
    differences: MetricSet,
    #[serde(flatten)]
    report: &'a EvaluationReport,
}

impl EvaluationReport {
    /// Returns the decision or, without one, the verdict of the gates.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.decision.as_ref().map_or_else(|| Verdict::of(&self.gates), |decision| decision.verdict)
    }

    /// Returns whether every gate passed and the decision approves.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed) && self.verdict() == Verdict::Approved
    }

    /// Returns the version of the champion at the time of the evaluation, readable or not; `None`
    /// without one.
    #[must_use]
    pub fn judged_against(&self) -> Option<u64> {
        match &self.champion {
            Champion::None => None,
            Champion::Evaluated(model) => model.version,
            Champion::Unreadable { version, .. } => Some(*version),
        }
    }

    /// Returns the caveats: that a model learnt from test rows, or that this is unknown.
    #[must_use]
    pub fn caveats(&self) -> Vec<String> {
        self.compared.caveats(Some(&self.champion), Some(self.test.rows))
    }

    /// Returns whether the champion, if it was evaluated, predicted the same rows as the candidate.
    #[must_use]
    pub fn same_test_rows(&self) -> bool {
        self.candidate.test_digest == self.test.digest
            && self.evaluated_champion().is_none_or(|champion| champion.test_digest == self.test.digest)
    }

    /// Returns facts for a comparison of models, by name: policy, champion, rows, difference.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, String)> {
        let against = match (&self.champion, self.judged_against()) {
            (Champion::None, _) => "no champion".to_owned(),
            (_, Some(version)) => format!("version {version}"),
            (_, None) => "not known".to_owned(),
        };
        let mut facts = vec![("policy", self.compared.policy.name().to_owned()), ("judged against", against)];
        let rows = self.compared.rows_text(Some(&self.champion));
        facts.extend(rows);
        let difference = self.compared.comparison.as_ref().and_then(|it| it.difference.as_ref());
        facts.extend(difference.map(|it| ("difference", difference_text(it))));
        facts.into_iter().map(|(name, fact)| (name.to_lowercase(), fact)).collect()
    }

    /// Returns the report as JSON text, with the verdict, the message of a failure, the gates for
    /// programs ([`GateSummary`]) and the candidate's differences to the champion.
    #[must_use]
    pub fn json(&self) -> String {
        json(&EvaluationJson {
            format: "stagewright-evaluation-report/1",
            passed: self.passed(),
            verdict: self.verdict(),
            judged_against: self.judged_against(),
            test_rows: self.test.rows,
            compared_rows: self.compared.comparison.as_ref().map(|it| it.rows),
            difference: self.compared.comparison.as_ref().and_then(|it| it.difference.as_ref()),
            caveats: self.caveats(),
            failure: failure_text(&self.gates),
            gate_summary: GateSummary::new(&self.gates),
            differences: self.differences(),
            report: self,
        })
    }

    pub(super) fn evaluated_champion(&self) -> Option<&EvaluatedModel> {
        match &self.champion {
            Champion::Evaluated(model) => Some(model),
            Champion::None | Champion::Unreadable { .. } => None,
        }
    }

    /// Returns the metrics of candidate and champion on the rows that were compared; `None` if the
    /// champion was not evaluated.
    pub(super) fn compared_metrics(&self) -> Option<(&MetricSet, &MetricSet)> {
        let champion = self.evaluated_champion()?;
        // Older reports, which excluded no rows, have both on the test table.
        let all = (&self.candidate.metrics, &champion.metrics);
        Some(self.compared.comparison.as_ref().map_or(all, |it| (&it.candidate, &it.champion)))
    }

    /// Returns candidate minus champion on the rows that were compared, for metrics that both have.
    pub(super) fn differences(&self) -> MetricSet {
        let Some((candidate, champion)) = self.compared_metrics() else {
            return MetricSet::new();
        };
        let both = |(name, value): (&str, Option<f64>)| Some((name.to_owned(), value? - champion.get(name)?));
        candidate.iter().filter_map(both).collect()
    }
}
