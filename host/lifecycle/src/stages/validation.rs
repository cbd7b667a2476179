//! Validation: the check that a table is fit for training. The host decides: all checks must pass.
//!
//! The host itself compares the columns with the signature. Otherwise a component could let a
//! column through that nobody declared, such as one that holds the answer.

use std::collections::{HashMap, HashSet};

use arrow_array::Array as _;
use stagewright_data::Signature;
use stagewright_evaluation::report::{self, Check, FailingCell, Severity, ValidationReport};
use stagewright_store::Table;

use crate::artifact::{FINDINGS, SIGNATURE, TABLE, VALIDATION_REPORT};
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::limits::Watch;
use crate::run_error::RunError;
use crate::table_reading::{ReadError, columns};

/// The name of the host's own check in a report.
const HOSTS_OWN: &str = "signature";

/// The most warnings that are logged. The report has all of them.
const LOGGED: usize = 20;

/// Validates the table. Failed checks are recorded as findings; the run ends after this stage then.
pub(crate) fn run(execution: &mut Execution) -> Result<(), RunError> {
    let table = execution.open(&TABLE)?;
    let signature = execution.open(&SIGNATURE)?;
    let context = execution.context(HashMap::new())?;
    let references = execution.named_tables()?;
    let expected = signature.fields.fields();
    let (mut checks, columns) = execution.session.sandbox.validate(context, &table, &references, expected)?;
    log_warnings(execution, &checks);
    let told: HashSet<Option<String>> =
        checks.iter().filter(|check| check.stops()).map(|check| check.column.clone()).collect();
    let own = compare_with_signature(&signature, &table, execution.watch())?;
    checks.extend(own.into_iter().filter(|check| !told.contains(&check.column)));
    let report = ValidationReport {
        component: execution.report_component(),
        table: report::ReportTable { name: "table".into(), digest: table.digest().to_string(), rows: table.rows() },
        checks,
        columns,
        figures: execution.take_figures(),
    };
    execution.put_text(&FINDINGS, report.json())?;
    execution.put_text(&VALIDATION_REPORT, report.html())
}

/// Logs the checks that warn.
fn log_warnings(execution: &Execution, checks: &[Check]) {
    let warnings: Vec<&Check> = checks.iter().filter(|check| check.warns()).collect();
    for Check { name, column, observed, expected, .. } in warnings.iter().take(LOGGED) {
        let place = column.as_ref().map(|column| format!(" of `{column}`")).unwrap_or_default();
        execution.warn(&format!("check `{name}`{place}: {observed}; expected: {expected}"));
    }
    if let Some(more) = warnings.len().checked_sub(LOGGED).filter(|more| *more > 0) {
        execution.warn(&format!("{more} more checks warn: the report has them"));
    }
}

/// Compares a table with the declared signature. Returns a failed check for every column that is
/// not as declared.
pub(crate) fn compare_with_signature(
    signature: &Signature,
    table: &Table,
    watch: &Watch,
) -> Result<Vec<Check>, StageFault> {
    let check = |column: String, observed: String, expected: String| Check {
        name: HOSTS_OWN.to_owned(),
        column: Some(column),
        passed: false,
        severity: Severity::Error,
        observed,
        expected,
        failures: table.rows(),
        examples: Vec::new(),
    };
    let differences = signature.differences(table.schema());
    if !differences.is_empty() {
        return Ok(differences.into_iter().map(|it| check(it.column, it.observed, it.expected)).collect());
    }
    let wanted = signature.fields.fields();
    let places = table.schema().indices_where(|field| field.nullable);
    let places: Vec<usize> = places.into_iter().filter(|&place| !wanted[place].nullable).collect();
    let mut nulls = vec![(0_u64, None); places.len()];
    let mut start = 0;
    for rows in columns(table, places.clone(), watch) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        for ((count, first), column) in nulls.iter_mut().zip(rows.columns()) {
            *count += column.null_count() as u64;
            if first.is_none() && column.null_count() > 0 {
                *first = (0..column.len()).find(|&row| column.is_null(row)).map(|row| start + row as u64);
            }
        }
        start += rows.num_rows() as u64;
    }
    let with_nulls = places.iter().zip(nulls).filter(|(_, (count, _))| *count > 0);
    Ok(with_nulls
        .map(|(&place, (count, first))| Check {
            failures: count,
            examples: first.map(|row| FailingCell { row, value: None }).into_iter().collect(),
            ..check(wanted[place].name.clone(), format!("{count} nulls"), "no nulls".to_owned())
        })
        .collect())
}
