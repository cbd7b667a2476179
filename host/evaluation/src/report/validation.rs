//! The validation report: is this table fit to learn from, and if not, which cells are to blame?

use maud::{Markup, html};
use serde::{Deserialize, Serialize};

use super::page::{self, badge, digest, figure_or_dash, long, short};
use super::{ReportComponent, ReportTable};
use crate::figure::Figure;
use crate::text::count;

/// A value that breaks a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailingCell {
    /// The row, from 0.
    pub row: u64,
    /// The value as text; `None` for null.
    pub value: Option<String>,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The kind of check: `presence`, `type`, `null_ratio`, ...
    pub name: String,
    /// The column checked; `None` for the whole table.
    pub column: Option<String>,
    /// Whether the data passes.
    pub passed: bool,
    /// What was found, for people.
    pub observed: String,
    /// What is allowed, for people.
    pub expected: String,
    /// How many rows break it.
    pub failures: u64,
    /// The first of them.
    pub examples: Vec<FailingCell>,
}

/// A column in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnSummary {
    /// Its name.
    pub column: String,
    /// How many nulls.
    pub nulls: u64,
    /// How many distinct values; `None` where there are more than were counted.
    pub distinct: Option<u64>,
    /// Least value, of numbers and timestamps.
    pub minimum: Option<f64>,
    /// Greatest value.
    pub maximum: Option<f64>,
    /// Mean of the values that are neither null nor NaN.
    pub mean: Option<f64>,
}

/// What a validation stage found in a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationReport {
    /// Who looked.
    pub component: ReportComponent,
    /// At what.
    pub table: ReportTable,
    /// Every check that was made, passed or not.
    pub checks: Vec<Check>,
    /// One per column.
    pub columns: Vec<ColumnSummary>,
    /// The figures that the stage sent; each has passed [`Figure::check`].
    #[serde(default)]
    pub figures: Vec<Figure>,
}

#[derive(Serialize)]
struct Twin<'a> {
    format: &'static str,
    passed: bool,
    #[serde(flatten)]
    report: &'a ValidationReport,
}

impl ValidationReport {
    /// Whether every check passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }

    /// The report as JSON text, with the overall verdict as `passed`.
    #[must_use]
    pub fn json(&self) -> String {
        super::json::json(&Twin { format: "stagewright-validation-report/1", passed: self.passed(), report: self })
    }

    /// The report as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        let failed = self.checks.iter().filter(|check| !check.passed).count();
        let body = html! {
            h1 { "Data validation" }
            p class="lead" {
                (badge(self.passed(), "passed", "failed")) " "
                @if failed == 0 { "All " (self.checks.len()) " checks passed." }
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
                (checks(self.checks.iter().filter(|check| !check.passed)))
            }
            h2 { "Passed checks" }
            @if failed == self.checks.len() { p class="muted" { "None." } }
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
                            td { (badge(check.passed, "passed", "failed")) }
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
                            // As messages count: the first row is 1.
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
