//! Bringing versions from a remote.
//!
//! An object is fetched to a file under its digest, in the home's cache. A pull that was cut goes
//! on there, since the bytes of an object never change. What is whole becomes an artifact, all
//! artifacts of a version are published, and then the version is recorded. So a version that is
//! recorded is whole.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use stagewright_promotion::{Destination, MAX_DOCUMENT};
use stagewright_store::{ArtifactKind, DataArtifact, DataReference, DataVersion, Digest, Home, Staging};

use crate::error::{DataVersionsError, io_error};
use crate::files::MEDIA_TYPE;
use crate::remote::index::{RemoteObject, RemoteVersion, object_key, read_index};

/// Bytes that are read at once.
const PIECE: usize = 1 << 18;

/// The versions to bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The latest one that the reference admits.
    Latest,
    /// All that the reference admits.
    All,
    /// The one with this digest, if the reference admits it.
    Digest(Digest),
}

/// How to pull.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// The versions.
    pub wanted: Wanted,
    /// The most bytes to fetch.
    pub max_bytes: u64,
}

/// A version that was pulled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// The name.
    pub name: String,
    /// The number.
    pub version: DataVersion,
    /// The digest of the content.
    pub digest: Digest,
    /// Whether it was not recorded here before.
    pub is_new: bool,
    /// The bytes that were fetched.
    pub bytes: u64,
}

/// Brings versions from a remote. What is here and undamaged is not fetched. It can be repeated
/// after any failure.
///
/// # Errors
/// [`DataVersionsError::NotAtRemote`], [`DataVersionsError::TooLarge`],
/// [`DataVersionsError::Damaged`]; `Taken` if a number has other data here; those of the remote and
/// of the store.
pub fn pull(
    home: &Home,
    remote: &Destination,
    reference: &DataReference,
    options: &PullOptions,
) -> Result<Vec<Pulled>, DataVersionsError> {
    let versions = read_index(remote, &reference.name)?.map(|(index, _)| index.versions).unwrap_or_default();
    let there: Vec<DataVersion> = versions.iter().map(|version| version.record.version).collect();
    let mut wanted: Vec<RemoteVersion> =
        versions.into_iter().filter(|version| reference.requirement.admits(version.record.version)).collect();
    match &options.wanted {
        Wanted::All => {}
        Wanted::Latest => drop(wanted.drain(..wanted.len().saturating_sub(1))),
        Wanted::Digest(digest) => wanted.retain(|version| version.record.digest == *digest),
    }
    if wanted.is_empty() {
        let (remote, reference) = (remote.uri().to_owned(), reference.clone());
        return Err(DataVersionsError::NotAtRemote { remote, reference, there });
    }
    let mut left = options.max_bytes;
    let mut pulled = Vec::new();
    for version in &wanted {
        let one = pull_version(home, remote, version, left)?;
        left = left.saturating_sub(one.bytes);
        pulled.push(one);
    }
    Ok(pulled)
}

fn pull_version(
    home: &Home,
    remote: &Destination,
    version: &RemoteVersion,
    max_bytes: u64,
) -> Result<Pulled, DataVersionsError> {
    let RemoteVersion { record, objects } = version;
    let missing: Vec<(&DataArtifact, &RemoteObject)> = record
        .artifacts
        .iter()
        .zip(objects)
        .filter(|(artifact, _)| home.artifacts.verify(artifact.kind, &artifact.digest).is_err())
        .collect();
    let bytes = missing.iter().fold(0_u64, |sum, (_, object)| sum.saturating_add(object.size));
    if bytes > max_bytes {
        let (remote, reference) = (remote.uri().to_owned(), record.reference());
        return Err(DataVersionsError::TooLarge { remote, reference, bytes, allowed: max_bytes });
    }
    let staging = home.artifacts.stage();
    let mut fetched = Vec::new();
    for (artifact, object) in missing {
        let file = fetch(home, remote, object)?;
        bring(&staging, remote, artifact, &file)?;
        fetched.push(file);
    }
    staging.publish()?;
    let is_new = home.registry.bring_data_version(record)?;
    drop(fetched);
    // Also those of a pull that ended after its artifacts were published.
    for object in objects {
        let _ = fs::remove_file(part_path(home, object));
    }
    Ok(Pulled { name: record.name.clone(), version: record.version, digest: record.digest, is_new, bytes })
}

/// An object that was fetched whole. Its lock is held, so that no other process writes to it.
struct Fetched {
    path: PathBuf,
    file: File,
    key: String,
}

/// Returns the file that an object is fetched to.
fn part_path(home: &Home, object: &RemoteObject) -> PathBuf {
    home.cache_dir().join("data").join(format!("{}.part", object.sha256.to_hex()))
}

