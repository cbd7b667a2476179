//! Multipart uploads of large files: a few parts at once, each retried by itself.

use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};

use super::bucket::{S3, present, read_part, time};
use super::fault::Kind;
use crate::error::PromotionError;
use crate::store::{ObjectStore, Unfinished, check_key};

/// The most parts of an upload that S3 accepts.
const MAX_PARTS: u64 = 10_000;

/// Returns the size of the parts of a file: `preferred`, or as much as makes at most 10,000 of
/// them.
fn part_size(size: u64, preferred: u64) -> u64 {
    preferred.max(size.div_ceil(MAX_PARTS)).max(1)
}

impl S3 {
    pub(super) fn put_parts(
        &self,
        key: &str,
        full: &str,
        file: &Path,
        size: u64,
        progress: &dyn Fn(u64),
    ) -> Result<(), PromotionError> {
        let begun = self.run(0, async || {
            let request = self.client.create_multipart_upload().bucket(&self.bucket).key(full);
            Ok(request.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await?)
        });
        let id = begun.map_err(self.error("begin to write", key))?.upload_id.unwrap_or_default();
        let upload = Upload { store: self, key, full, id: &id, file, size };
        let completed = upload.parts(progress).and_then(|parts| upload.complete(parts));
        if completed.is_err() {
            // If this fails too, the parts are garbage, and found as such.
            let _ = self.abort_upload(key, &id);
        }
        completed
    }

    pub(super) fn abort_upload(&self, key: &str, id: &str) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        let aborted = self.run(0, async || {
            Ok(self.client.abort_multipart_upload().bucket(&self.bucket).key(&full).upload_id(id).send().await?)
        });
        present(aborted).map(drop).map_err(self.error("abort the upload of", key))
    }

    pub(super) fn list_uploads(&self) -> Result<Vec<Unfinished>, PromotionError> {
        let mut found = Vec::new();
        let (mut after_key, mut after_id) = (None, None);
        loop {
            let page = self.run(0, async || {
                let request = self.client.list_multipart_uploads().bucket(&self.bucket).prefix(&self.prefix);
                let request = request.set_key_marker(after_key.clone()).set_upload_id_marker(after_id.clone());
                Ok(request.send().await?)
            });
            let page = page.map_err(self.error("list uploads of", ""))?;
            for upload in page.uploads.unwrap_or_default() {
                let key = upload.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix));
                let (Some(key), Some(id)) = (key.filter(|key| check_key(key).is_ok()), upload.upload_id) else {
                    continue;
                };
                found.push(Unfinished { key: key.to_owned(), id, started: time(upload.initiated), bytes: 0 });
            }
            (after_key, after_id) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || after_key.is_none() {
                return Ok(found);
            }
        }
    }
}

/// A multipart upload in progress.
struct Upload<'a> {
    store: &'a S3,
    key: &'a str,
    full: &'a str,
    id: &'a str,
    file: &'a Path,
    size: u64,
}

impl Upload<'_> {
    /// Uploads all parts, a few at once. The first failure stops the others.
    fn parts(&self, progress: &dyn Fn(u64)) -> Result<Vec<CompletedPart>, PromotionError> {
        let part_size = part_size(self.size, self.store.limits.part_size);
        let count = self.size.div_ceil(part_size);
        let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
        let (done, finished) = mpsc::channel();
        let work = |done: mpsc::Sender<_>| {
            while !failed.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return;
                }
                let range = index * part_size..((index + 1) * part_size).min(self.size);
                let bytes = range.end - range.start;
                let part = self.part(index + 1, range);
                failed.fetch_or(part.is_err(), Ordering::Relaxed);
                // The receiver is gone only if this is over.
                let _ = done.send((bytes, part));
            }
        };
        let mut parts = std::thread::scope(|scope| {
            for _ in 0..count.min(self.store.limits.parallel.max(1) as u64) {
                let done = done.clone();
                scope.spawn(|| work(done));
            }
            drop(done);
            let completed = finished.into_iter().map(|(bytes, part)| part.inspect(|_| progress(bytes)));
            completed.collect::<Result<Vec<CompletedPart>, _>>()
        })?;
        parts.sort_by_key(CompletedPart::part_number);
        Ok(parts)
    }

    fn part(&self, number: u64, range: Range<u64>) -> Result<CompletedPart, PromotionError> {
        let bytes = read_part(self.file, range)?;
        let number = i32::try_from(number).unwrap_or(i32::MAX); // at most 10,000
        let S3 { client, bucket, .. } = self.store;
        let reply = self.store.run(bytes.len() as u64, async || {
            let request = client.upload_part().bucket(bucket).key(self.full).upload_id(self.id).part_number(number);
            let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32).body(ByteStream::from(bytes.clone()));
            Ok(request.customize().disable_payload_signing().send().await?)
        });
        let reply = reply.map_err(self.store.error("write a part of", self.key))?;
        let part = CompletedPart::builder().part_number(number);
        Ok(part.set_e_tag(reply.e_tag).set_checksum_crc32(reply.checksum_crc32).build())
    }

    /// Completes the upload. If the reply of an attempt is lost, there is no upload left to
    /// complete, but the object exists.
    fn complete(&self, parts: Vec<CompletedPart>) -> Result<(), PromotionError> {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let S3 { client, bucket, .. } = self.store;
        let completed = self.store.run(0, async || {
            let request = client.complete_multipart_upload().bucket(bucket).key(self.full).upload_id(self.id);
            Ok(request.multipart_upload(parts.clone()).send().await?)
        });
        match completed {
            Ok(_) => Ok(()),
            // The object is compared byte by byte before anything refers to it.
            Err((fault, attempts)) if fault.kind == Kind::Missing && attempts > 1 => {
                let there = self.store.head(self.key)?.and_then(|entry| NonZero::new(entry.size));
                if there.is_some_and(|size| size.get() == self.size) {
                    return Ok(());
                }
                Err(self.store.error("complete the upload of", self.key)((fault, attempts)))
            }
            Err(fault) => Err(self.store.error("complete the upload of", self.key)(fault)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_so_that_ten_thousand_suffice() {
        let (mib, gib, tib) = (1_u64 << 20, 1_u64 << 30, 1_u64 << 40);
        assert_eq!(part_size(5 * gib + 1, 16 * mib), 16 * mib);
        assert_eq!((5 * gib + 1).div_ceil(16 * mib), 321);
        for size in [156 * gib, 156 * gib + 256 * mib + 1, 5 * tib] {
            let part = part_size(size, 16 * mib);
            assert!(part >= 16 * mib && part <= 5 * gib && size.div_ceil(part) <= MAX_PARTS, "{size}: {part}");
        }
        assert_eq!(part_size(5 * tib, 16 * mib), 549_755_814);
    }
}
