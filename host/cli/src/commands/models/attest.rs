//! `models attest`: writes the provenance of a version.

use std::path::Path;

use stagewright_runtime::sign_statement;
use stagewright_store::{CHAMPION, Home, ModelVersion};

use crate::commands::models::version::find_version;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::output::file_or_stdout;
use crate::usage_error::UsageError;
use crate::{provenance, trust};

/// Writes the statement about a version, signed if there is a key.
pub(super) fn attest(home: &Home, model: &str, key: Option<&Path>, output: Option<&Path>) -> anyhow::Result<ExitCode> {
    let version = find_version(home, model, CHAMPION)?;
    let text = provenance::text(&statement(home, &version)?)?;
    let text = match key {
        Some(key) => sign_statement(text.as_bytes(), &trust::secret_key(key)?)?,
        None => text,
    };
    file_or_stdout(output, &text)?;
    Ok(ExitCode::Done)
}

/// Returns the statement about a version.
pub(crate) fn statement(home: &Home, version: &ModelVersion) -> anyhow::Result<serde_json::Value> {
    version.check_runnable()?;
    let run = version.run_id.as_ref().map(|id| home.registry.run(id.as_str())).transpose()?;
    let run = run.ok_or_else(|| {
        let message = format!("no run on record made version {} of `{}`", version.version, version.model);
        UsageError::error(
            ErrorCode::ImportedVersion,
            message,
            "attest it where it was trained: its run is on record there",
        )
    })?;
    let stages = home.registry.stages(&run.run_id)?;
    Ok(provenance::of(version, &run, &stages))
}
