//! The evaluation report: candidate beside champion on the same untouched test rows, gates, decision, figures, digests.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::page::{self, badge, digest, figure_or_dash, long, short};
use super::{Component, Table};
use crate::figure::Figure;
use crate::gates::{GateResult, GateSummary, failure_text};
use crate::metrics::{ConfusionMatrix, MetricSet, lower_is_better};
use crate::text::{aligned, count, number};

/// Test rows by actual and predicted class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The names of the classes, by index.
    pub classes: Vec<String>,
    /// Counts, actual class by actual class, each in the order of predicted classes; `classes` squared.
    pub counts: Vec<u64>,
}

impl Confusion {
    /// The matrix of a binary task; `classes` are the names of class 0 and class 1.
    #[must_use]
    pub fn binary(classes: [&str; 2], confusion: &ConfusionMatrix) -> Self {
        let ConfusionMatrix { true_negatives, false_positives, false_negatives, true_positives } = *confusion;
        Self {
            classes: classes.map(str::to_owned).to_vec(),
            counts: vec![true_negatives, false_positives, false_negatives, true_positives],
        }
    }
}

/// A model as it was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluatedModel {
    /// Its version in the registry; `None` before it is registered.
    pub version: Option<u64>,
    /// The digest of the model.
    pub digest: String,
    /// The digest of the table whose rows it predicted.
    pub test_digest: String,
    /// What the host computed from its predictions.
    pub metrics: MetricSet,
    /// Its confusion matrix, of a classification.
    pub confusion: Option<Confusion>,
}

/// The champion, or why it was not compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Champion {
    /// There is none: the candidate is accepted unless an absolute gate rejects it.
    None,
    /// It predicted the same rows.
    Evaluated(EvaluatedModel),
    /// There is one, but it cannot read today's table, and the manifest lets absolute gates decide then.
    Unreadable {
        /// Its version in the registry.
        version: u64,
        /// The digest of the model.
        digest: String,
        /// Why it cannot.
        reason: String,
    },
}

/// The two outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The candidate may become champion.
    Approved,
    /// It may not.
    Rejected,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The gate or rule: `minimum roc_auc`.
    pub gate: String,
    /// Whether it speaks for the candidate.
    pub passed: bool,
    /// One sentence with the figures.
    pub message: String,
}

/// What the promotion stage decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The outcome.
    pub verdict: Verdict,
    /// Who decided; `None` if the host did, by the gates alone.
    pub component: Option<Component>,
    /// Every rule that was looked at.
    pub reasons: Vec<Reason>,
}

/// What the evaluation component said. Shown under its name, and read by no gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// Who said it.
    pub component: Component,
    /// Its metrics.
    pub metrics: MetricSet,
    /// Its figures; each has passed [`Figure::check`].
    pub figures: Vec<Figure>,
}

/// An artifact of the run, by content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The stage that made it.
    pub stage: String,
    /// Its name among the stage's.
    pub name: String,
    /// `table`, `blob` or `document`.
    pub kind: String,
    /// The digest of its content.
    pub digest: String,
}

/// What is known about a candidate after its evaluation, and its decision if it has fallen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationReport {
    /// The name of the registered model.
    pub model: String,
    /// What is learnt, for people: `binary, positive class Yes`.
    pub task: String,
    /// The metric that counts most.
    pub primary_metric: String,
    /// The untouched rows that both models predicted.
    pub test: Table,
    /// The candidate.
    pub candidate: EvaluatedModel,
    /// The champion.
    pub champion: Champion,
    /// The manifest's gates as the host found them.
    pub gates: Vec<GateResult>,
    /// The decision; `None` while it has not fallen.
    pub decision: Option<Decision>,
    /// The host's figures.
    pub figures: Vec<Figure>,
    /// What the evaluation component added.
    pub reported: Option<Reported>,
    /// The artifacts that the candidate comes from.
    pub artifacts: Vec<Artifact>,
}

#[derive(Serialize)]
struct Twin<'a> {
    format: &'static str,
    passed: bool,
    failure: Option<String>,
    gate_summary: GateSummary,
    differences: MetricSet,
    #[serde(flatten)]
    report: &'a EvaluationReport,
}

