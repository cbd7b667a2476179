//! Validation: is this table fit to learn from? The verdict is the host's: all checks must pass.

use stagewright_data::Signature;
use stagewright_evaluation::report::{self, ValidationReport};
use stagewright_manifest::World;

use crate::run::RunError;
use crate::stage::Stage;

/// Validates. What is wrong with the data is recorded as a finding; the run ends after this stage then.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let table = stage.table(World::Ingestion, "table")?;
    let signature: Signature = stage.json(World::Ingestion, "signature")?;
    let context = stage.context(None);
    let (checks, columns) = stage.run.sandbox.validate(context, &table, signature.fields.fields())?;
    let report = ValidationReport {
        component: stage.report_component(),
        table: report::Table { name: "table".into(), digest: table.digest().to_string(), rows: table.rows() },
        checks,
        columns,
        figures: stage.take_figures(),
    };
    stage.put_document("findings", "application/json", report.json())?;
    stage.put_document("report", "text/html", report.html())
}
