//! Preparation: tables become one table, under the manifest's signature if it is the one that is
//! learnt from.
//!
//! The component gets whole tables by name. Of roles and of the split it decides nothing: roles are
//! the manifest's, and which rows are for the test is decided from what the last table is.

use std::collections::HashMap;

use stagewright_manifest::World;
use stagewright_store::{Role, Table};

use crate::artifact::{SIGNATURE, TABLE};
use crate::execution::{Execution, roles};
use crate::fault::StageFault;
use crate::invocation::PreparationWork;
use crate::run_error::RunError;
use crate::stages::ingestion::signature_of;

/// Prepares, and records the signature of the table.
pub(crate) fn run(work: &PreparationWork, execution: &mut Execution) -> Result<(), RunError> {
    let inputs = execution.named_tables()?;
    let roles = roles_of(work, &inputs);
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
    Ok(())
}

/// The roles of the table's columns by name: those of the declared signature, else those that
/// columns of the inputs have; of several such columns, the first by the names of the inputs.
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
        // There is one target: what an input calls so is a column like others here.
        known.retain(|_, role| *role != Role::Target);
        known.insert(target.clone(), Role::Target);
    }
    known
}

/// Refuses a table that came back as it was handed over, with the roles of before: whoever makes a
/// table has it with the manifest's.
fn refuse_other_roles(execution: &Execution, table: &Table, roles: &HashMap<String, Role>) -> Result<(), StageFault> {
    let role = |name: &str| roles.get(name).copied().unwrap_or(Role::Feature);
    if table.schema().fields().iter().all(|field| field.role == role(&field.name)) {
        return Ok(());
    }
    let message = "a table came back that was handed over: write its rows to a table of its own";
    Err(execution.contract("prepare.prepare", message))
}
