//! Promotions that clients ask for: of versions that a pipeline made.

use stagewright_store::CHAMPION;

use crate::app::{App, PromotionFault};
use crate::mlflow_error::{ErrorCode, MlflowError};

/// Promotes a version, with its verdict and to its production location, as `models promote` does.
/// The champion is promoted already: a client repeats a request whose answer it has not seen.
///
/// # Errors
/// The version is not approved, or the promotion failed. Then the champion is the same as before.
pub(super) fn promote(app: &App, model: &str, version: u32) -> Result<(), MlflowError> {
    if app.registry.alias(model, CHAMPION)? == Some(version) {
        return Ok(());
    }
    let Some(promote) = &app.promote else {
        let message = "This server promotes nothing. The version comes to production by `stagewright models promote`.";
        return Err(MlflowError::new(ErrorCode::PermissionDenied, message));
    };
    promote(model, version).map_err(|fault| match fault {
        PromotionFault::Refused(reason) => MlflowError::invalid(reason.split("\nhint:").next().unwrap_or_default()),
        PromotionFault::Busy(reason) => {
            tracing::warn!("version {version} of model `{model}` is not promoted now: {reason}");
            let message = "the version cannot be promoted now; the server's log tells why";
            MlflowError::new(ErrorCode::TemporarilyUnavailable, message)
        }
        PromotionFault::Failed(reason) => {
            tracing::error!("version {version} of model `{model}` cannot be promoted: {reason}");
            MlflowError::new(ErrorCode::InvalidState, "the promotion failed; the server's log tells why")
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::HttpLimits;

    #[test]
    fn a_client_is_told_a_refusal_and_no_word_of_a_failure() {
        let told = |fault: PromotionFault| {
            let (_folder, app) =
                App::in_new_home(HttpLimits::default(), Some(Box::new(move |_, _| Err(fault.clone()))));
            promote(&app, "churn", 1).expect_err("it is not promoted")
        };
        let refused = told(PromotionFault::Refused("it is rejected\nhint: train again".into()));
        assert_eq!((refused.code, refused.message.as_str()), (ErrorCode::InvalidParameterValue, "it is rejected"));
        let secret = || "no bucket `secret` at https://inside".to_owned();
        let busy = told(PromotionFault::Busy(secret()));
        assert_eq!(busy.code, ErrorCode::TemporarilyUnavailable);
        let failed = told(PromotionFault::Failed(secret()));
        assert_eq!(failed.code, ErrorCode::InvalidState);
        for error in [busy, failed] {
            assert!(!error.message.contains("secret") && error.message.contains("log"), "{error}");
        }
    }
}
