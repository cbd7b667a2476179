//! Files that hold secrets: tokens and keys.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The most bytes of such a file.
const MOST_BYTES: u64 = 1 << 20;

/// Why a file of secrets is not used.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read {}: {reason}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Everybody can change it, and so choose who is admitted.
    #[error("everybody can write {} (mode {mode:o})", file.display())]
    Writable {
        /// The file.
        file: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}

/// Reads a file that everybody may read, but not write.
pub(crate) fn read_public(file: &Path) -> Result<String, SecretFileError> {
    let unreadable = |reason| SecretFileError::Unreadable { file: file.to_owned(), reason };
    let mode = fs::metadata(file).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o002 != 0 {
        return Err(SecretFileError::Writable { file: file.to_owned(), mode });
    }
    stagewright_store::read_regular_text(file, MOST_BYTES).map_err(unreadable)
}

/// Reads a file of secrets. One that everybody can read is used with a warning: in containers, such
/// files are often mounted so, behind a folder that is closed.
///
/// # Errors
/// [`SecretFileError`].
pub fn read(file: &Path) -> Result<String, SecretFileError> {
    let text = read_public(file)?;
    let mode = fs::metadata(file).map_or(0, |found| found.permissions().mode() & 0o777);
    if mode & 0o004 != 0 {
        let shown = file.display();
        tracing::warn!("every user of this machine can read {shown} (mode {mode:o}): chmod 640 {shown}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_everybody_can_write_holds_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tokens");
        fs::write(&file, "0123456789abcdef predict\n").expect("a file");
        for (mode, is_used) in [(0o600, true), (0o640, true), (0o644, true), (0o666, false), (0o602, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("permissions");
            assert_eq!(read(&file).is_ok(), is_used, "{mode:o}");
        }
        let missing = read(&folder.path().join("missing")).expect_err("no file").to_string();
        assert!(missing.contains("missing: No such file"), "{missing}");
    }
}
