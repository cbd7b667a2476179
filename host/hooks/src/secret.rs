//! Secrets of hooks, from a file or a variable. They are in no message and in no log.

use std::ffi::OsString;
use std::fmt;

use stagewright_manifest::SecretSource;

/// The largest file of a secret, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// The fewest bytes of a secret: a key that is shorter can be guessed.
const FEWEST: usize = 16;

/// Returns a variable of the environment.
pub(crate) type Variables = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// A secret.
pub(crate) struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads a secret. White space around it does not belong to it: editors end files with a line
    /// break.
    ///
    /// # Errors
    /// The reason, in words that do not contain the secret.
    pub(crate) fn read(source: &SecretSource, variables: &Variables) -> Result<Self, String> {
        let (text, place) = match source {
            SecretSource::File(file) => {
                let place = file.display().to_string();
                let text = stagewright_store::read_regular_text(file, MAX_FILE);
                (text.map_err(|error| format!("its secret cannot be read from {place}: {error}"))?, place)
            }
            SecretSource::Variable(name) => {
                let text = variables(name).and_then(|value| value.into_string().ok());
                let place = format!("the variable {name}");
                (text.ok_or_else(|| format!("{place} is not set, which holds its secret"))?, place)
            }
        };
        let text = text.trim();
        if text.len() < FEWEST {
            return Err(format!("the secret in {place} has fewer than {FEWEST} characters"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("the secret in {place} is not one word of visible ASCII characters"));
        }
        Ok(Self(text.as_bytes().to_owned()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret as text, for a header.
    pub(crate) fn text(&self) -> &str {
        // Checked when it was read.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_from_a_file_or_a_variable_and_no_error_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        let of_file = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            Secret::read(&SecretSource::File(file.clone()), &|_| None)
        };
        assert_eq!(of_file("0123456789abcdef\n").expect("a secret").bytes(), b"0123456789abcdef");
        for wrong in ["secret-is-short", "two words of a secret", "0123456789abcd\u{e9}f\u{e9}"] {
            let error = of_file(wrong).expect_err(wrong);
            assert!(error.contains(&file.display().to_string()) && !error.contains(wrong), "{error}");
        }
        let of_variable = |value: Option<&'static str>| {
            let source = SecretSource::Variable("CI_SECRET".into());
            Secret::read(&source, &move |name| value.filter(|_| name == "CI_SECRET").map(OsString::from))
        };
        assert_eq!(of_variable(Some(" 0123456789abcdef")).expect("a secret").text(), "0123456789abcdef");
        assert!(of_variable(None).expect_err("no variable").contains("CI_SECRET is not set"));
        assert_eq!(format!("{:?}", of_variable(Some("0123456789abcdef"))), "Ok(Secret)");
    }
}
