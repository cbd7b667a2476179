//! The digests of source files, remembered in the home, so that a file that did not change is not
//! read again.
//!
//! Each file has one note, which is replaced as a whole. Losing a note costs only the time to read
//! the file again, so notes are not flushed to disk, and a note that cannot be read counts as
//! missing.

use std::io::Write as _;
use std::path::PathBuf;

use stagewright_data::{ContentMemory, FileStamp};
use stagewright_store::{Digest, Home, read_regular_text};

/// The longest note that is read, in bytes: seven numbers and a digest.
const LONGEST: u64 = 512;

/// The notes of a home.
pub(crate) struct ContentMemoryFile(PathBuf);

impl ContentMemoryFile {
    pub(crate) fn of(home: &Home) -> Self {
        Self(home.cache_dir().join("contents"))
    }

    /// A file with the same device and inode as an earlier one replaces its note.
    fn note(&self, stamp: &FileStamp) -> PathBuf {
        let FileStamp([device, inode, ..]) = stamp;
        self.0.join(format!("{device:x}-{inode:x}"))
    }
}

fn line(stamp: &FileStamp, digest: &Digest) -> String {
    let numbers: Vec<String> = stamp.0.iter().map(ToString::to_string).collect();
    format!("{} {digest}\n", numbers.join(" "))
}

impl ContentMemory for ContentMemoryFile {
    fn recall(&self, stamp: &FileStamp) -> Option<Digest> {
        let text = read_regular_text(&self.note(stamp), LONGEST).ok()?;
        let digest = text.trim_end().rsplit(' ').next()?.parse().ok()?;
        // A note that was cut or edited is not in this form.
        (line(stamp, &digest) == text).then_some(digest)
    }

    fn keep(&self, stamp: &FileStamp, digest: &Digest) {
        let kept = std::fs::create_dir_all(&self.0).and_then(|()| tempfile::NamedTempFile::new_in(&self.0)).and_then(
            |mut note| {
                note.write_all(line(stamp, digest).as_bytes())?;
                note.persist(self.note(stamp)).map_err(|error| error.error)
            },
        );
        // On error, the next run reads the file again.
        drop(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_by_all_of_a_stamp_and_a_damaged_one_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let contents = ContentMemoryFile::of(&home);
        let (stamp, digest) = (FileStamp([1, 2, 3, 4, 5, 6, 7]), Digest::of(b"rows"));
        assert_eq!(contents.recall(&stamp), None);
        contents.keep(&stamp, &digest);
        assert_eq!(contents.recall(&stamp), Some(digest));
        for place in 0..7 {
            let mut other = stamp;
            other.0[place] += 1;
            assert_eq!(contents.recall(&other), None, "{place}");
        }
        let note = contents.note(&stamp);
        let text = std::fs::read_to_string(&note).expect("a note");
        for damaged in [&text[..text.len() - 2], "", &text.replace("sha256", "sha255"), &format!("0{text}")] {
            std::fs::write(&note, damaged).expect("a file");
            assert_eq!(contents.recall(&stamp), None, "{damaged}");
        }
        let later = FileStamp([1, 2, 3, 4, 5, 6, 8]);
        contents.keep(&later, &digest);
        assert_eq!((contents.recall(&stamp), contents.recall(&later)), (None, Some(digest)));
    }
}
