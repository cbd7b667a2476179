//! Compiled code and descriptions on disk, authenticated: a file is used only after it is verified
//! that this host wrote it under this name.
//!
//! Compiled code is native code, so anyone who can change a file of the cache could run anything as
//! the host. Three measures prevent that:
//!
//! - Folder and key must be accessible to their owner only, and the key is kept outside of the
//!   folder: permissions do not protect against an archive that the owner unpacked.
//! - Every file ends with a MAC under the host's key over its name (component digest, engine
//!   settings, kind) and its bytes. A file that was edited, cut, renamed or copied from another
//!   host is not used.
//! - The bytes that are verified are a sealed copy in memory, not the file, which could change
//!   later.
//!
//! The MAC is keyed BLAKE3 (docs/formats/compiled.md). HMAC-SHA-256 is many times slower on
//! processors without SHA instructions, which every start would pay for.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::RuntimeError;
use crate::sealed::{Sealed, memory_file};

/// Separates this use of the key from any other use.
const DOMAIN: &[u8] = b"stagewright compiled component cache, version 1\0";

/// The length of a MAC and of a key, in bytes.
const MAC: usize = blake3::OUT_LEN;

/// The largest file that is read, in bytes. A component of 100 MB compiles to some 400 MB.
const MAX_FILE: u64 = 2 << 30;

/// Bytes that are verified at once: these stay in the processor's cache between hashing and
/// copying.
const PIECE: usize = 128 << 10;

/// The prefix of the names of unfinished files.
const UNFINISHED: &str = ".new-";

/// A folder of authenticated files.
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; MAC],
}

/// Why a file was not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It does not exist.
    #[error("there is none")]
    Missing,
    /// Its MAC does not match this host's key, its name and its bytes.
    #[error("it was changed, cut, renamed or written under another host key")]
    Forged,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl Cache {
    /// Opens a cache. Creates the folder and the key if they are missing.
    ///
    /// # Errors
    /// Other users can read or write the folder or the key, or this user cannot.
    pub(crate) fn open(folder: PathBuf, key: &Path) -> Result<Self, RuntimeError> {
        own_folder(&folder)?;
        let cache = Self { key: host_key(key)?, folder };
        cache.clear_unfinished();
        Ok(cache)
    }

    /// Returns the path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a file into sealed memory.
    pub(crate) fn sealed(&self, name: &str) -> Result<Sealed, Unusable> {
        let mut copy = memory_file(name)?;
        self.verify(name, &mut copy)?;
        Ok(Sealed::new(copy)?)
    }

    /// Reads a small file.
    pub(crate) fn bytes(&self, name: &str) -> Result<Vec<u8>, Unusable> {
        let mut bytes = Vec::new();
        self.verify(name, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies a file and verifies the bytes of the copy.
    ///
    /// # Errors
    /// On error, the copy must be discarded.
    fn verify(&self, name: &str, copy: &mut impl Write) -> Result<(), Unusable> {
        let mut file = File::open(self.path(name)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Unusable::Missing,
            _ => Unusable::Unreadable(error),
        })?;
        let length = file.metadata()?.len();
        if !(MAC as u64..=MAX_FILE).contains(&length) {
            return Err(Unusable::Forged);
        }
        let mut mac = [0; MAC];
        let mut hasher = self.hasher(name);
        hash_and_copy(&mut (&file).take(length - MAC as u64), &mut hasher, copy)?;
        file.read_exact(&mut mac)?;
        // `blake3::Hash` compares in constant time.
        if hasher.finalize() == blake3::Hash::from_bytes(mac) { Ok(()) } else { Err(Unusable::Forged) }
    }

    /// Writes a file atomically.
    pub(crate) fn keep(&self, name: &str, bytes: &mut impl Read) -> io::Result<()> {
        write(&self.folder, name, bytes, self.hasher(name))
    }

    fn hasher(&self, name: &str) -> blake3::Hasher {
        hasher(&self.key, name)
    }

    /// Removes the unfinished files of killed processes, whose locks are free. Failures are
    /// ignored: such a file only takes space.
    fn clear_unfinished(&self) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED)) {
            // Removed while it is locked: whoever has just created it sees that it is gone.
            if let Ok(file) = File::open(entry.path())
                && file.try_lock().is_ok()
            {
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

/// Writes a file for the cache of another host into a folder, under that host's key.
///
/// # Errors
/// As for [`Cache::open`], or the file cannot be written.
pub(crate) fn export(folder: &Path, key: &Path, name: &str, bytes: &mut impl Read) -> Result<(), RuntimeError> {
    own_folder(folder)?;
    let hasher = hasher(&host_key(key)?, name);
    write(folder, name, bytes, hasher).map_err(|reason| RuntimeError::Cache { path: folder.join(name), reason })
}

fn hasher(key: &[u8; MAC], name: &str) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(DOMAIN).update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
    hasher
}

fn write(folder: &Path, name: &str, bytes: &mut impl Read, mut hasher: blake3::Hasher) -> io::Result<()> {
    let mut file = unfinished(folder)?;
    hash_and_copy(bytes, &mut hasher, &mut file)?;
    file.write_all(hasher.finalize().as_bytes())?;
    file.persist(folder.join(name)).map_err(|error| error.error)?;
    Ok(())
}

/// Creates an unfinished file whose lock tells others that it is being written.
fn unfinished(folder: &Path) -> io::Result<NamedTempFile> {
    loop {
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        file.as_file().lock()?;
        // Before it was locked, it looked like that of a killed process, and may be gone.
        if fs::metadata(file.path()).is_ok_and(|found| is_same(&found, file.as_file())) {
            return Ok(file);
        }
    }
}

fn is_same(found: &fs::Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()))
}

