//! Preparation: several tables become one table, with the manifest's signature if a model is
//! trained on it.
//!
//! The component gets whole tables by name, with the roles that the manifest declares, so that it
//! can refuse to make features of the target. It decides neither on roles nor on the split, which
//! is made of the final table.

use std::collections::HashMap;

use stagewright_evaluation::report::{PreparationReport, ReportTable};
use stagewright_manifest::World;
use stagewright_store::{Role, Table};

use crate::artifact::{PREPARATION_FIGURES, PREPARATION_REPORT, SIGNATURE, TABLE};
use crate::execution::{Execution, roles};
use crate::fault::StageFault;
use crate::invocation::PreparationWork;
use crate::run_error::RunError;
use crate::sandbox::View;
use crate::stages::ingestion::signature_of;

/// Prepares the table, and records its signature.
pub(crate) fn run(work: &PreparationWork, execution: &mut Execution) -> Result<(), RunError> {
    let inputs = execution.named_tables()?;
    let roles = roles_of(work, &inputs);
    let told = |(name, table): (String, Table)| (name, View::whole(table).with_roles(&work.roles));
    let inputs: Vec<(String, View)> = inputs.into_iter().map(told).collect();
    let context = execution.context(roles.clone())?;
    let table = execution.session.sandbox.prepare(context, &inputs)?;
    refuse_other_roles(execution, &table, &roles)?;
    if table.rows() == 0 {
        let message = "the table is empty: it has columns, but no rows".to_owned();
        let stage = World::Preparation.into();
        return Err(StageFault::Data { stage, message, column: None, row: None, value: None }.into());
    }
    let signature = match &work.signature {
        Some(signature) => signature.clone(),
        None => signature_of(table.schema(), work.target.as_deref())?,
    };
    execution.put_json(&SIGNATURE, &signature)?;
    execution.put_table(&TABLE, &table);
    report(&inputs, &table, execution)
}

/// Reports what the component says of its table, if it says anything.
fn report(inputs: &[(String, View)], table: &Table, execution: &mut Execution) -> Result<(), RunError> {
    let figures = execution.take_figures();
    if figures.is_empty() {
        return Ok(());
    }
    let described = |name: &str, table: &Table| ReportTable {
        name: name.to_owned(),
        digest: table.digest().to_string(),
        rows: table.rows(),
    };
    let report = PreparationReport {
        component: execution.report_component(),
        inputs: inputs.iter().map(|(name, view)| described(name, &view.table)).collect(),
        table: described("table", table),
        figures,
    };
    execution.put_text(&PREPARATION_FIGURES, report.json())?;
    execution.put_text(&PREPARATION_REPORT, report.html())
}

/// Returns the roles of the table's columns by name: those of the declared signature, or else those
/// of equally named columns of the inputs, of which the first input in the order of names counts.
fn roles_of(work: &PreparationWork, inputs: &[(String, Table)]) -> HashMap<String, Role> {
    let mut known: HashMap<String, Role> = HashMap::new();
    match &work.signature {
        Some(signature) => known.extend(roles(&signature.fields)),
        None => {
            for (_, table) in inputs {
                for (column, role) in roles(table.schema()) {
                    known.entry(column).or_insert(role);
                }
            }
        }
    }
    if let Some(target) = &work.target {
        // There is one target. A column that is the target of an input is a feature here.
        known.retain(|_, role| *role != Role::Target);
        known.insert(target.clone(), Role::Target);
    }
    known
}

/// Fails if the component returned an input table with its old roles. A table that it writes itself
/// has the manifest's roles.
fn refuse_other_roles(execution: &Execution, table: &Table, roles: &HashMap<String, Role>) -> Result<(), StageFault> {
    let role = |name: &str| roles.get(name).copied().unwrap_or(Role::Feature);
    if table.schema().fields().iter().all(|field| field.role == role(&field.name)) {
        return Ok(());
    }
    let message = "the component returned an input table: write its rows to a new table";
    Err(execution.contract("prepare.prepare", message))
}