/// Fetches an object, or the rest of it.
fn fetch(home: &Home, remote: &Destination, object: &RemoteObject) -> Result<Fetched, DataVersionsError> {
    let path = part_path(home, object);
    let folder = home.cache_dir().join("data");
    fs::create_dir_all(&folder).map_err(io_error("create", &folder))?;
    let key = object_key(object);
    let damaged = |problem: String| DataVersionsError::Damaged {
        what: format!("`{key}` at `{}`", remote.uri()),
        problem: format!(
            "{problem}\nhint: `stagewright data push NAME --verify` sends it again, from where the data is"
        ),
    };
    match remote.objects().head(&key)? {
        None => return Err(damaged("it is not there".to_owned())),
        Some(entry) if entry.size != object.size => {
            return Err(damaged(format!("it has {} bytes instead of {}", entry.size, object.size)));
        }
        Some(_) => {}
    }
    let mut file = locked(&path)?;
    let before = file.metadata().map_err(io_error("look at", &path))?.len();
    if before > object.size {
        file.set_len(0).map_err(io_error("write", &path))?;
    }
    if complete(remote, &key, object, &mut file, &path)? {
        return Ok(Fetched { path, file, key });
    }
    // The beginning may be damaged, which was there before: everything is fetched once more.
    file.set_len(0).map_err(io_error("write", &path))?;
    if before > 0 && complete(remote, &key, object, &mut file, &path)? {
        return Ok(Fetched { path, file, key });
    }
    let _ = fs::remove_file(&path);
    Err(damaged("its content has another digest".to_owned()))
}

/// Opens a file that no other process opens so. Waits for one that does.
fn locked(path: &Path) -> Result<File, DataVersionsError> {
    loop {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        // The home is the user's own, but a link in the cache is still not followed.
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix::fs::OFlags::NOFOLLOW.bits().cast_signed(),
        );
        let file = options.open(path).map_err(io_error("open", path))?;
        file.lock().map_err(io_error("lock", path))?;
        // Whoever held the lock before may have removed the file.
        let is_same = path.metadata().is_ok_and(|there| {
            use std::os::unix::fs::MetadataExt as _;
            file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
        });
        if is_same {
            return Ok(file);
        }
    }
}

/// Appends what is missing of an object to its file. Returns whether the whole has its digest.
fn complete(
    remote: &Destination,
    key: &str,
    object: &RemoteObject,
    file: &mut File,
    path: &Path,
) -> Result<bool, DataVersionsError> {
    let mut hasher = Sha256::new();
    let mut start = 0;
    file.seek(SeekFrom::Start(0)).map_err(io_error("read", path))?;
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(io_error("read", path))? {
            0 => break,
            read => {
                hasher.update(&piece[..read]);
                start += read as u64;
            }
        }
    }
    let mut written = Ok(());
    remote.objects().read(key, start..object.size, &mut |bytes| {
        hasher.update(bytes);
        written = file.write_all(bytes);
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    written.map_err(io_error("write", path))?;
    Ok(Digest::from_bytes(hasher.finalize().into()) == object.sha256)
}

/// Makes an artifact of a fetched file. Its digest is computed from what is stored.
fn bring(
    staging: &Staging,
    remote: &Destination,
    artifact: &DataArtifact,
    fetched: &Fetched,
) -> Result<(), DataVersionsError> {
    let damaged = |problem: String| DataVersionsError::Damaged {
        what: format!("`{}` at `{}`", fetched.key, remote.uri()),
        problem: format!("{problem}\nhint: somebody wrote an index there that this program does not write"),
    };
    let mut file = &fetched.file;
    file.seek(SeekFrom::Start(0)).map_err(io_error("read", &fetched.path))?;
    let digest = match artifact.kind {
        ArtifactKind::Table => {
            let brought = staging.bring_table(artifact.digest, &mut file);
            brought.map_err(|error| damaged(format!("it is not the table `{}`: {error}", artifact.digest)))?.digest()
        }
        ArtifactKind::Blob => {
            let mut writer = staging.create_blob()?;
            let mut piece = vec![0; PIECE];
            loop {
                match file.read(&mut piece).map_err(io_error("read", &fetched.path))? {
                    0 => break,
                    read => writer.write(&piece[..read])?,
                }
            }
            writer.finish()?.digest()
        }
        ArtifactKind::Document => {
            let mut bytes = Vec::new();
            // The list of the most files has less than 1 GiB.
            let read = file.take(32 * MAX_DOCUMENT + 1).read_to_end(&mut bytes);
            if read.map_err(io_error("read", &fetched.path))? as u64 > 32 * MAX_DOCUMENT {
                return Err(damaged("it is too long for a list of files".to_owned()));
            }
            staging.put_document(MEDIA_TYPE, bytes)?.digest()
        }
    };
    if digest == artifact.digest {
        Ok(())
    } else {
        Err(damaged(format!("it is `{digest}`, not `{}`", artifact.digest)))
    }
}
