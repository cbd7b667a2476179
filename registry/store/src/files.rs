//! Files in folders that others may have written to: opening without blocking, reading within
//! bounds, writing without following links.
//!
//! A path in such a folder may lead anywhere: to a FIFO without a writer, to `/dev/zero`, through a
//! symbolic link to a file outside. So readers check the type of the opened file, and writers
//! create a new file in the same folder and rename it to the path.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading. A device, a FIFO, a socket or a folder is an error, which does
/// not block.
///
/// # Errors
/// As [`File::open`]; [`io::ErrorKind::InvalidInput`] if it is not a regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    // O_NONBLOCK has no effect on reading a regular file.
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// Reads all of a file of at most `most` bytes.
///
/// # Errors
/// Those of reading; [`io::ErrorKind::FileTooLarge`] for a longer file, of which at most `most` + 1
/// bytes are read.
pub fn read_bounded(file: File, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {most} bytes")));
    }
    Ok(bytes)
}

/// Reads all of a regular file of at most `most` bytes.
///
/// # Errors
/// As [`open_regular`] and [`read_bounded`].
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_bounded(open_regular(path)?, most)
}

/// Reads all of a regular file of UTF-8 text of at most `most` bytes.
///
/// # Errors
/// As [`read_regular`]; [`io::ErrorKind::InvalidData`] for bytes that are not UTF-8.
pub fn read_regular_text(path: &Path, most: u64) -> io::Result<String> {
    String::from_utf8(read_regular(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8"))
}

/// Creates a folder that only its owner can enter, unless it exists. Its parents get the default
/// permissions.
///
/// # Errors
/// As [`std::fs::create_dir_all`].
pub(crate) fn create_private(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(folder) {
        // Another process created it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// Replaces a file atomically: writes a new file in the same folder, flushes it and renames it.
///
/// A link at the path is replaced, not followed. An existing file's permissions are kept; a new
/// file gets those that the umask leaves.
///
/// # Errors
/// Those of writing to the folder.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Of a link this is the link itself, whose mode has no meaning.
    let old = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".stagewright-").permissions(std::fs::Permissions::from_mode(0o666));
    let mut temporary = builder.tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    if let Some(old) = old {
        temporary.as_file().set_permissions(old.permissions())?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (outside, path) = (folder.path().join("outside"), folder.path().join("lock"));
        fs::write(&outside, "precious").unwrap();
        symlink(&outside, &path).unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(!path.is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file remains");
    }

    #[test]
    fn a_file_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        write_whole(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        for path in [fifo.as_path(), Path::new("/dev/zero"), folder.path()] {
            let error = read_regular(path, 10).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{}: {error}", path.display());
        }
    }

    #[test]
    fn no_more_is_read_than_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [b'x'; 11]).unwrap();
        assert_eq!(read_regular(&path, 11).unwrap().len(), 11);
        assert_eq!(read_regular(&path, 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
