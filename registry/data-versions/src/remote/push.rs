//! Sending versions to a remote.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use stagewright_promotion::{Destination, LocalObject};
use stagewright_store::{DataArtifact, DataVersion, DataVersionRecord, Digest, Home};

use crate::bytes::not_here;
use crate::error::{DataVersionsError, io_error};
use crate::remote::index::{RemoteIndex, RemoteObject, RemoteVersion, object_key, read_index, write_index};

/// How often an index is read again that others changed meanwhile.
const ATTEMPTS: u32 = 50;
/// The longest pause before the index is read again.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The result of a push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pushed {
    /// The name.
    pub name: String,
    /// The versions that are new at the remote.
    pub versions: Vec<DataVersion>,
    /// The versions that were there.
    pub unchanged: Vec<DataVersion>,
    /// The objects that were sent.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Sends versions of one name. What the remote has is not sent again; with `verify` its bytes are
/// read back and compared, and are sent again if they differ. It can be repeated after any failure.
///
/// # Errors
/// [`DataVersionsError::TakenAtRemote`], [`DataVersionsError::Crowded`]; those of the store and of
/// the remote.
pub fn push(
    home: &Home,
    remote: &Destination,
    name: &str,
    records: &[DataVersionRecord],
    verify: bool,
) -> Result<Pushed, DataVersionsError> {
    let mut sending = Sending { home, remote, verify, sent: HashMap::new(), objects: 0, bytes: 0 };
    let mut attempts = 1;
    loop {
        let (mut index, etag) = match read_index(remote, name)? {
            Some((index, etag)) => (index, Some(etag)),
            None => (RemoteIndex::new(name), None),
        };
        let mut pushed = Pushed { name: name.to_owned(), ..Pushed::default() };
        let mut new = Vec::new();
        for record in records {
            match index.version(record.version) {
                None => new.push(record),
                Some(theirs) if theirs.record.digest == record.digest => {
                    if verify {
                        sending.verify(record, theirs)?;
                    }
                    pushed.unchanged.push(record.version);
                }
                Some(theirs) => {
                    return Err(DataVersionsError::TakenAtRemote {
                        remote: remote.uri().to_owned(),
                        name: name.to_owned(),
                        version: record.version,
                        theirs: theirs.record.digest,
                        ours: record.digest,
                    });
                }
            }
        }
        if new.is_empty() {
            return Ok(sending.done(pushed));
        }
        if attempts == 1 {
            remote.objects().sweep()?;
            // Could an index be written, and under a condition?
            remote.check()?;
        }
        let versions = new.iter().map(|record| sending.send(record)).collect::<Result<Vec<_>, _>>()?;
        pushed.versions = versions.iter().map(|version| version.record.version).collect();
        index.add(versions);
        if write_index(remote, &index, etag)? {
            return Ok(sending.done(pushed));
        }
        if attempts == ATTEMPTS {
            return Err(DataVersionsError::Crowded { remote: remote.uri().to_owned(), name: name.to_owned() });
        }
        std::thread::sleep(pause(attempts));
        attempts += 1;
    }
}

/// The objects that a push has sent.
struct Sending<'a> {
    home: &'a Home,
    remote: &'a Destination,
    verify: bool,
    /// By the digest of the artifact, so that no file is read or sent twice.
    sent: HashMap<Digest, RemoteObject>,
    objects: u64,
    bytes: u64,
}

impl Sending<'_> {
    fn send(&mut self, record: &DataVersionRecord) -> Result<RemoteVersion, DataVersionsError> {
        let objects = record.artifacts.iter().map(|artifact| self.send_artifact(record, artifact));
        Ok(RemoteVersion { objects: objects.collect::<Result<_, _>>()?, record: record.clone() })
    }

    fn send_artifact(
        &mut self,
        record: &DataVersionRecord,
        artifact: &DataArtifact,
    ) -> Result<RemoteObject, DataVersionsError> {
        if let Some(sent) = self.sent.get(&artifact.digest) {
            return Ok(*sent);
        }
        let (path, object) = self.local(record, artifact)?;
        self.send_file(path, object)?;
        self.sent.insert(artifact.digest, object);
        Ok(object)
    }

    fn send_file(&mut self, path: PathBuf, object: RemoteObject) -> Result<(), DataVersionsError> {
        let RemoteObject { sha256, size } = object;
        let local = LocalObject { digest: sha256, path, size };
        if self.remote.send_object(&object_key(&object), &local, self.verify)? {
            self.objects += 1;
            self.bytes += size;
        }
        Ok(())
    }

    /// Returns the file of an artifact, which is verified, and the object that it is.
    fn local(
        &self,
        record: &DataVersionRecord,
        artifact: &DataArtifact,
    ) -> Result<(PathBuf, RemoteObject), DataVersionsError> {
        let verified = self.home.artifacts.verify(artifact.kind, &artifact.digest);
        verified.map_err(|error| not_here(error, record))?;
        let path = self.home.artifacts.path(artifact.kind, &artifact.digest);
        let file = stagewright_store::open_regular(&path).map_err(io_error("open", &path))?;
        let size = file.metadata().map_err(io_error("look at", &path))?.len();
        let sha256 = Digest::of_reader(file).map_err(io_error("read", &path))?;
        Ok((path, RemoteObject { sha256, size }))
    }

    /// Compares the objects of a version at the remote with the files here, and sends those again
    /// that differ. A table that another version of this program wrote may have another file here;
    /// its object is left as it is.
    fn verify(&mut self, record: &DataVersionRecord, theirs: &RemoteVersion) -> Result<(), DataVersionsError> {
        for artifact in &record.artifacts {
            let (path, object) = self.local(record, artifact)?;
            if theirs.objects.contains(&object) {
                self.send_file(path, object)?;
            }
        }
        Ok(())
    }

    fn done(&self, pushed: Pushed) -> Pushed {
        Pushed { objects: self.objects, bytes: self.bytes, ..pushed }
    }
}

/// Returns a pause that grows, and that differs between processes.
fn pause(attempts: u32) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let jitter = f64::from(now.subsec_nanos() % 1000) / 1000.0;
    Duration::from_millis(20 * u64::from(attempts)).mul_f64(0.5 + jitter).min(MAX_PAUSE)
}