fn hash_and_copy(from: &mut impl Read, hasher: &mut blake3::Hasher, to: &mut impl Write) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        hasher.update(&piece[..read]);
        to.write_all(&piece[..read])?;
    }
}

fn exposed(path: &Path, problem: String, fix: String) -> RuntimeError {
    RuntimeError::Exposed { path: path.into(), problem, fix }
}

/// Creates a folder that only its owner can access, or checks that an existing folder is one.
fn own_folder(folder: &Path) -> Result<(), RuntimeError> {
    let failed = |reason| RuntimeError::Cache { path: folder.into(), reason };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let found = fs::metadata(folder).map_err(failed)?;
    own(folder, &found, "STAGEWRIGHT_CACHE")?;
    let mode = found.mode() & 0o777;
    if mode & 0o022 != 0 {
        let fix = format!("look who did that, then: chmod 700 {0} && rm {0}/*", folder.display());
        return Err(exposed(folder, format!("others can write it (mode {mode:03o})"), fix));
    }
    if mode & 0o055 != 0 {
        // Others could only read it, and nothing in it is secret.
        fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

/// Refuses a file that belongs to another user, who could change it at any time. `variable` is the
/// environment variable that names another place.
fn own(path: &Path, found: &fs::Metadata, variable: &str) -> Result<(), RuntimeError> {
    let user = rustix::process::geteuid().as_raw();
    if found.uid() == user {
        return Ok(());
    }
    let problem = format!("it belongs to user {}, and this process runs as user {user}", found.uid());
    Err(exposed(path, problem, format!("name a place of your own with {variable}")))
}

/// Reads the host's key, which is created if it is missing. If several processes create it at once,
/// one wins and all read its key.
fn host_key(path: &Path) -> Result<[u8; MAC], RuntimeError> {
    let failed = |reason| RuntimeError::Cache { path: path.into(), reason };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(path).map_err(failed)?;
            File::open(path).map_err(failed)?
        }
        result => result.map_err(failed)?,
    };
    let found = file.metadata().map_err(failed)?;
    own(path, &found, "STAGEWRIGHT_HOST_KEY")?;
    let mode = found.mode() & 0o777;
    if mode & 0o077 != 0 {
        let fix = format!("remove it: a new one is made, and components are compiled again: rm {}", path.display());
        return Err(exposed(path, format!("others can read or write it (mode {mode:03o})"), fix));
    }
    let mut text = String::new();
    let read = (&file).take(1 << 10).read_to_string(&mut text);
    let key = read.ok().and_then(|_| blake3::Hash::from_hex(text.trim_end()).ok());
    let not_a_key = || {
        failed(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is no key: 64 hex digits; remove it, and a new one is made",
        ))
    };
    key.map(|key| *key.as_bytes()).ok_or_else(not_a_key)
}

