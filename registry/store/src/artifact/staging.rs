//! Sets of new artifacts, and their publication.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::artifact::blob::{BlobWriter, Document};
use crate::artifact::kind::ArtifactKind;
use crate::artifact::staged::{RemoveOnDrop, StagedFile, StagedFiles};
use crate::artifact::store::ArtifactStore;
use crate::digest::Digest;
use crate::error::{StoreError, io_error};
use crate::fsyncs::count_fsync;
use crate::schema::Schema;
use crate::table::{Table, TableWriter};

/// A set of artifacts that are being made, visible to no other process. Dropping it removes its
/// files; handles to them stay readable.
#[derive(Clone, Debug)]
pub struct Staging {
    store: ArtifactStore,
    files: StagedFiles,
}

/// Sets a file's time to now, so that it counts as new.
pub(super) fn touch(path: &std::path::Path) -> Result<(), StoreError> {
    let touched = File::open(path).and_then(|file| file.set_modified(std::time::SystemTime::now()));
    touched.map_err(io_error("touch", path))
}

impl ArtifactStore {
    /// Begins a set of artifacts that will become visible together, or not at all.
    pub fn stage(&self) -> Staging {
        Staging { store: self.clone(), files: StagedFiles::new(Arc::clone(self.staging_area())) }
    }
}

impl Staging {
    /// Begins a table.
    ///
    /// # Errors
    /// [`StoreError::Io`] if its file cannot be created.
    pub fn create_table(&self, schema: &Schema) -> Result<TableWriter, StoreError> {
        TableWriter::create(self.files.clone(), schema)
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// [`StoreError::Io`] if its file cannot be created.
    pub fn create_blob(&self) -> Result<BlobWriter, StoreError> {
        BlobWriter::create(self.files.clone())
    }

    /// Adds a document.
    ///
    /// # Errors
    /// [`StoreError::Io`] if it cannot be written.
    pub fn put_document(&self, media_type: &str, bytes: impl Into<Vec<u8>>) -> Result<Document, StoreError> {
        let document = Document::new(media_type, bytes.into());
        let (mut file, path) = self.files.create_file()?;
        let mut unfinished = RemoveOnDrop(Some(path.clone()));
        file.write_all(document.bytes()).map_err(io_error("write", &path))?;
        unfinished.0 = None;
        self.files.add(StagedFile { path, file, kind: ArtifactKind::Document, digest: document.digest() });
        Ok(document)
    }

    /// Adds a table from the bytes of its file, which are copied and verified.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::DigestDiffers`] if the bytes are not that table;
    /// [`StoreError::Io`], also for the errors of `bytes`.
    pub fn bring_table(&self, digest: Digest, bytes: &mut dyn std::io::Read) -> Result<Table, StoreError> {
        let (mut file, path) = self.files.create_file()?;
        let mut unfinished = RemoveOnDrop(Some(path.clone()));
        std::io::copy(bytes, &mut file).map_err(io_error("write", &path))?;
        let table = Table::open(&file, path.clone(), digest)?;
        table.verify()?;
        unfinished.0 = None;
        self.files.add(StagedFile { path, file, kind: ArtifactKind::Table, digest });
        Ok(table)
    }

    /// Publishes every finished artifact, so that it survives a loss of power: flushes the files,
    /// renames them to their digests, flushes the directory once. Then sends them to the shared
    /// place, if there is one. Artifacts of unfinished writers are left out. Record artifacts in
    /// the registry after this, never before.
    ///
    /// Atomic per artifact and idempotent: an existing file stays as it is if its content has the
    /// digest, and is replaced if it is damaged.
    ///
    /// # Errors
    /// [`StoreError::Io`]. If a file could not be flushed, none has become visible.
    /// [`StoreError::Shared`]: what is visible here may not be visible to other machines.
    pub fn publish(self) -> Result<(), StoreError> {
        let files = std::mem::take(&mut *self.files.finished());
        if files.is_empty() {
            return Ok(());
        }
        let _publishing = self.store.lock_shared()?;
        let published: Vec<_> = files.iter().map(|staged| (staged.kind, staged.digest)).collect();
        let mut new = Vec::with_capacity(files.len());
        for staged in files {
            let target = self.store.path(staged.kind, &staged.digest);
            if self.store.is_whole(&staged, &target) {
                // Its age is renewed, so that no collection removes it before it is recorded.
                touch(&target)?;
                self.store.note_written(staged.kind, staged.digest);
                continue;
            }
            count_fsync();
            staged.file.sync_data().map_err(io_error("flush", &staged.path))?;
            new.push((staged, target));
        }
        for (staged, target) in &new {
            fs::rename(&staged.path, target).map_err(io_error("create", target))?;
            self.store.note_written(staged.kind, staged.digest);
        }
        // Even if nothing is new: another process may have renamed the same content and not flushed
        // it yet.
        self.store.sync_directory()?;
        published.iter().try_for_each(|(kind, digest)| self.store.share(*kind, digest))
    }

    /// As [`Staging::publish`], for the artifacts with these digests alone. The others are removed.
    ///
    /// # Errors
    /// As [`Staging::publish`].
    pub fn publish_only(self, wanted: &[Digest]) -> Result<(), StoreError> {
        let unwanted: Vec<StagedFile> = {
            let mut files = self.files.finished();
            files.extract_if(.., |file| !wanted.contains(&file.digest)).collect()
        };
        drop(unwanted);
        self.publish()
    }

    /// Opens a finished table before it is published.
    ///
    /// # Errors
    /// [`StoreError::Missing`] if the set has no table of this digest.
    pub fn open_table(&self, digest: &Digest) -> Result<Table, StoreError> {
        let files = self.files.finished();
        let staged = Self::find(&files, ArtifactKind::Table, digest).ok_or_else(|| self.missing(digest))?;
        Table::open(&staged.file, staged.path.clone(), *digest)
    }

    /// Returns the path of a finished artifact before it is published. It exists as long as this
    /// set.
    pub fn path(&self, kind: ArtifactKind, digest: &Digest) -> Option<PathBuf> {
        let files = self.files.finished();
        Self::find(&files, kind, digest).map(|staged| staged.path.clone())
    }

    fn find<'a>(files: &'a [StagedFile], kind: ArtifactKind, digest: &Digest) -> Option<&'a StagedFile> {
        files.iter().find(|staged| (staged.kind, staged.digest) == (kind, *digest))
    }

    fn missing(&self, digest: &Digest) -> StoreError {
        let store = self.store.directory().to_owned();
        StoreError::Missing { kind: ArtifactKind::Table, digest: *digest, store }
    }
}
