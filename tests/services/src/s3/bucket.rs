//! The server's storage: one bucket, in memory, under one lock, so that a condition and its write
//! are one step.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use s3s::dto::{ETag, ETagCondition};

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) bytes: Bytes,
    /// The etag of the bytes that the client sent, even if others were stored.
    pub(super) etag: String,
    /// The checksum of the bytes that the client sent, as base64; none for an object of parts.
    pub(super) crc32: Option<String>,
    pub(super) modified: SystemTime,
}

/// A multipart upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) parts: BTreeMap<i32, Stored>,
    pub(super) started: SystemTime,
}

/// The bucket, its objects and its uploads.
#[derive(Debug)]
pub(super) struct Buckets {
    name: String,
    pub(super) objects: BTreeMap<String, Stored>,
    pub(super) uploads: BTreeMap<String, Upload>,
    /// Objects that were replaced, by key and version.
    earlier: BTreeMap<(String, String), Stored>,
    next_upload: u64,
}

/// Why a condition of a write does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `If-Match` of a key that does not exist.
    Missing,
    /// The etag differs, or the key exists.
    Failed,
}

impl Stored {
    pub(super) fn new(bytes: Bytes, sum: &Sums) -> Self {
        Self { bytes, etag: sum.etag.clone(), crc32: Some(sum.crc32.clone()), modified: SystemTime::now() }
    }
}

/// Returns the identifier of a version.
pub(super) fn version(stored: &Stored) -> String {
    format!("v-{}", stored.etag)
}

/// Checksums of a body, in the protocol's form.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    pub(super) crc32: String,
    pub(super) etag: String,
}

impl Sums {
    pub(super) fn of(bytes: &[u8]) -> Self {
        use crc_fast::CrcAlgorithm::{Crc32IsoHdlc, Crc64Nvme};
        let crc32 = crc_fast::checksum(Crc32IsoHdlc, bytes) as u32;
        // Real ones are MD5 or anything else: a client may only compare them.
        let etag = format!("{:016x}{:x}", crc_fast::checksum(Crc64Nvme, bytes), bytes.len());
        Self { crc32: base64(&crc32.to_be_bytes()), etag }
    }
}

/// Encodes as base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= group.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

impl Buckets {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            objects: BTreeMap::new(),
            uploads: BTreeMap::new(),
            earlier: BTreeMap::new(),
            next_upload: 1,
        }
    }

    pub(super) fn has(&self, bucket: &str) -> bool {
        self.name == bucket
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.get(key).map(|stored| stored.bytes.to_vec())
    }

    pub(super) fn write(&mut self, key: &str, bytes: &[u8]) {
        let stored = Stored::new(Bytes::copy_from_slice(bytes), &Sums::of(bytes));
        if let Some(replaced) = self.objects.insert(key.to_owned(), stored) {
            self.earlier.insert((key.to_owned(), version(&replaced)), replaced);
        }
    }

    /// Returns an object, or a version of it.
    pub(super) fn version_of(&self, key: &str, id: Option<&str>) -> Option<&Stored> {
        let current = self.objects.get(key).filter(|stored| id.is_none_or(|id| version(stored) == id));
        current.or_else(|| self.earlier.get(&(key.to_owned(), id?.to_owned())))
    }

    pub(super) fn unfinished(&self) -> Vec<String> {
        self.uploads.values().map(|upload| upload.key.clone()).collect()
    }

    pub(super) fn age(&mut self, by: Duration) {
        for stored in self.objects.values_mut() {
            stored.modified -= by;
        }
        for upload in self.uploads.values_mut() {
            upload.started -= by;
        }
    }

    /// Checks whether a write under these conditions may go on.
    pub(super) fn allows(
        &self,
        key: &str,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> Result<(), Refusal> {
        let there = self.objects.get(key).map(|stored| stored.etag.as_str());
        if let Some(condition) = if_match {
            let etag = there.ok_or(Refusal::Missing)?;
            if condition.as_etag().map(ETag::value).is_some_and(|wanted| wanted != etag) {
                return Err(Refusal::Failed);
            }
        }
        match (if_none_match, there) {
            (Some(_), Some(_)) => Err(Refusal::Failed),
            _ => Ok(()),
        }
    }

    pub(super) fn begin(&mut self, key: &str) -> String {
        let id = format!("upload-{:08}", self.next_upload);
        self.next_upload += 1;
        let upload = Upload { key: key.to_owned(), parts: BTreeMap::new(), started: SystemTime::now() };
        self.uploads.insert(id.clone(), upload);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
