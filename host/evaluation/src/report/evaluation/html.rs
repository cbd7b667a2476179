//! The page of an evaluation report.

use maud::{Markup, html};

use super::report::{ComponentReport, EvaluationReport};
use crate::gates::{GateResult, Verdict};
use crate::metrics::lower_is_better;
use crate::report::comparison_details::difference_text;
use crate::report::evaluated_model::{Champion, Confusion};
use crate::report::page::{self, badge, digest, figure_or_dash, long, short, verdict};
use crate::text::{aligned, count, number};

impl EvaluationReport {
    /// Returns the report as one HTML file.
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

    fn outcome(&self) -> Markup {
        match (&self.decision, self.verdict()) {
            (None, Verdict::Approved) => badge(true, "gates passed", ""),
            (None, Verdict::Rejected) => badge(false, "", "gates failed"),
            (_, outcome) => verdict(outcome),
        }
    }

    fn summary(&self) -> Markup {
        let primary = self.candidate.metrics.get(&self.primary_metric);
        let failed = self.gates.iter().filter(|gate| !gate.passed).count();
        html! {
            p class="lead" {
                (self.outcome()) " "
                @match primary {
                    Some(value) => { (short(&self.primary_metric)) " " strong { (number(value)) } },
                    None => { (short(&self.primary_metric)) " is missing or undefined" },
                }
                @if let Some((candidate, champion)) = self.compared_metrics() {
                    @let (ours, theirs) = (candidate.get(&self.primary_metric), champion.get(&self.primary_metric));
                    @if let Some(ours) = ours.filter(|ours| Some(*ours) != primary) {
                        "; on the rows compared " strong { (number(ours)) }
                    }
                    @if let Some(theirs) = theirs { ", champion " strong { (number(theirs)) } }
                }
                @if failed > 0 { "; " (failed) " of " (self.gates.len()) " gates not passed" }
                "."
            }
            dl {
                dt { "Task" } dd { (short(&self.task)) }
                dt { "Candidate" } dd { (identity(self.candidate.version, &self.candidate.digest)) }
                dt { "Judged against" }
                dd {
                    @match &self.champion {
                        Champion::None => "no champion",
                        Champion::Evaluated(model) => (identity(model.version, &model.digest)),
                        Champion::Unreadable { version, digest, reason } => {
                            (identity(Some(*version), digest)) " cannot read today's table: " (long(reason))
                        },
                    }
                }
                dt { "Policy" } dd { (self.compared.policy_text()) }
                dt { "Test table" } dd { (count(self.test.rows)) " rows " (digest(&self.test.digest)) }
                @for (name, rows) in self.compared.rows_text(Some(&self.champion)) { dt { (name) } dd { (rows) } }
                @if let Some(difference) = self.compared.comparison.as_ref().and_then(|it| it.difference.as_ref()) {
                    dt { "Difference" } dd { (short(&difference_text(difference))) }
                }
            }
            @let caveats = self.caveats();
            @if !caveats.is_empty() { ul { @for caveat in &caveats { li { (long(caveat)) } } } }
            @if !self.same_test_rows() {
                p { (badge(false, "", "different test rows")) " The models did not predict the same rows: their figures cannot be compared." }
            }
        }
    }

    fn decision(&self) -> Markup {
        let Some(decision) = &self.decision else {
            let command = format!("stagewright models show {}", self.model);
            return html! {
                p class="muted" {
                    "An evaluation decides nothing, so no decision stands here: " code { (short(&command)) }
                    " lists the verdicts of the model's versions, and each version's card shows its own."
                }
            };
        };
        html! {
            p {
                (verdict(decision.verdict)) " by "
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
                                td { (gate_outcome(result)) }
                                td { (long(&result.message)) }
                            }
                        }
                    }
                }
            }
        }
    }

    fn metrics(&self) -> Markup {
        let compared = self.compared_metrics();
        // A further column is needed only if rows were excluded from the comparison alone.
        let on_compared = compared.map(|(candidate, _)| candidate).filter(|it| **it != self.candidate.metrics);
        let differences = self.differences();
        html! {
            div class="scroll" {
                table {
                    thead {
                        tr {
                            th { "Metric" } th class="n" { "Candidate" }
                            @if on_compared.is_some() { th class="n" { "On compared rows" } }
                            @if compared.is_some() { th class="n" { "Champion" } th class="n" { "Difference" } }
                        }
                    }
                    tbody {
                        @for (name, value) in self.candidate.metrics.iter() {
                            tr class=[(name == self.primary_metric).then_some("primary")] {
                                th { code { (short(name)) } }
                                td class="n" { (figure_or_dash(value)) }
                                @if let Some(candidate) = on_compared { td class="n" { (figure_or_dash(candidate.get(name))) } }
                                @if let Some((_, champion)) = compared {
                                    td class="n" { (figure_or_dash(champion.get(name))) }
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

fn gate_outcome(result: &GateResult) -> Markup {
    if result.undecided {
        return verdict(Verdict::Undecided);
    }
    badge(result.passed, "passed", if result.missing { "missing" } else { "failed" })
}

fn digest_row(name: &str, stage: &str, kind: &str, of: &str) -> Markup {
    html! { tr { th { (short(name)) } td { (short(stage)) } td { (short(kind)) } td { (digest(of)) } } }
}

fn identity(version: Option<u64>, of: &str) -> Markup {
    html! { @if let Some(version) = version { "version " (version) " " } (digest(of)) }
}

/// Returns a difference with its sign, marked as good or bad; for losses, less is good.
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

fn report_of_component(reported: &ComponentReport) -> Markup {
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
