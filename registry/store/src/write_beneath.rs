//! Writing a file in a folder that others may change at the same time, without leaving the folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

/// Flags for opening folders. O_NOFOLLOW is added for those that must not be links.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Writes a file beneath a folder, atomically: writes a new file beside its place, flushes it and
/// renames it. Creates missing folders on the way.
///
/// The file is never written outside of the folder. Every part of `below` must be a plain name, and
/// a link on the way is an error, even one that is created during the call. A link at the file's
/// own place is replaced, not followed. An existing file's permissions are kept; a new file gets
/// those that the umask leaves.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if `below` is not a relative path of plain names; else those of
/// the system or of `content`.
pub fn write_beneath(folder: &Path, below: &Path, content: &mut impl io::Read) -> io::Result<()> {
    let (name, folder) = enter(folder, below)?;
    // Of a link this is the link itself, whose mode has no meaning.
    let old = statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let old = old.filter(|old| FileType::from_raw_mode(old.st_mode) == FileType::RegularFile);
    let (temporary, mut file) = new_file(&folder)?;
    let written = io::copy(content, &mut file).and_then(|_| {
        if let Some(old) = old {
            fchmod(&file, Mode::from_raw_mode(old.st_mode))?;
        }
        file.sync_all()?;
        Ok(renameat(&folder, &temporary, &folder, name)?)
    });
    if written.is_err() {
        // The first error is the one to return, whether this succeeds or not.
        let _ = unlinkat(&folder, &temporary, AtFlags::empty());
    }
    written
}

/// Returns the last name of a path beneath a folder, and the folder that holds it.
fn enter<'a>(folder: &Path, below: &'a Path) -> io::Result<(&'a OsStr, OwnedFd)> {
    let plain = |part: Component<'a>| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no path below a folder")),
    };
    let mut names = below.components().map(plain).collect::<io::Result<Vec<_>>>()?;
    let name = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut at = openat(CWD, here, FOLDER, Mode::empty())?;
    for name in names {
        match mkdirat(&at, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        at = openat(&at, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Ok((name, at))
}

/// Creates a file with a new name. Returns both.
fn new_file(folder: &OwnedFd) -> io::Result<(OsString, File)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = OsString::from(format!(".stagewright-{}-{number}", std::process::id()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(folder, &name, flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => return Ok((name, file.into())),
            // A killed process with the same process identifier left it.
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(folder: &Path, below: &str, text: &str) -> io::Result<()> {
        write_beneath(folder, Path::new(below), &mut text.as_bytes())
    }

    #[test]
    fn a_file_is_written_whole_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/b/c", "one").unwrap();
        let path = folder.path().join("a/b/c");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write(folder.path(), "a/b/c", "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1, "no temporary file remains");
    }

    #[test]
    fn no_path_and_no_link_leads_out_of_the_folder() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let precious = other.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        for below in ["", ".", "../x", "a/../../x", "/tmp/x"] {
            assert!(write(folder.path(), below, "new").is_err(), "{below}");
        }
        symlink(other.path(), folder.path().join("link")).unwrap();
        assert!(write(folder.path(), "link/precious", "new").is_err());
        assert!(write(folder.path(), "link/made/new", "new").is_err());
        symlink(&precious, folder.path().join("file")).unwrap();
        write(folder.path(), "file", "new").unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("file")).unwrap(), "new");
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 1, "nothing is made there");
        fs::create_dir(folder.path().join("full")).unwrap();
        assert!(write(folder.path(), "full", "new").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "no temporary file remains");
    }

    #[test]
    fn a_link_that_comes_and_goes_leads_nowhere_either() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let there = folder.path().join("sub");
        let done = std::sync::atomic::AtomicBool::new(false);
        let written = std::thread::scope(|scope| {
            scope.spawn(|| {
                // The folder is renamed, and a link takes its place for a moment. The writer
                // creates the folder again.
                for number in 0_u64.. {
                    let _ = fs::rename(&there, folder.path().join(number.to_string()));
                    let _ = symlink(other.path(), &there);
                    let _ = fs::remove_file(&there);
                    if done.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            let written = (0..2_000).filter(|_| write(folder.path(), "sub/x", "new").is_ok()).count();
            done.store(true, Ordering::Relaxed);
            written
        });
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "{written} were written");
    }
}
