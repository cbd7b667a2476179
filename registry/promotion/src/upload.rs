//! Uploading a version to a destination: its objects, their verification, and at last the manifest,
//! which makes it visible.
//!
//! Nothing refers to an object before its manifest exists, and a manifest is written only after
//! every byte of its objects was read back and compared with the local file. Why not trust the
//! checksum that the store returns? It is computed from what arrived, not from what will be read.
//! The local file's own digest is computed while it is sent: in software, SHA-256 is slower than a
//! network.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stagewright_store::Digest;

use crate::destination::Destination;
use crate::error::{PromotionError, io_error};
use crate::layout::{manifest_key, manifest_objects, object_key};
use crate::local_object::LocalObject;
use crate::store::{Condition, Put};
use crate::verify::differing;

/// A version to upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionUpload {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// The objects that its manifest lists, each once.
    pub objects: Vec<LocalObject>,
    /// JSON with at least the list `objects` of `digest`, `size`, `role`. It is stored unchanged.
    pub manifest: Vec<u8>,
}

/// The result of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadReport {
    /// The digest of the manifest, for the pointer.
    pub manifest: Digest,
    /// Bytes of objects that were sent.
    pub uploaded: u64,
    /// Bytes of objects that the destination had already.
    pub skipped: u64,
    /// How long sending took, together with computing the digests of the local files.
    pub upload_time: Duration,
    /// How long reading back and comparing took.
    pub verify_time: Duration,
}

/// The progress of an object.
struct Progress<'a> {
    object: &'a LocalObject,
    key: String,
    /// Whether the destination had it before this upload.
    was_there: bool,
}

impl Destination {
    /// Uploads a version, verifies it, and makes it visible by its manifest. It can be called again
    /// after any failure: existing objects are verified and kept. The pointer does not change: see
    /// [`Destination::point`].
    ///
    /// Calls `progress` on this thread with the bytes that have arrived and those of all objects.
    ///
    /// # Errors
    /// Any failure of the files, the store or the verification. Then no manifest is written.
    pub fn upload(&self, upload: &VersionUpload, progress: &dyn Fn(u64, u64)) -> Result<UploadReport, PromotionError> {
        let key = manifest_key(&upload.model, upload.version)?;
        check_manifest(upload)?;
        let mut progresses = Vec::with_capacity(upload.objects.len());
        let begun = Instant::now();
        self.send_and_check(upload, &mut progresses, progress)?;
        let upload_time = begun.elapsed();
        self.verify(&mut progresses)?;
        let verify_time = begun.elapsed() - upload_time;
        self.write_manifest(upload, &key)?;
        self.keep(&progresses)?;
        let bytes =
            |was_there: bool| progresses.iter().filter(|it| it.was_there == was_there).map(|it| it.object.size).sum();
        let manifest = Digest::of(&upload.manifest);
        Ok(UploadReport { manifest, uploaded: bytes(false), skipped: bytes(true), upload_time, verify_time })
    }

