//! Rows of a PostgreSQL server, which the host reads once and keeps.

use stagewright_data::{DataError, Password, PostgresRequest, PostgresRows, Secret, TableName};
use stagewright_manifest::{DatabaseSource, SqliteRows, StageSection, World};
use stagewright_store::Blob;

use super::fetch_error::fetch_error;
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::settings;

/// The variable with the password of a server whose source names no other.
const PGPASSWORD: &str = "PGPASSWORD";

/// Reads the rows of a source. If their digest is known and stored, takes them from the store.
pub(super) fn fetch(
    run: &Run,
    execution: &Execution,
    (name, stage): (&str, &StageSection),
    source: &DatabaseSource,
) -> Result<Blob, RunError> {
    let expected = source.sha256.as_ref().map(|digits| format!("sha256:{digits}"));
    let kept = |digest: &String| execution.session.artifacts.open_blob(&digest.parse().ok()?).ok();
    if let Some(kept) = expected.as_ref().and_then(kept) {
        return Ok(kept);
    }
    let parameter = |key: &str, message: String| StageFault::Parameter {
        stage: World::Ingestion.into(),
        parameter: format!("sources.{name}.{key}"),
        message,
        key: Some(format!("sources.{name}.{key}")),
    };
    let rows = match &source.rows {
        SqliteRows::Table { table } => {
            let table = TableName::parse(table).map_err(|message| parameter("table", message.to_owned()))?;
            PostgresRows::Table(table)
        }
        SqliteRows::Query { query, parameters } => {
            PostgresRows::Query { query: query.clone(), parameters: parameters.clone() }
        }
    };
    let request = PostgresRequest {
        address: source.address.clone(),
        rows,
        password: password(run, source).map_err(|message| parameter("password-env", message))?,
        grants: settings::host_grants(&stage.postgres),
        max_bytes: source.max_bytes,
        deadline: execution.deadline(),
    };
    let mut writer = execution.create_blob()?;
    stagewright_data::fetch_postgres(&request, &execution.interrupt(), &mut writer).map_err(|error| match error {
        DataError::Denied { what, grant } => RunError::Stage(StageFault::Denied {
            stage: World::Ingestion.into(),
            component: execution.component.name.clone(),
            what,
            grant: format!("to grant it, write `postgres = [\"{grant}\"]` under [stages.{}]", stage.name),
        }),
        error => fetch_error(error, execution, stage),
    })?;
    let rows = writer.finish()?;
    match expected {
        Some(expected) if expected != rows.digest().to_string() => {
            let message =
                format!("`{}` gives {}, not {expected}: the rows have changed", source.address, rows.digest());
            Err(parameter("sha256", message).into())
        }
        _ => Ok(rows),
    }
}

/// Returns the password: that of the address, that of the variable that the source names, or
/// `PGPASSWORD`.
fn password(run: &Run, source: &DatabaseSource) -> Result<Option<Password>, String> {
    if let Some(password) = &source.address.password {
        return Ok(Some(Password::Given(password.clone())));
    }
    let Some(variable) = &source.password_env else {
        return Ok(run.request.tokens.get(PGPASSWORD).cloned().map(|password| Password::Shared(Secret(password))));
    };
    match run.request.tokens.get(variable) {
        Some(password) if password.contains('\0') => Err(format!("the variable `{variable}` has a NUL")),
        Some(password) => Ok(Some(Password::Given(Secret(password.clone())))),
        None => Err(format!("the variable `{variable}` is not set, or is not UTF-8")),
    }
}
