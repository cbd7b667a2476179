//! `explain`: prints the page of an error code, or lists all codes.

use stagewright_text::Untrusted;

use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::usage_error::UsageError;

/// Prints the page of a code. Without one, lists all codes with their titles.
pub(crate) fn explain(code: Option<&str>) -> anyhow::Result<ExitCode> {
    let Some(text) = code else {
        for code in ErrorCode::ALL {
            println!("{code} {}", code.title());
        }
        return Ok(ExitCode::Done);
    };
    let Some(code) = ErrorCode::from_text(text) else {
        let nearest = ErrorCode::nearest(text);
        return Err(UsageError::error(
            ErrorCode::UnknownCode,
            format!("there is no error code `{}`", Untrusted::new(text)),
            format!("did you mean `{nearest}`? `stagewright explain` lists all"),
        ));
    };
    crate::output::bytes(code.page().as_bytes());
    Ok(ExitCode::Done)
}