impl EvaluationReport {
    /// Whether every gate is passed and no decision speaks against the candidate.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.gates.iter().all(|gate| gate.passed)
            && self.decision.as_ref().is_none_or(|decision| decision.verdict == Verdict::Approved)
    }

    /// Whether the champion, if it was evaluated, predicted the rows that the candidate predicted.
    #[must_use]
    pub fn same_test_rows(&self) -> bool {
        self.candidate.test_digest == self.test.digest
            && self.evaluated_champion().is_none_or(|champion| champion.test_digest == self.test.digest)
    }

    /// The report as JSON text, with the verdict, the text of a failure, the gates for programs
    /// ([`GateSummary`]) and what the candidate has more than the champion.
    #[must_use]
    pub fn json(&self) -> String {
        super::json(&Twin {
            format: "stagewright-evaluation-report/1",
            passed: self.passed(),
            failure: failure_text(&self.gates),
            gate_summary: GateSummary::new(&self.gates),
            differences: self.differences(),
            report: self,
        })
    }

    /// The report as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        let title = format!("Evaluation of {}", short(&self.model));
        let body = html! {
            h1 { (title) }
            (self.summary())
            h2 { "Decision" }
            (self.decision())
            h2 { "Gates" }
            (self.gates())
            h2 { "Metrics on the test rows" }
            (self.metrics())
            @if self.candidate.confusion.is_some() { h2 { "Confusion" } (self.confusions()) }
            @if !self.figures.is_empty() { h2 { "Figures" } (page::figures(&self.figures)) }
            @if let Some(reported) = &self.reported { (report_of_component(reported)) }
            h2 { "Digests" }
            (self.digests())
        };
        page::page(&title, &body)
    }

    fn evaluated_champion(&self) -> Option<&EvaluatedModel> {
        match &self.champion {
            Champion::Evaluated(model) => Some(model),
            Champion::None | Champion::Unreadable { .. } => None,
        }
    }

    /// Candidate minus champion, of the metrics that both have.
    fn differences(&self) -> MetricSet {
        let Some(champion) = self.evaluated_champion() else {
            return MetricSet::new();
        };
        let both = |(name, value): (&str, Option<f64>)| Some((name.to_owned(), value? - champion.metrics.get(name)?));
        self.candidate.metrics.iter().filter_map(both).collect()
    }

    fn summary(&self) -> Markup {
        let primary = self.candidate.metrics.get(&self.primary_metric);
        let failed = self.gates.iter().filter(|gate| !gate.passed).count();
        html! {
            p class="lead" {
                (badge(self.passed(), if self.decision.is_some() { "approved" } else { "gates passed" }, "rejected")) " "
                @match primary {
                    Some(value) => { (short(&self.primary_metric)) " " strong { (number(value)) } },
                    None => { (short(&self.primary_metric)) " is missing or undefined" },
                }
                @if let Some(base) = self.evaluated_champion().and_then(|model| model.metrics.get(&self.primary_metric)) {
                    ", champion " strong { (number(base)) }
                }
                @if failed > 0 { "; " (failed) " of " (self.gates.len()) " gates failed" }
                "."
            }
            dl {
                dt { "Task" } dd { (short(&self.task)) }
                dt { "Candidate" } dd { (identity(self.candidate.version, &self.candidate.digest)) }
                dt { "Champion" }
                dd {
                    @match &self.champion {
                        Champion::None => "no champion",
                        Champion::Evaluated(model) => (identity(model.version, &model.digest)),
                        Champion::Unreadable { version, digest, reason } => {
                            (identity(Some(*version), digest)) " cannot read today's table: " (long(reason))
                        },
                    }
                }
                dt { "Test table" } dd { (count(self.test.rows)) " rows " (digest(&self.test.digest)) }
            }
            @if !self.same_test_rows() {
                p { (badge(false, "", "different test rows")) " The models did not predict the same rows: their figures cannot be compared." }
            }
        }
    }

    fn decision(&self) -> Markup {
        let Some(decision) = &self.decision else {
            return html! { p class="muted" { "Not decided yet." } };
        };
        html! {
            p {
                (badge(decision.verdict == Verdict::Approved, "approved", "rejected")) " by "
                @match &decision.component { Some(component) => (page::component(component)), None => "the manifest's gates" }
            }
            @if !decision.reasons.is_empty() {
                ul { @for reason in &decision.reasons { li { (badge(reason.passed, "for", "against")) " " strong { (short(&reason.gate)) } ": " (long(&reason.message)) } } }
            }
        }
    }

    fn gates(&self) -> Markup {
        if self.gates.is_empty() {
            return html! { p class="muted" { "The manifest sets none." } };
        }
        html! {
            div class="scroll" {
                table {
                    thead {
                        tr {
                            th { "Gate" } th { "Metric" } th class="n" { "Threshold" } th class="n" { "Candidate" }
                            th class="n" { "Champion" } th { "Result" } th { "Reason" }
                        }
                    }
                    tbody {
                        @for result in &self.gates {
                            tr {
                                th class="rule" { (result.gate.rule.name()) }
                                td { code { (short(&result.gate.metric)) } }
                                td class="n" { (number(result.gate.threshold)) }
                                td class="n" { (figure_or_dash(result.actual)) }
                                td class="n" { (figure_or_dash(result.baseline)) }
                                td { (badge(result.passed, "passed", if result.missing { "missing" } else { "failed" })) }
                                td { (long(&result.message)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn metrics(&self) -> Markup {
        let champion = self.evaluated_champion();
        let differences = self.differences();
        html! {
            div class="scroll" {
                table {
                    thead {
                        tr {
                            th { "Metric" } th class="n" { "Candidate" }
                            @if champion.is_some() { th class="n" { "Champion" } th class="n" { "Difference" } }
                        }
                    }
                    tbody {
                        @for (name, value) in self.candidate.metrics.iter() {
                            tr class=[(name == self.primary_metric).then_some("primary")] {
                                th { code { (short(name)) } }
                                td class="n" { (figure_or_dash(value)) }
                                @if let Some(champion) = champion {
                                    td class="n" { (figure_or_dash(champion.metrics.get(name))) }
                                    td class="n" { (difference(name, differences.get(name))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn confusions(&self) -> Markup {
        let models = [("Candidate", Some(&self.candidate)), ("Champion", self.evaluated_champion())];
        html! {
            div class="figures" {
                @for (name, model) in models {
                    @if let Some(confusion) = model.and_then(|model| model.confusion.as_ref()) {
                        div { h3 { (name) } (confusion_table(confusion)) }
                    }
                }
            }
        }
    }

    fn digests(&self) -> Markup {
        let champion = self.evaluated_champion();
        html! {
            div class="scroll" {
                table {
                    thead { tr { th { "Artifact" } th { "Stage" } th { "Kind" } th { "Digest" } } }
                    tbody {
                        (digest_row("test table", "host", "table", &self.test.digest))
                        (digest_row("candidate predicted", "host", "table", &self.candidate.test_digest))
                        @if let Some(champion) = champion { (digest_row("champion predicted", "host", "table", &champion.test_digest)) }
                        (digest_row("candidate", "host", "model", &self.candidate.digest))
                        @if let Some(champion) = champion { (digest_row("champion", "host", "model", &champion.digest)) }
                        @for artifact in &self.artifacts {
                            (digest_row(&artifact.name, &artifact.stage, &artifact.kind, &artifact.digest))
                        }
                    }
                }
            }
        }
    }
}

fn digest_row(name: &str, stage: &str, kind: &str, of: &str) -> Markup {
    html! { tr { th { (short(name)) } td { (short(stage)) } td { (short(kind)) } td { (digest(of)) } } }
}

fn identity(version: Option<u64>, of: &str) -> Markup {
    html! { @if let Some(version) = version { "version " (version) " " } (digest(of)) }
}

/// A difference with its sign, marked by whether it is good: of a loss, less is.
fn difference(metric: &str, value: Option<f64>) -> Markup {
    let Some(value) = value else {
        return figure_or_dash(None);
    };
    let text = aligned(value);
    let class = match value {
        0.0 => "badge none",
        v if (v > 0.0) != lower_is_better(metric) => "badge good",
        _ => "badge bad",
    };
    html! { span class=(class) { @if value > 0.0 { "+" } (text) } }
}

fn confusion_table(confusion: &Confusion) -> Markup {
    let classes = confusion.classes.len();
    html! {
        div class="scroll" {
            table {
                thead { tr { th { "actual \\ predicted" } @for class in &confusion.classes { th class="n" { (short(class)) } } } }
                tbody {
                    @for (class, counts) in confusion.classes.iter().zip(confusion.counts.chunks(classes.max(1))) {
                        tr { th { (short(class)) } @for rows in counts { td class="n" { (count(*rows)) } } }
                    }
                }
            }
        }
    }
}

fn report_of_component(reported: &Reported) -> Markup {
    html! {
        h2 { "Reported by " (short(&reported.component.name)) }
        p class="muted" { "Computed by the evaluation component " (page::component(&reported.component)) "; no gate reads it." }
        @if !reported.metrics.is_empty() {
            div class="scroll" {
                table {
                    thead { tr { th { "Metric" } th class="n" { "Value" } } }
                    tbody { @for (name, value) in reported.metrics.iter() { tr { th { code { (short(name)) } } td class="n" { (figure_or_dash(value)) } } } }
                }
            }
        }
        @if !reported.figures.is_empty() { h3 { "Figures" } (page::figures(&reported.figures)) }
    }
}
