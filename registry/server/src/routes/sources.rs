//! Where a model version's files are.

use stagewright_store::{ModelVersion, RunId};
use stagewright_text::Untrusted;

use super::fields::parsed_run_id;
use crate::app::App;
use crate::mlflow_error::MlflowError;
use crate::request::{Fields, percent_decoded};
use crate::wire_models;

const MOST_SOURCE: usize = 2_048;
/// How many versions refer to each other at most.
const MOST_REFERENCES: usize = 8;

/// Returns the number of the version that a request names.
pub(super) fn number(fields: &Fields) -> Result<u32, MlflowError> {
    let text = fields.required("version")?;
    text.parse().map_err(|_| {
        let shown = Untrusted::new(text).cut(100);
        MlflowError::invalid(format!("Parameter 'version' must be an integer, got '{shown}'."))
    })
}

/// Returns the URI of a version's files, with references to runs and logged models followed.
///
/// # Errors
/// There is no such version, or what it refers to is missing.
pub(super) fn of_version(app: &App, fields: &Fields) -> Result<String, MlflowError> {
    let version = app.registry.pin_foreign_version(fields.required("name")?, number(fields)?)?;
    followed(app, &wire_models::source(&version))
}

/// Follows `runs:/RUN/PATH`, `models:/m-ID`, `models:/NAME/VERSION` and `models:/NAME@ALIAS` to
/// where the files are.
///
/// # Errors
/// A reference names nothing, or references go round in a circle.
pub(super) fn followed(app: &App, source: &str) -> Result<String, MlflowError> {
    let mut at = source.to_owned();
    for _ in 0..MOST_REFERENCES {
        if let Some(path) = at.strip_prefix("runs:/") {
            let (run_id, path) = path.split_once('/').unwrap_or((path, ""));
            let run = app.registry.run(parsed_run_id(run_id)?.as_str())?;
            return Ok(if path.is_empty() { run.artifact_uri } else { format!("{}/{path}", run.artifact_uri) });
        }
        let Some(named) = at.strip_prefix("models:/").map(ToOwned::to_owned) else { return Ok(at) };
        if named.starts_with("m-") && !named.contains(['/', '@']) {
            return Ok(app.registry.logged_model(&named)?.artifact_uri);
        }
        at = wire_models::source(&referred(app, &named)?);
    }
    Err(MlflowError::invalid("The sources of model versions refer to each other, and none has files"))
}

/// Returns the version that `NAME/VERSION` or `NAME@ALIAS` refers to.
fn referred(app: &App, named: &str) -> Result<ModelVersion, MlflowError> {
    let unknown = || MlflowError::invalid(format!("'models:/{}' names no version", Untrusted::new(named).cut(300)));
    let (model, version) = match (named.split_once('@'), named.rsplit_once('/')) {
        (Some((model, alias)), _) => (model, app.registry.alias(model, alias)?.ok_or_else(unknown)?),
        (None, Some((model, version))) => (model, version.parse().map_err(|_| unknown())?),
        (None, None) => return Err(unknown()),
    };
    Ok(app.registry.version(model, version)?)
}

/// Checks the source of a new version. The server never reads a path that a client names on this
/// machine; a stock server would, and so refuses most of them.
///
/// # Errors
/// The source is a local path, or leads elsewhere than it says.
pub(super) fn check(source: &str, run_id: Option<&RunId>) -> Result<(), MlflowError> {
    let refuse = |problem: &str| {
        let shown = Untrusted::new(source).cut(300);
        Err(MlflowError::invalid(format!("Invalid model version source: '{shown}'. {problem}")))
    };
    if source.len() > MOST_SOURCE {
        return refuse("It has too many bytes.");
    }
    if is_local(source) {
        return refuse(
            "To use a local path as a model version source, the run_id request parameter has to be specified and the \
             local path has to be contained within the artifact directory of the run specified by the run_id.",
        );
    }
    if leads_elsewhere(source) {
        return refuse(
            "If supplying a source as an http, https, local file path, ftp, objectstore, or mlflow-artifacts uri, an \
             absolute path must be provided without relative path references present. Please provide an absolute path.",
        );
    }
    if let Some(path) = source.strip_prefix("runs:/") {
        let of_source = path.split('/').next().unwrap_or_default();
        if path.starts_with('/') || run_id.is_none_or(|run_id| run_id.as_str() != of_source) {
            return refuse(
                "The run of a source `runs:/RUN_ID/PATH` has to be the one of the run_id request parameter.",
            );
        }
    }
    Ok(())
}

/// Returns whether a source is a path of a file system.
fn is_local(source: &str) -> bool {
    let Some((scheme, _)) = source.split_once(':') else { return true };
    // A letter alone is a drive.
    scheme.len() < 2
        || scheme.eq_ignore_ascii_case("file")
        || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Returns whether a source has `..`, a NUL or a control character, however it is encoded.
fn leads_elsewhere(source: &str) -> bool {
    let mut decoded = source.to_owned();
    for _ in 0..8 {
        if decoded.chars().any(char::is_control) || decoded.split(['/', '\\']).any(|part| part == ".." || part == ".") {
            return true;
        }
        let next = String::from_utf8_lossy(&percent_decoded(decoded.as_bytes())).into_owned();
        if next == decoded {
            return false;
        }
        decoded = next;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: The source of a model version is never a path on the server's machine.
    #[test]
    fn sources_that_are_local_or_lead_elsewhere_are_refused() {
        let run: RunId = "0123456789abcdef0123456789abcdef".parse().expect("a run");
        let runs = |path: &str| format!("runs:/0123456789abcdef0123456789abcdef{path}");
        for right in ["mlflow-artifacts:/1/ab/artifacts/model", "s3://bucket/a", "models:/m-0123", &runs("/model")] {
            assert!(check(right, Some(&run)).is_ok(), "{right}");
        }
        for wrong in [
            "/etc/passwd",
            "etc",
            "file:///etc/passwd",
            "FILE:/etc",
            "C:\\a",
            "mlflow-artifacts:/../a",
            "mlflow-artifacts://host/..%2f..%2f",
            "s3:/b/%252e%252e/a",
            "http://host/a%00",
            "runs:/other/model",
            "runs://host/model",
        ] {
            assert!(check(wrong, Some(&run)).is_err(), "{wrong}");
        }
        assert!(check(&runs("/model"), None).is_err());
    }
}