    /// Sends the missing objects, and meanwhile compares the local files with their digests.
    fn send_and_check<'a>(
        &self,
        upload: &'a VersionUpload,
        progresses: &mut Vec<Progress<'a>>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), PromotionError> {
        let stop = AtomicBool::new(false);
        let checked = std::thread::scope(|scope| {
            let checking = scope.spawn(|| check_digests(&upload.objects, &stop));
            let sent = self.send(upload, progresses, progress);
            stop.store(sent.is_err(), Ordering::Relaxed);
            let checked = checking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            sent.map(|()| checked)
        })?;
        // If they differ, the wrong bytes were sent under the digest of the right ones.
        checked.inspect_err(|_| {
            for sent in progresses.iter().filter(|it| !it.was_there) {
                self.discard(&sent.object.digest);
            }
        })
    }

    /// Sends the objects that do not exist with their size.
    fn send<'a>(
        &self,
        upload: &'a VersionUpload,
        progresses: &mut Vec<Progress<'a>>,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), PromotionError> {
        let total = upload.objects.iter().map(|object| object.size).sum();
        let mut before = 0;
        for object in &upload.objects {
            let key = object_key(&object.digest);
            let was_there = self.store.head(&key)?.is_some_and(|entry| entry.size == object.size);
            if !was_there {
                let done = std::cell::Cell::new(before);
                let piece = |bytes: u64| {
                    done.set(done.get() + bytes);
                    progress(done.get(), total);
                };
                self.store.put_file(&key, &object.path, object.size, &piece)?;
            }
            before += object.size;
            progress(before, total);
            progresses.push(Progress { object, key, was_there });
        }
        Ok(())
    }

    /// Compares every byte of every object with its local file. An object that existed before and
    /// differs is sent again, once.
    fn verify(&self, progresses: &mut [Progress<'_>]) -> Result<(), PromotionError> {
        let all: Vec<_> = progresses.iter().map(|it| (it.key.as_str(), it.object)).collect();
        for index in differing(self.store.as_ref(), &self.limits, &all)? {
            let Progress { object, key, was_there } = &mut progresses[index];
            let differs = |problem: &str| PromotionError::UploadDiffers {
                uri: self.uri().to_owned(),
                key: key.clone(),
                problem: problem.to_owned(),
            };
            if !*was_there {
                return Err(differs(self.discard(&object.digest)));
            }
            self.store.put_file(key, &object.path, object.size, &|_| ())?;
            if !differing(self.store.as_ref(), &self.limits, &[(key, object)])?.is_empty() {
                // Not removed: a version in production may refer to it, and one bad read is no
                // proof.
                return Err(differs("it was there before, was sent anew, and still differs"));
            }
            *was_there = false;
        }
        Ok(())
    }

    /// Removes wrong bytes that this upload sent, unless a version refers to them by now. Returns
    /// what became of them, for the error to return. What remains is found wrong by the next
    /// upload.
    fn discard(&self, digest: &Digest) -> &'static str {
        match self.needed() {
            Ok(needed) if needed.contains(digest) => "it stays, since another version lists it",
            Ok(_) if self.store.delete(&object_key(digest)).is_ok() => "it was removed",
            _ => "it could not be removed",
        }
    }

    /// Writes the manifest, which makes the version visible.
    fn write_manifest(&self, upload: &VersionUpload, key: &str) -> Result<(), PromotionError> {
        let taken = || PromotionError::VersionTaken {
            uri: self.uri().to_owned(),
            model: upload.model.clone(),
            version: upload.version,
        };
        match self.store.put(key, &upload.manifest, &Condition::Absent)? {
            Put::Refused => Err(taken()),
            Put::Written(_) => {
                // Read twice, in case the first read was damaged in transit.
                let same = || Ok(self.store.get(key)?.is_some_and(|(bytes, _)| bytes == upload.manifest));
                if same()? || same()? {
                    return Ok(());
                }
                // This upload wrote it, and nothing refers to it yet.
                self.store.delete(key)?;
                let (uri, problem) = (self.uri().to_owned(), "it was removed".to_owned());
                Err(PromotionError::UploadDiffers { uri, key: key.to_owned(), problem })
            }
        }
    }

    /// Checks that no garbage collection removed an old object before the manifest referred to it.
    fn keep(&self, progresses: &[Progress<'_>]) -> Result<(), PromotionError> {
        for Progress { object, key, .. } in progresses.iter().filter(|it| it.was_there) {
            if self.store.head(key)?.is_some_and(|entry| entry.size == object.size) {
                continue;
            }
            self.store.put_file(key, &object.path, object.size, &|_| ())?;
            if !differing(self.store.as_ref(), &self.limits, &[(key, object)])?.is_empty() {
                let problem = "it vanished, was sent anew, and differs".to_owned();
                return Err(PromotionError::UploadDiffers { uri: self.uri().to_owned(), key: key.clone(), problem });
            }
        }
        Ok(())
    }
}

/// Checks that the manifest lists the objects of the upload. Otherwise the version could not be
/// loaded.
fn check_manifest(upload: &VersionUpload) -> Result<(), PromotionError> {
    let refuse =
        |problem: String| PromotionError::BadManifest { model: upload.model.clone(), version: upload.version, problem };
    let mut listed: Vec<_> =
        manifest_objects(&upload.manifest).map_err(refuse)?.iter().map(|it| (it.digest, it.size)).collect();
    let mut given: Vec<_> = upload.objects.iter().map(|it| (it.digest, it.size)).collect();
    for list in [&mut listed, &mut given] {
        list.sort_unstable();
        list.dedup();
    }
    if listed == given {
        return Ok(());
    }
    Err(refuse("its list of objects is not that of the files to upload".to_owned()))
}

fn check_digests(objects: &[LocalObject], stop: &AtomicBool) -> Result<(), PromotionError> {
    for LocalObject { digest, path, .. } in objects {
        let file = File::open(path).map_err(io_error("open", path))?;
        let actual = match Digest::of_reader(Stoppable { file, stop }) {
            // Something else failed, and the result is not needed any more.
            Err(error) if error.kind() == io::ErrorKind::Other => return Ok(()),
            other => other.map_err(io_error("read", path))?,
        };
        if actual != *digest {
            let problem = format!("its content has the digest `{actual}`");
            return Err(PromotionError::LocalDiffers { path: path.clone(), digest: *digest, problem });
        }
    }
    Ok(())
}

/// A file whose reading can be stopped.
struct Stoppable<'a> {
    file: File,
    stop: &'a AtomicBool,
}

impl io::Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("stopped"));
        }
        self.file.read(buffer)
    }
}
