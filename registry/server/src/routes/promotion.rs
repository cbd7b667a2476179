//! Promotions that clients ask for: of versions that a pipeline made.

use stagewright_pages::{Because, PipelineFault};
use stagewright_store::{CHAMPION, Permission};

use crate::context::Context;
use crate::mlflow_error::{ErrorCode, MlflowError};

/// The reason that the audit names.
const REASON: &str = "by an MLflow client";

/// Promotes a version, with its verdict and to its production location, as `models promote` does.
/// The champion is promoted already: a client repeats a request whose answer it has not seen.
///
/// # Errors
/// The caller does not manage the model, the version is not approved, or the promotion failed. Then
/// the champion is the same as before.
pub(super) fn promote(context: &Context, model: &str, version: u32) -> Result<(), MlflowError> {
    context.check_model(Permission::Manage, model)?;
    if context.registry.alias(model, CHAMPION)? == Some(version) {
        return Ok(());
    }
    let Some(pipelines) = &context.pipelines else {
        let message = "This server promotes nothing. The version comes to production by `stagewright models promote`.";
        return Err(MlflowError::new(ErrorCode::PermissionDenied, message));
    };
    let why = Because { actor: context.name(), reason: REASON };
    // Says that there is no such version, in MLflow's words.
    context.registry.version(model, version)?;
    let promoted = || pipelines.promote(model, version, None, why).map_err(|fault| told(model, version, fault));
    context.pool.at_length(promoted)
}

/// Returns what a client is told of a promotion that failed.
fn told(model: &str, version: u32, fault: PipelineFault) -> MlflowError {
    match fault {
        // The hint names commands of this program, which the client may not have. The page tells
        // the same, with the way out.
        PipelineFault::Refused(reason) => {
            let reason = reason.split("\nhint:").next().unwrap_or_default();
            let page = stagewright_pages::version_path(model, version);
            MlflowError::invalid(format!(
                "{reason}. The server's page {page} says what can be done: whoever manages the model may approve it there."
            ))
        }
        PipelineFault::Busy(reason) => {
            tracing::warn!("version {version} of model `{model}` is not promoted now: {reason}");
            let message = "the version cannot be promoted now; the server's log tells why";
            MlflowError::new(ErrorCode::TemporarilyUnavailable, message)
        }
        PipelineFault::Failed(reason) => {
            tracing::error!("version {version} of model `{model}` cannot be promoted: {reason}");
            MlflowError::new(ErrorCode::InvalidState, "the promotion failed; the server's log tells why")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_told_a_refusal_and_no_word_of_a_failure() {
        let told = |fault| told("churn", 1, fault);
        let refused = told(PipelineFault::Refused("it is rejected\nhint: train again".into()));
        assert_eq!(refused.code, ErrorCode::InvalidParameterValue);
        assert!(refused.message.starts_with("it is rejected. The server's page /models/churn/1 says"), "{refused}");
        assert!(!refused.message.contains("hint"), "{refused}");
        let secret = || "no bucket `secret` at https://inside".to_owned();
        let busy = told(PipelineFault::Busy(secret()));
        assert_eq!(busy.code, ErrorCode::TemporarilyUnavailable);
        let failed = told(PipelineFault::Failed(secret()));
        assert_eq!(failed.code, ErrorCode::InvalidState);
        for error in [busy, failed] {
            assert!(!error.message.contains("secret") && error.message.contains("log"), "{error}");
        }
    }
}
