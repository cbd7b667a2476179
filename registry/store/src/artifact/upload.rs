//! Uploads: bytes of unknown length that become a blob, in pieces.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::artifact::blob::BlobWriter;
use crate::artifact::kind::ArtifactKind;
use crate::artifact::staging::Staging;
use crate::artifact::store::ArtifactStore;
use crate::digest::Digest;
use crate::error::{StoreError, io_error};

/// A blob that arrives in pieces. Dropping it discards them.
#[derive(Debug)]
pub struct Upload {
    staging: Staging,
    writer: BlobWriter,
    bytes: u64,
}

impl ArtifactStore {
    /// Begins an upload.
    ///
    /// # Errors
    /// [`StoreError::Io`] if its file cannot be created.
    pub fn upload(&self) -> Result<Upload, StoreError> {
        let staging = self.stage();
        Ok(Upload { writer: staging.create_blob()?, staging, bytes: 0 })
    }

    /// Opens the file of a blob whose digest is verified. A blob that this process wrote or
    /// verified before is not read for that while its file looks unchanged.
    pub(crate) fn open_verified_blob(&self, digest: &Digest) -> Result<OpenFile, StoreError> {
        self.verify(ArtifactKind::Blob, digest)?;
        let (file, path) = self.open_file(ArtifactKind::Blob, digest)?;
        let size = file.metadata().map_err(io_error("look at", &path))?.len();
        Ok(OpenFile { file, path, size, digest: *digest })
    }
}

impl Upload {
    /// Appends bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`], for example when the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes += bytes.len() as u64;
        self.writer.write(bytes)
    }

    /// Returns the number of bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Publishes the bytes. Returns their digest.
    pub(crate) fn publish(self) -> Result<Digest, StoreError> {
        let digest = self.writer.finish()?.digest();
        self.staging.publish()?;
        Ok(digest)
    }
}

/// A verified file that is read from its beginning to its end.
#[derive(Debug)]
pub struct OpenFile {
    file: File,
    path: PathBuf,
    size: u64,
    digest: Digest,
}

impl OpenFile {
    /// Returns the number of bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }
}

impl Read for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
