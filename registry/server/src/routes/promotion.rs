//! Promotions that clients ask for: of versions that a pipeline made.

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};

/// Promotes a version, with its verdict and to its production location, as `models promote` does.
///
/// # Errors
/// The version is not approved, or the promotion failed. Then the champion is the same as before.
pub(super) fn promote(app: &App, model: &str, version: u32) -> Result<(), MlflowError> {
    let Some(promote) = &app.promote else {
        let message = "This server promotes nothing. The version comes to production by `stagewright models promote`.";
        return Err(MlflowError::new(ErrorCode::PermissionDenied, message));
    };
    promote(model, version).map_err(|reason| {
        let words = reason.split("\nhint:").next().unwrap_or_default();
        MlflowError::invalid(words)
    })
}
