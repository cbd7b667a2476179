//! Where a model version's files are.

use stagewright_store::RunId;
use stagewright_text::Untrusted;

use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::request::{Fields, percent_decoded};
use crate::wire_models;

const MOST_SOURCE: usize = 2_048;

/// Returns the number of the version that a request names.
pub(super) fn number(fields: &Fields) -> Result<u32, MlflowError> {
    let text = fields.required("version")?;
    text.parse().map_err(|_| {
        let shown = Untrusted::new(text).cut(100);
        MlflowError::invalid(format!("Parameter 'version' must be an integer, got '{shown}'."))
    })
}

/// Returns the URI of a version's files: its source, with the references in it followed when it was
/// registered.
///
/// # Errors
/// There is no such version.
pub(super) fn of_version(app: &Context, fields: &Fields) -> Result<String, MlflowError> {
    let (name, number) = (fields.required("name")?, number(fields)?);
    let version = app.registry.version(name, number)?;
    if version.foreign.is_none() {
        return Ok(wire_models::source(&version));
    }
    let pinned = app.registry.pin_foreign_version(name, number)?;
    Ok(pinned.foreign.map(|foreign| foreign.location).unwrap_or_default())
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
