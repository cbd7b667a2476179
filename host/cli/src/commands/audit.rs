//! `audit`: verifies and lists the chain of all changes of models.

use stagewright_store::{AuditCheck, StoreError};

use crate::arguments::AuditCommand;
use crate::commands::models::history::audit_table;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::usage_error::UsageError;

/// Verifies or lists the audit.
pub(crate) fn audit(location: &HomeLocation, command: &AuditCommand) -> anyhow::Result<ExitCode> {
    let registry = location.existing()?.registry;
    match command {
        AuditCommand::List { limit, json } => {
            let entries = registry.audit_entries(*limit)?;
            if json.json {
                print_json(&entries)?;
            } else {
                println!("{}", audit_table(&entries, true));
            }
        }
        AuditCommand::Verify { head, json } => {
            if head.as_deref() == Some("") {
                return Err(UsageError::error(
                    ErrorCode::Argument,
                    "--head is empty",
                    "leave it away, or name a head that was printed before",
                ));
            }
            let check = registry.check_audit()?;
            if let Some(head) = head
                && !registry.audit_contains(head)?
            {
                return Err(UsageError::error(
                    ErrorCode::AuditHead,
                    format!("the chain is whole, but `{head}` is not part of it"),
                    "if the head was printed by this registry, the chain was forged since: compare with a backup",
                ));
            }
            if json.json {
                print_json(&check)?;
            }
            if check.different > 0 {
                return Err(StoreError::Differs { different: check.different, differences: check.differences }.into());
            }
            if !json.json {
                said(&check);
            }
        }
    }
    Ok(ExitCode::Done)
}

fn said(check: &AuditCheck) {
    let AuditCheck { entries, head, models, versions, without_digests, .. } = check;
    println!("{entries} entries, whole; head {head}");
    println!("{models} models and {versions} versions stand as the entries say");
    if *without_digests > 0 {
        println!("{without_digests} entries are without digests, not compared: they were written before format 4");
    }
}
