//! The preparation report: which tables became one, and what the component says of it, such as the
//! rows that a join left without a partner.

use maud::html;
use serde::{Deserialize, Serialize};

use super::page::{self, digest, short};
use super::{ReportComponent, ReportTable};
use crate::figure::Figure;
use crate::text::count;

/// The report of a preparation stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreparationReport {
    /// The component.
    pub component: ReportComponent,
    /// The tables that went in, by name.
    pub inputs: Vec<ReportTable>,
    /// The table that came out.
    pub table: ReportTable,
    /// The figures of the stage. Each has passed [`Figure::check`].
    pub figures: Vec<Figure>,
}

#[derive(Serialize)]
struct PreparationJson<'a> {
    format: &'static str,
    #[serde(flatten)]
    report: &'a PreparationReport,
}

impl PreparationReport {
    /// Returns the report as JSON text.
    #[must_use]
    pub fn json(&self) -> String {
        super::json::json(&PreparationJson { format: "stagewright-preparation-report/1", report: self })
    }

    /// Returns the report as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        let row = |table: &ReportTable| {
            html! {
                tr { th { (short(&table.name)) } td class="n" { (count(table.rows)) } td { (digest(&table.digest)) } }
            }
        };
        let body = html! {
            h1 { "Data preparation" }
            dl {
                dt { "Prepared by" } dd { (page::component(&self.component)) }
                dt { "Rows" } dd { (count(self.table.rows)) }
            }
            h2 { "Tables" }
            div class="scroll" {
                table {
                    thead { tr { th { "Table" } th class="n" { "Rows" } th { "Digest" } } }
                    tbody {
                        @for input in &self.inputs { (row(input)) }
                        (row(&self.table))
                    }
                }
            }
            @if !self.figures.is_empty() { h2 { "Figures" } (page::figures(&self.figures)) }
        };
        page::page("Data preparation", &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::{Plot, TextTable};

    #[test]
    fn a_report_has_tables_and_figures_as_json_and_as_a_page() {
        let table = |name: &str, rows| ReportTable { name: name.to_owned(), digest: "ab".repeat(32), rows };
        let plot = Plot::Text(TextTable { columns: vec!["with".to_owned()], rows: vec![vec!["<users>".to_owned()]] });
        let report = PreparationReport {
            component: ReportComponent {
                name: "join".to_owned(),
                version: "1.0.0".to_owned(),
                digest: "cd".repeat(32),
            },
            inputs: vec![table("orders", 5), table("users", 3)],
            table: table("table", 7),
            figures: vec![Figure { name: "joins".to_owned(), title: "Joins".to_owned(), plot }],
        };
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert_eq!(json["format"], "stagewright-preparation-report/1");
        assert_eq!((&json["inputs"][1]["rows"], &json["table"]["rows"]), (&3.into(), &7.into()));
        assert_eq!(json["figures"][0]["name"], "joins");
        assert_eq!(serde_json::from_value::<PreparationReport>(json).expect("a report"), report);
        let page = report.html();
        assert!(page.contains("Data preparation") && page.contains("Joins") && page.contains("orders"), "{page}");
        assert!(page.contains("&lt;users&gt;") && !page.contains("<users>"), "{page}");
    }
}
