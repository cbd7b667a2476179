//! Blobs, which are read and written in pieces, and documents, which are held in memory.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::artifact::kind::ArtifactKind;
use crate::artifact::staged::{RemoveOnDrop, StagedFile, StagedFiles};
use crate::digest::Digest;
use crate::error::{StoreError, io_error};

/// Bytes read at a time to compute a digest: small enough for the second-level cache.
const PIECE: usize = 256 << 10;

/// The bytes after which the system begins to write a long file to the disk. Otherwise it would
/// begin when the file is complete, and whoever waits for the flush would wait for all of it.
const WRITTEN_EARLY: u64 = 32 << 20;

/// Bytes that only a stage understands, such as a fitted state or a model. Immutable, cheap to
/// clone.
#[derive(Clone)]
pub struct Blob(Arc<BlobFile>);

struct BlobFile {
    file: File,
    path: PathBuf,
    size: u64,
    digest: Digest,
}

impl Blob {
    pub(crate) fn open(mut file: File, path: PathBuf, digest: Digest) -> Result<Self, StoreError> {
        let mut hasher = Sha256::new();
        let mut size = 0;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece).map_err(io_error("read", &path))?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
            size += read as u64;
        }
        let actual = Digest::from_bytes(hasher.finalize().into());
        if actual != digest {
            return Err(StoreError::DigestDiffers { path, actual });
        }
        Ok(Self(Arc::new(BlobFile { file, path, size, digest })))
    }

    /// Returns the SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// Returns the number of bytes.
    pub fn size(&self) -> u64 {
        self.0.size
    }

    /// Returns the path of its file, for the host's own readers. Publication moves the file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns at most `length` bytes from `offset` on; fewer, or none, at the end.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let left = self.0.size.saturating_sub(offset);
        let length = usize::try_from(left).map_or(length, |left| left.min(length));
        let mut bytes = vec![0; length];
        self.0.file.read_exact_at(&mut bytes, offset).map_err(io_error("read", &self.0.path))?;
        Ok(bytes)
    }

    /// Returns all bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn read_all(&self) -> Result<Vec<u8>, StoreError> {
        self.read(0, usize::MAX)
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("digest", &self.0.digest).field("size", &self.0.size).finish()
    }
}

/// A blob that is being written. Dropping it removes the file.
#[derive(Debug)]
pub struct BlobWriter {
    staged: StagedFiles,
    file: BufWriter<File>,
    path: PathBuf,
    unfinished: RemoveOnDrop,
    hasher: Sha256,
    size: u64,
    /// The bytes that the system has begun to write.
    begun: u64,
}

impl BlobWriter {
    pub(crate) fn create(staged: StagedFiles) -> Result<Self, StoreError> {
        let (file, path) = staged.create_file()?;
        let unfinished = RemoveOnDrop(Some(path.clone()));
        Ok(Self { staged, file: BufWriter::new(file), path, unfinished, hasher: Sha256::new(), size: 0, begun: 0 })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`StoreError::Io`], for example when the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(io_error("write", &self.path))?;
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        if self.size - self.begun >= WRITTEN_EARLY {
            self.begin_writing();
        }
        Ok(())
    }

    /// Has the system begin to write what has come since the last time. Nobody waits for it, and
    /// nothing depends on it: the flush before publication does.
    fn begin_writing(&mut self) {
        // Advice that the bytes are not needed soon has their pages written. Those on their way
        // stay in memory.
        #[cfg(target_os = "linux")]
        let _ = rustix::fs::fadvise(
            self.file.get_ref(),
            self.begun,
            std::num::NonZeroU64::new(self.size - self.begun),
            rustix::fs::Advice::DontNeed,
        );
        self.begun = self.size;
    }

    /// Completes the blob. It is readable at once, and visible to others after publication.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn finish(mut self) -> Result<Blob, StoreError> {
        let written = self.file.into_inner().map_err(std::io::IntoInnerError::into_error);
        let file = written.map_err(io_error("write", &self.path))?;
        let digest = Digest::from_bytes(self.hasher.finalize().into());
        let reader = File::open(&self.path).map_err(io_error("open", &self.path))?;
        self.unfinished.0 = None;
        let path = self.path.clone();
        self.staged.add(StagedFile { path: self.path, file, kind: ArtifactKind::Blob, digest });
        Ok(Blob(Arc::new(BlobFile { file: reader, path, size: self.size, digest })))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Self::write(self, bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// A report in JSON, HTML or SVG, held in memory. Immutable, cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    media_type: Arc<str>,
    bytes: Arc<[u8]>,
    digest: Digest,
}

impl Document {
    pub(crate) fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        let digest = Digest::of(&bytes);
        Self { media_type: media_type.into(), bytes: bytes.into(), digest }
    }

    pub(crate) fn open(mut file: File, path: PathBuf, digest: Digest, media_type: &str) -> Result<Self, StoreError> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
        let document = Self::new(media_type, bytes);
        if document.digest != digest {
            return Err(StoreError::DigestDiffers { path, actual: document.digest });
        }
        Ok(document)
    }

    /// Returns the SHA-256 of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Returns the media type, such as `application/json`.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
