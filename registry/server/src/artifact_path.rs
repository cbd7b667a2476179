//! Paths of artifacts as clients write them.

use stagewright_store::check_file_path;

use crate::mlflow_error::MlflowError;
use crate::request::percent_decoded;

/// How often a path is decoded to see whether it hides another.
const DECODINGS: usize = 8;

/// Checks a path that the client wrote, which is below some folder. A slash or `/.` at its end is
/// cut: clients download the whole folder as `.`. The empty path is the folder itself.
///
/// # Errors
/// The path leads elsewhere, or would if it were decoded once more.
pub(crate) fn checked(path: &str) -> Result<&str, MlflowError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = if path == "." { "" } else { path.strip_suffix("/.").unwrap_or(path) };
    let refuse = || MlflowError::invalid("Invalid path");
    let mut decoded = path.to_owned();
    for _ in 0..DECODINGS {
        if !is_safe(&decoded) {
            return Err(refuse());
        }
        let next = String::from_utf8_lossy(&percent_decoded(decoded.as_bytes())).into_owned();
        if next == decoded {
            return match path {
                "" => Ok(path),
                path => check_file_path(path).map(|()| path).map_err(MlflowError::from),
            };
        }
        decoded = next;
    }
    Err(refuse())
}

fn is_safe(path: &str) -> bool {
    let is_drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    !path.starts_with('/')
        && !is_drive
        && !path.contains(['\\', '#'])
        && !path.split('/').any(|part| part == ".." || part == ".")
}

#[cfg(test)]
mod tests {
    use super::checked;

    // invariant: A path of an artifact leads nowhere else, however it is encoded.
    #[test]
    fn paths_that_lead_elsewhere_are_refused_however_they_are_encoded() {
        for wrong in [
            "/etc/passwd",
            "..",
            "../a",
            "a/../../b",
            "a/..",
            "./a",
            "a/./b",
            "a//b",
            "a\\b",
            "C:/a",
            "c:\\a",
            "a#b",
            "%2e%2e/a",
            "%252e%252e%252fa",
            "a/%2E%2E/b",
            "%2fetc/passwd",
            "%5c%5chost",
            "a\0b",
            "a\nb",
            "a%00b/..",
        ] {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
        let deep = (0..40).fold(String::from("..%2fa"), |text, _| text.replace('%', "%25"));
        assert!(checked(&deep).is_err());
        for right in ["", "a", "a/b.txt", "1/0a/artifacts/model/MLmodel", "...", "a..b", "ü/日本.txt", "100% a"] {
            assert_eq!(checked(right).ok(), Some(right), "{right:?}");
        }
        assert_eq!(checked("a/b/").ok(), Some("a/b"));
        assert_eq!((checked("a/b/.").ok(), checked(".").ok()), (Some("a/b"), Some("")));
    }
}
