//! The validation report: whether a table is fit to learn from, and which cells are not.

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::page::{self, badge, digest, figure_or_dash, long, short};
use super::{ReportComponent, ReportTable};
use crate::figure::Figure;
use crate::text::count;

/// A value that fails a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingCell {
    /// The row, from 0.
    pub row: u64,
    /// The value as text; `None` for null.
    pub value: Option<String>,
}

/// The meaning of a check that does not pass for the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The run ends.
    #[default]
    Error,
    /// The run continues, and says so.
    Warn,
}

impl Severity {
    // serde prescribes the signature.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_error(&self) -> bool {
        *self == Self::Error
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The kind of check: `presence`, `type`, `null_ratio`, ...
    pub name: String,
    /// The column; `None` for the whole table.
    pub column: Option<String>,
    /// Whether the data passes.
    pub passed: bool,
    /// The meaning for the run if the data does not pass.
    #[serde(default, skip_serializing_if = "Severity::is_error")]
    pub severity: Severity,
    /// The observation, for people.
    pub observed: String,
    /// The expectation, for people.
    pub expected: String,
    /// The number of rows that fail.
    pub failures: u64,
    /// The first of them.
    pub examples: Vec<FailingCell>,
}

/// A summary of a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// The name.
    pub column: String,
    /// The number of nulls.
    pub nulls: u64,
    /// The number of distinct values; `None` if there are more than were counted.
    pub distinct: Option<u64>,
    /// The least value of numbers and timestamps.
    pub minimum: Option<f64>,
    /// The greatest value.
    pub maximum: Option<f64>,
    /// The mean of the values that are neither null nor NaN.
    pub mean: Option<f64>,
}

/// The report of a validation stage about a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// The component.
    pub component: ReportComponent,
    /// The table.
    pub table: ReportTable,
    /// Every check, passed or not.
    pub checks: Vec<Check>,
    /// One summary per column.
    pub columns: Vec<ColumnSummary>,
    /// The figures of the stage. Each has passed [`Figure::check`].
    #[serde(default)]
    pub figures: Vec<Figure>,
}

#[derive(Serialize)]
struct ValidationJson<'a> {
    format: &'static str,
    passed: bool,
    #[serde(flatten)]
    report: &'a ValidationReport,
}

impl Check {
    /// Returns whether the check ends the run.
    #[must_use]
    pub fn stops(&self) -> bool {
        !self.passed && self.severity == Severity::Error
    }

    /// Returns whether the check did not pass and only warns.
    #[must_use]
    pub fn warns(&self) -> bool {
        !self.passed && self.severity == Severity::Warn
    }
}

impl ValidationReport {
    /// Returns whether no check stops the run. Checks that warn do not count.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.checks.iter().any(Check::stops)
    }

    /// Returns the report as JSON text, with the overall result as `passed`.
    #[must_use]
    pub fn json(&self) -> String {
        super::json::json(&ValidationJson {
            format: "stagewright-validation-report/1",
            passed: self.passed(),
            report: self,
        })
    }

    /// Returns the report as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        let failed = self.checks.iter().filter(|check| check.stops()).count();
        let warned = self.checks.iter().filter(|check| check.warns()).count();
        let body = html! {
            h1 { "Data validation" }
            p class="lead" {
                (badge(self.passed(), "passed", "failed")) " "
                @if failed == 0 && warned == 0 { "All " (self.checks.len()) " checks passed." }
                @else if failed == 0 { (warned) " of " (self.checks.len()) " checks warn, which does not block training." }
                @else { (failed) " of " (self.checks.len()) " checks failed: training is blocked." }
            }
            dl {
                dt { "Table" } dd { (short(&self.table.name)) " " (digest(&self.table.digest)) }
                dt { "Rows" } dd { (count(self.table.rows)) }
                dt { "Columns" } dd { (count(self.columns.len() as u64)) }
                dt { "Checked by" } dd { (page::component(&self.component)) }
            }
            @if failed > 0 {
                h2 { "Failed checks" }
                (checks(self.checks.iter().filter(|check| check.stops())))
            }
            @if warned > 0 {
                h2 { "Warnings" }
                (checks(self.checks.iter().filter(|check| check.warns())))
            }
            h2 { "Passed checks" }
            @if failed + warned == self.checks.len() { p class="muted" { "None." } }
            @else { (checks(self.checks.iter().filter(|check| check.passed))) }
            h2 { "Columns" }
            (columns(&self.columns, self.table.rows))
            @if !self.figures.is_empty() { h2 { "Figures" } (page::figures(&self.figures)) }
        };
        page::page("Data validation", &body)
    }
}

fn checks<'a>(checks: impl Iterator<Item = &'a Check>) -> Markup {
    html! {
        div class="scroll" {
            table {
                thead {
                    tr {
                        th { "Check" } th { "Column" } th { "Result" } th { "Observed" } th { "Expected" }
                        th class="n" { "Failing rows" }
                    }
                }
                tbody {
                    @for check in checks {
                        tr {
                            th { (short(&check.name)) }
                            td { @match &check.column { Some(column) => code { (short(column)) }, None => span class="muted" { "whole table" } } }
                            td { (badge(check.passed, "passed", if check.warns() { "warning" } else { "failed" })) }
                            td { (long(&check.observed)) (examples(&check.examples)) }
                            td { (long(&check.expected)) }
                            td class="n" { (count(check.failures)) }
                        }
                    }
                }
            }
        }
    }
}

fn examples(cells: &[FailingCell]) -> Markup {
    html! {
        @if !cells.is_empty() {
            details {
                summary { "first " (cells.len()) " cells" }
                ul {
                    @for cell in cells {
                        li {
                            // Messages count rows from 1.
                            "data row " (count(cell.row.saturating_add(1))) ": "
                            @match &cell.value { Some(value) => code { "\"" (short(value)) "\"" }, None => span class="muted" { "null" } }
                        }
                    }
                }
            }
        }
    }
}

fn columns(columns: &[ColumnSummary], rows: u64) -> Markup {
    let percent = |nulls: u64| {
        if rows == 0 { 0.0 } else { nulls as f64 / rows as f64 * 100.0 }
    };
    html! {
        div class="scroll" {
            table {
                thead {
                    tr {
                        th { "Column" } th class="n" { "Nulls" } th class="n" { "Null %" } th class="n" { "Distinct" }
                        th class="n" { "Minimum" } th class="n" { "Mean" } th class="n" { "Maximum" }
                    }
                }
                tbody {
                    @for column in columns {
                        tr {
                            th { code { (short(&column.column)) } }
                            td class="n" { (count(column.nulls)) }
                            td class="n" { (format!("{:.2}", percent(column.nulls))) }
                            td class="n" { @match column.distinct { Some(distinct) => (count(distinct)), None => span class="muted" { "many" } } }
                            td class="n" { (figure_or_dash(column.minimum)) }
                            td class="n" { (figure_or_dash(column.mean)) }
                            td class="n" { (figure_or_dash(column.maximum)) }
                        }
                    }
                }
            }
        }
    }
}
