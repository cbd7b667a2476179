//! Keyed hashes in place of values.
//!
//! A masked value is hashed and not dropped: equal values stay equal, so that shares, distinct
//! counts and drift can still be computed, and a person's rows can be found by who has the key. The
//! hash is keyed, because values of few kinds could otherwise be found by hashing them all. An
//! operator who wants no trace of a column leaves it out of `features`.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use stagewright_store::read_regular;

/// The bytes of a key.
const LENGTH: usize = 32;

/// The bytes of a hash that are kept: enough that no two values meet by chance.
const KEPT: usize = 16;

/// The key of hashes.
pub(super) struct MaskKey([u8; LENGTH]);

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey")
    }
}

impl MaskKey {
    /// Reads the key of a file, which is made with a random key if it is not there. Servers that
    /// make it at once agree on one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match read_regular(path, LENGTH as u64) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::of(&read_regular(path, LENGTH as u64)?)
            }
            read => Self::of(&read?),
        }
    }

    fn of(bytes: &[u8]) -> io::Result<Self> {
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, format!("the key does not have {LENGTH} bytes"));
        bytes.try_into().map(Self).map_err(wrong)
    }

    /// Returns the hash of a value of a model's column, as hexadecimal digits. Equal values of
    /// other columns have other hashes.
    pub(super) fn hash(&self, model: &str, column: &str, value: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in [model, column, value] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        let hex = hasher.finalize().to_hex();
        hex.as_str()[..2 * KEPT].to_owned()
    }
}

/// Makes a file with a random key, which its owner alone can read, unless it is there.
fn create(path: &Path) -> io::Result<()> {
    let mut key = [0; LENGTH];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let temporary = path.with_extension(format!("{:016x}.part", fastrand::u64(..)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(&key).and_then(|()| file.sync_all());
    // A link, and not a rename: a key that another server has made meanwhile stays.
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_its_owner_alone_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("mask.key");
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || MaskKey::open(&path).expect("a key").0)
            })
            .collect();
        let keys: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("a key")).collect();
        assert!(keys.iter().all(|key| *key == keys[0] && *key != [0; LENGTH]));
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "temporary files are left");
        fs::write(&path, b"short").expect("a file");
        assert!(MaskKey::open(&path).is_err(), "a damaged key hashes nothing");
    }

    #[test]
    fn hashes_tell_equal_values_of_a_column_and_nothing_else() {
        let (one, other) = (MaskKey([1; LENGTH]), MaskKey([2; LENGTH]));
        let hash = one.hash("churn", "email", "a@b.c");
        assert_eq!((hash.len(), &hash), (32, &one.hash("churn", "email", "a@b.c")));
        for different in [
            one.hash("churn", "email", "a@b.d"),
            one.hash("churn", "emai", "la@b.c"),
            one.hash("other", "email", "a@b.c"),
            other.hash("churn", "email", "a@b.c"),
        ] {
            assert_ne!(different, hash);
        }
    }
}