fn make_key(path: &Path) -> io::Result<()> {
    let mut key = [0; MAC];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // `tempfile` creates files that only their owner can access.
    let mut file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
    writeln!(file, "{}", blake3::Hash::from_bytes(key).to_hex())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn folder(&self) -> PathBuf {
            self.0.path().join("components")
        }

        fn key(&self) -> PathBuf {
            self.0.path().join("host.key")
        }

        fn open(&self) -> Cache {
            Cache::open(self.folder(), &self.key()).expect("a cache")
        }
    }

    fn kept(place: &Place) -> Cache {
        let cache = place.open();
        cache.keep("a.cwasm", &mut &vec![7; 300_000][..]).expect("room");
        assert_eq!(cache.bytes("a.cwasm").expect("what was kept"), vec![7; 300_000]);
        cache
    }

    #[test]
    fn a_file_is_read_by_the_next_process_with_the_same_key() {
        let place = Place::new();
        kept(&place);
        assert_eq!(place.open().bytes("a.cwasm").expect("what was kept").len(), 300_000);
        assert!(matches!(place.open().bytes("b.cwasm"), Err(Unusable::Missing)));
    }

    // invariant: Cached code is used only if this host wrote it for this component.
    #[test]
    fn every_changed_byte_and_every_cut_is_seen() {
        let place = Place::new();
        let cache = kept(&place);
        let path = cache.path("a.cwasm");
        let good = fs::read(&path).expect("the file");
        for at in [0, 1, 150_000, 299_999, 300_000, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, bad).expect("written");
            assert!(matches!(cache.sealed("a.cwasm"), Err(Unusable::Forged)), "byte {at}");
        }
        for length in [0, 1, 31, 32, 33, 150_000, good.len() - 1] {
            fs::write(&path, &good[..length]).expect("written");
            assert!(matches!(cache.sealed("a.cwasm"), Err(Unusable::Forged)), "{length} bytes");
        }
        fs::write(&path, [&good[..], b"x"].concat()).expect("written");
        assert!(matches!(cache.sealed("a.cwasm"), Err(Unusable::Forged)));
        fs::write(&path, good).expect("written");
        assert!(cache.sealed("a.cwasm").is_ok());
    }

    // invariant: as `every_changed_byte_and_every_cut_is_seen`
    #[test]
    fn a_file_of_another_component_or_engine_is_not_taken_for_this_one() {
        let place = Place::new();
        let cache = kept(&place);
        fs::copy(cache.path("a.cwasm"), cache.path("b.cwasm")).expect("copied");
        assert!(matches!(cache.bytes("b.cwasm"), Err(Unusable::Forged)));
    }

    // invariant: as `every_changed_byte_and_every_cut_is_seen`
    #[test]
    fn a_file_under_another_key_is_not_used() {
        let (ours, theirs) = (Place::new(), Place::new());
        let (cache, other) = (kept(&ours), kept(&theirs));
        fs::copy(other.path("a.cwasm"), cache.path("a.cwasm")).expect("copied");
        assert!(matches!(cache.bytes("a.cwasm"), Err(Unusable::Forged)));
        fs::remove_file(ours.key()).expect("removed");
        assert!(
            matches!(ours.open().bytes("a.cwasm"), Err(Unusable::Forged)),
            "a new key reads nothing of the old one"
        );
    }

    #[test]
    fn a_folder_that_others_can_write_and_a_key_that_others_can_read_are_refused() {
        let place = Place::new();
        kept(&place);
        fs::set_permissions(place.folder(), Permissions::from_mode(0o777)).expect("owned");
        let refused = Cache::open(place.folder(), &place.key()).err().expect("refused");
        assert!(refused.to_string().contains("others can write it (mode 777)"), "{refused}");
        assert!(refused.hint().is_some_and(|hint| hint.contains("chmod 700")), "{refused:?}");
        fs::set_permissions(place.folder(), Permissions::from_mode(0o755)).expect("owned");
        place.open();
        assert_eq!(fs::metadata(place.folder()).expect("there").mode() & 0o777, 0o700);
        fs::set_permissions(place.key(), Permissions::from_mode(0o644)).expect("owned");
        let refused = Cache::open(place.folder(), &place.key()).err().expect("refused");
        assert!(refused.to_string().contains("mode 644"), "{refused}");
    }

    #[test]
    fn processes_that_start_at_once_agree_on_one_key() {
        let place = Place::new();
        let keys: Vec<[u8; MAC]> = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| place.open().key)).collect();
            opening.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0] && *key != [0; MAC]));
        assert_eq!(fs::metadata(place.key()).expect("there").mode() & 0o777, 0o600);
    }

    #[test]
    fn unfinished_files_of_killed_processes_are_removed_and_those_of_living_ones_are_not() {
        let place = Place::new();
        place.open();
        let (dead, living) = (place.folder().join(".new-dead"), place.folder().join(".new-living"));
        fs::write(&dead, b"half").expect("written");
        let held = File::create(&living).expect("written");
        held.lock().expect("a lock");
        place.open();
        assert!(!dead.exists() && living.exists());
    }

    #[test]
    fn a_file_that_was_just_created_is_not_taken_for_one_of_a_killed_process() {
        let place = Place::new();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let order = std::sync::atomic::Ordering::Relaxed;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !is_over.load(order) {
                        place.open();
                    }
                });
            }
            let cache = place.open();
            let kept: io::Result<()> = (0..2000).try_for_each(|_| cache.keep("a.cwasm", &mut &[7; 100][..]));
            is_over.store(true, order);
            kept.expect("nobody removes it");
            assert_eq!(cache.bytes("a.cwasm").expect("what was kept"), [7; 100]);
        });
    }
}
