//! Reading a version in production: pointer, manifest, objects, each verified by the digest in the
//! previous one.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use stagewright_store::Digest;
use tempfile::NamedTempFile;

use crate::destination::Destination;
use crate::error::{PromotionError, io_error};
use crate::layout::{ManifestObject, manifest_key, manifest_objects, object_key};
use crate::pointer::{MAX_READS, Pointer, READ_PAUSE};

/// A version that is complete at a destination.
#[derive(Clone, Debug)]
pub struct LoadedVersion {
    destination: Destination,
    /// The pointer, if the champion was asked for.
    pub pointer: Option<Pointer>,
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// The bytes of its manifest.
    pub manifest: Vec<u8>,
    /// The objects that the manifest lists.
    pub objects: Vec<ManifestObject>,
}

/// A fetched part of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedObject {
    /// The object, as the manifest lists it.
    pub object: ManifestObject,
    /// The local file, named by its digest.
    pub path: PathBuf,
}

impl Destination {
    /// Loads the manifest of a version, or of the champion. The pointer's digest verifies the
    /// champion's manifest; objects are verified when they are fetched.
    ///
    /// # Errors
    /// [`PromotionError::NoChampion`], [`PromotionError::NoVersion`]; [`PromotionError::Damaged`]
    /// if the pointer or the manifest is damaged.
    pub fn load(&self, model: &str, version: Option<u32>) -> Result<LoadedVersion, PromotionError> {
        let mut reads = 1;
        loop {
            let loaded = match version {
                Some(version) => self.load_version(model, version, None),
                None => self.load_champion(model),
            };
            match loaded {
                // It may have been damaged in transit, or be about to be repaired by a promotion.
                Err(PromotionError::Damaged { .. }) if reads < MAX_READS => std::thread::sleep(READ_PAUSE),
                loaded => return loaded,
            }
            reads += 1;
        }
    }

    fn load_champion(&self, model: &str) -> Result<LoadedVersion, PromotionError> {
        let Some((pointer, _)) = self.pointer(model)? else {
            return Err(PromotionError::NoChampion { uri: self.uri().to_owned(), model: model.to_owned() });
        };
        self.load_version(model, pointer.version, Some(pointer))
    }

    fn load_version(
        &self,
        model: &str,
        version: u32,
        pointer: Option<Pointer>,
    ) -> Result<LoadedVersion, PromotionError> {
        let key = manifest_key(model, version)?;
        let damaged = |problem| PromotionError::Damaged { uri: self.uri().to_owned(), key: key.clone(), problem };
        let Some((manifest, _)) = self.store.get(&key)? else {
            if pointer.is_some() {
                return Err(damaged("it is the champion's, and not there".to_owned()));
            }
            return Err(PromotionError::NoVersion { uri: self.uri().to_owned(), model: model.to_owned(), version });
        };
        let actual = Digest::of(&manifest);
        if let Some(pointer) = pointer.as_ref().filter(|it| it.manifest != actual) {
            return Err(damaged(format!("it has the digest `{actual}`, and the pointer names `{}`", pointer.manifest)));
        }
        let objects = manifest_objects(&manifest).map_err(damaged)?;
        Ok(LoadedVersion { destination: self.clone(), pointer, model: model.to_owned(), version, manifest, objects })
    }
}

impl LoadedVersion {
    /// Fetches every object into `folder`, as a file named by the hex digits of its digest.
    /// Undamaged files that exist are kept. All returned files are verified.
    ///
    /// # Errors
    /// [`PromotionError::Damaged`] if an object does not have its digest; those of the store and
    /// the folder.
    pub fn fetch(&self, folder: &Path) -> Result<Vec<FetchedObject>, PromotionError> {
        fs::create_dir_all(folder).map_err(io_error("create", folder))?;
        let fetch = |object: &ManifestObject| {
            let path = folder.join(object.digest.to_hex());
            let is_whole = fs::File::open(&path).and_then(Digest::of_reader).is_ok_and(|it| it == object.digest);
            if !is_whole {
                let mut file = NamedTempFile::new_in(folder).map_err(io_error("create a file in", folder))?;
                let temporary = file.path().to_owned();
                self.stream(object, |bytes| file.write_all(bytes).map_err(io_error("write", &temporary)))?;
                file.persist(&path).map_err(|error| io_error("create", &path)(error.error))?;
            }
            Ok(FetchedObject { object: object.clone(), path })
        };
        self.objects.iter().map(fetch).collect()
    }

    /// Reads every object and compares it with its digest, without storing it.
    ///
    /// # Errors
    /// As [`LoadedVersion::fetch`].
    pub fn verify(&self) -> Result<(), PromotionError> {
        self.objects.iter().try_for_each(|object| self.stream(object, |_| Ok(())))
    }

    /// Passes the bytes of an object to `sink`. Returns an error if they do not have its digest.
    fn stream(
        &self,
        object: &ManifestObject,
        mut sink: impl FnMut(&[u8]) -> Result<(), PromotionError>,
    ) -> Result<(), PromotionError> {
        let store = &self.destination.store;
        let key = object_key(&object.digest);
        let damaged = |problem| PromotionError::Damaged { uri: store.uri().to_owned(), key: key.clone(), problem };
        let size = store.head(&key)?.ok_or_else(|| damaged("it is not there".to_owned()))?.size;
        if size != object.size {
            return Err(damaged(format!("it has {size} bytes instead of {}", object.size)));
        }
        let (mut hasher, mut outcome) = (Sha256::new(), Ok(()));
        store.read(&key, 0..size, &mut |bytes| {
            hasher.update(bytes);
            outcome = sink(bytes);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome?;
        let actual = Digest::from_bytes(hasher.finalize().into());
        if actual == object.digest { Ok(()) } else { Err(damaged(format!("its content has the digest `{actual}`"))) }
    }
}
