//! Whether a file exists, where a wrong answer would loosen a restriction.

use std::io;
use std::path::Path;

/// Returns whether something exists under this path, dangling links included. Returns `false` only
/// if the path is certainly free.
///
/// # Errors
/// It is unknown: a folder on the way cannot be searched, or a link on the way is dangling. Such a
/// path may hide a file that somebody meant to be there.
pub(crate) fn is_there(path: &Path) -> io::Result<bool> {
    let found = |path: &Path| match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    if found(path)? {
        return Ok(true);
    }
    // The nearest existing ancestor must be a folder, and not a dangling link.
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
    fn a_hidden_file_does_not_count_as_absent() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "").expect("a file");
        symlink(path("nowhere"), path("dangling")).expect("a link");
        // A symbolic link to itself, which not even root can follow.
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
