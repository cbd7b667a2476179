//! The list of a version's files, and the places of their bytes.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use stagewright_store::Digest;
use stagewright_text::Untrusted;

use crate::error::DataVersionsError;

/// The most files of a version. Their list is in memory: about 200 MB.
pub const MOST_FILES: usize = 1_000_000;
/// The most bytes of a path: what file systems take.
const MAX_PATH: usize = 4096;
/// The format of lists and places.
const FORMAT: u32 = 1;

/// A file of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path below the folder, with `/` between names.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
}

/// The files of a version, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileList {
    /// The files.
    pub files: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
struct Listed {
    format: u32,
    files: Vec<FileEntry>,
}

impl FileList {
    /// Returns the bytes of the list: the same for the same files. A file has a line of its own.
    ///
    /// # Errors
    /// None for text that JSON can hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = format!("{{\"format\":{FORMAT},\"files\":[").into_bytes();
        for (at, file) in self.files.iter().enumerate() {
            bytes.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
            serde_json::to_writer(&mut bytes, file)?;
        }
        bytes.extend_from_slice(b"\n]}\n");
        Ok(bytes)
    }

    /// Parses a list that may come from anywhere.
    ///
    /// # Errors
    /// A text that says why it is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let listed: Listed = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if listed.format != FORMAT {
            return Err(format!("it has format {}, and this program knows {FORMAT}", listed.format));
        }
        if listed.files.len() > MOST_FILES {
            return Err(format!("it has more than {MOST_FILES} files"));
        }
        for file in &listed.files {
            check_path(&file.path).map_err(|error| error.to_string())?;
        }
        if listed.files.windows(2).any(|pair| pair[0].path >= pair[1].path) {
            return Err("its paths are not in order".to_owned());
        }
        Ok(Self { files: listed.files })
    }

    /// Returns the length of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }
}

/// Checks a path below a folder: plain names, each of which any file system holds.
///
/// # Errors
/// [`DataVersionsError::BadPath`].
pub fn check_path(path: &str) -> Result<(), DataVersionsError> {
    let refuse = |problem: &str| DataVersionsError::BadPath {
        path: Untrusted::new(path).cut(200).to_string(),
        problem: problem.to_owned(),
    };
    if path.len() > MAX_PATH {
        return Err(refuse("its path is too long: move it further up"));
    }
    for name in path.split('/') {
        match name {
            "" | "." | ".." => return Err(refuse("it is no path below a folder")),
            _ if name.len() > 255 => return Err(refuse("a name in it is too long: rename it")),
            _ if name.chars().any(char::is_control) || name.contains('\\') => {
                return Err(refuse("a name in it has a control character or a backslash: rename it"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The place of some bytes in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The pack.
    pub(super) pack: Digest,
    /// The first byte.
    pub(super) start: u64,
}

/// The places of the bytes of a version's files, by the digest of each file.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) of: HashMap<Digest, Place>,
}

#[derive(Serialize, Deserialize)]
struct Placed {
    format: u32,
    packs: Vec<Digest>,
    /// The digest of a file, the index of its pack, the first byte.
    places: Vec<(Digest, usize, u64)>,
}

impl Places {
    /// Returns the packs, in order.
    pub(super) fn packs(&self) -> Vec<Digest> {
        let mut packs: Vec<Digest> = self.of.values().map(|place| place.pack).collect();
        packs.sort_unstable();
        packs.dedup();
        packs
    }

    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let packs = self.packs();
        let index = |pack: &Digest| packs.binary_search(pack).unwrap_or_default();
        let mut places: Vec<_> = self.of.iter().map(|(of, place)| (*of, index(&place.pack), place.start)).collect();
        places.sort_unstable();
        let mut bytes = serde_json::to_vec(&Placed { format: FORMAT, packs, places })?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let placed: Placed = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if placed.format != FORMAT {
            return Err(format!("it has format {}, and this program knows {FORMAT}", placed.format));
        }
        let place = |(of, pack, start): (Digest, usize, u64)| {
            let pack = placed.packs.get(pack).copied().ok_or("it names a pack that it does not list")?;
            Ok((of, Place { pack, start }))
        };
        Ok(Self { of: placed.places.into_iter().map(place).collect::<Result<_, String>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> FileEntry {
        FileEntry { path: path.to_owned(), bytes: 1, digest: Digest::of(path.as_bytes()) }
    }

    #[test]
    fn a_list_reads_back_as_it_was_written() {
        let list = FileList { files: vec![entry("a"), entry("a/b \"c\""), entry("ü")] };
        let bytes = list.to_bytes().expect("bytes");
        assert_eq!(FileList::parse(&bytes).expect("a list"), list);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 5, "a file has a line");
    }

    // invariant: No path of a list leads out of the folder that it is written to.
    #[test]
    fn a_list_whose_paths_lead_elsewhere_is_refused() {
        for path in ["../a", "/a", "a//b", "a/../b", "", "a/", "a\\b", "a\nb", "./a", "a/."] {
            let bytes = FileList { files: vec![entry(path)] }.to_bytes().expect("bytes");
            assert!(FileList::parse(&bytes).is_err(), "{path:?}");
        }
        for files in [vec![entry("b"), entry("a")], vec![entry("a"), entry("a")]] {
            assert!(FileList::parse(&FileList { files }.to_bytes().expect("bytes")).is_err());
        }
    }

    #[test]
    fn places_read_back_and_name_packs_that_there_are() {
        let mut places = Places::default();
        for (name, start) in [("a", 0), ("b", 7)] {
            let place = Place { pack: Digest::of(b"pack"), start };
            places.of.insert(Digest::of(name.as_bytes()), place);
        }
        let bytes = places.to_bytes().expect("bytes");
        assert_eq!(Places::parse(&bytes).expect("places").of, places.of);
        let digest = Digest::of(b"x");
        let wrong = format!("{{\"format\":1,\"packs\":[],\"places\":[[\"{digest}\",3,0]]}}");
        assert!(Places::parse(wrong.as_bytes()).is_err());
    }
}
