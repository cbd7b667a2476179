//! Whether a file is there, where a wrong answer would loosen what binds a run.

use std::io;
use std::path::Path;

/// Returns whether something is under this name. Only a name that is certainly free counts as
/// absent. A folder that cannot be searched, or a link that leads nowhere, on the way or at its
/// end, hides a file that somebody meant to be there.
///
/// # Errors
/// It cannot be told.
pub(crate) fn is_there(path: &Path) -> io::Result<bool> {
    let found = |path: &Path| match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if found(path)? {
        return Ok(true);
    }
    // The nearest folder above that is there under its name must be one, and not a link that leads
    // nowhere.
    for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
        if found(folder)? {
            return folder.metadata().map(|_| false);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_not_taken_for_absent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").expect("a file");
        symlink(path("nowhere"), path("dangling")).expect("a link");
        // A folder that nobody can search, the superuser neither.
        symlink(path("loop"), path("loop")).expect("a link");
        assert!(is_there(&path("file")).expect("it can be told"));
        assert!(is_there(&path("dangling")).expect("it can be told"), "reading it fails, and says why");
        assert!(!is_there(&path("absent")).expect("it can be told"));
        assert!(!is_there(&path("no/folder/file")).expect("it can be told"));
        assert!(!is_there(Path::new("relative-and-absent")).expect("it can be told"));
        for hidden in ["loop/file", "dangling/file", "dangling/folder/file", "file/file"] {
            assert!(is_there(&path(hidden)).is_err(), "{hidden}");
        }
    }
}
