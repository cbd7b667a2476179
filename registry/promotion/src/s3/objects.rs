//! [`ObjectStore`] for a bucket.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::Instant;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::bucket::{S3, present, read_part, time};
use super::fault::{Fault, Kind};
use crate::error::PromotionError;
use crate::store::{Condition, Etag, MAX_DOCUMENT, ObjectStore, Put, Sink, StoredObject, Unfinished, check_key};

impl ObjectStore for S3 {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn put_file(&self, key: &str, file: &Path, size: u64, progress: &dyn Fn(u64)) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        if size > self.limits.multipart_from {
            return self.put_parts(key, &full, file, size, progress);
        }
        let bytes = read_part(file, 0..size)?;
        self.run(size, async || {
            let request = self.client.put_object().bucket(&self.bucket).key(&full);
            // The bytes are compared after they have arrived. Signing them would compute a third
            // SHA-256.
            let request = request.body(ByteStream::from(bytes.clone())).customize().disable_payload_signing();
            Ok(request.send().await?)
        })
        .map_err(self.error("write", key))?;
        progress(size);
        Ok(())
    }

    fn put(&self, key: &str, bytes: &[u8], condition: &Condition) -> Result<Put, PromotionError> {
        let full = self.full(key)?;
        let bytes = Bytes::copy_from_slice(bytes);
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let fault = match self.handle.block_on(self.put_once(&full, &bytes, condition)) {
                Ok(etag) => return Ok(Put::Written(etag)),
                Err(fault) => fault,
            };
            let refused = matches!(fault.kind, Kind::Condition | Kind::Missing);
            if !refused && !fault.passes() {
                return Err(self.explain("write", key.to_owned(), fault, attempts));
            }
            // The write may have happened: this attempt's reply may be lost, and a refusal may be
            // due to a previous attempt's success.
            let there = self.get(key)?;
            let unchanged = match (condition, there) {
                (_, Some((content, etag))) if content == bytes => return Ok(Put::Written(etag)),
                (Condition::Absent, there) => there.is_none(),
                (Condition::Unchanged(etag), there) => there.is_some_and(|(_, it)| it == *etag),
            };
            if refused || !unchanged {
                return Ok(Put::Refused);
            }
            if !self.goes_on(&fault, attempts, begun) {
                return Err(self.explain("write", key.to_owned(), fault, attempts));
            }
            self.handle.block_on(self.pause(attempts));
        }
    }

    fn get(&self, key: &str) -> Result<Option<(Vec<u8>, Etag)>, PromotionError> {
        let full = self.full(key)?;
        let got = self.run(0, async || {
            let reply = self.client.get_object().bucket(&self.bucket).key(&full).send().await?;
            let etag = Etag(reply.e_tag.unwrap_or_default());
            let (mut body, mut bytes) = (reply.body, Vec::new());
            while let Some(piece) = body.try_next().await.map_err(Fault::cut)? {
                if (bytes.len() + piece.len()) as u64 > MAX_DOCUMENT {
                    return Err(Fault::too_long(MAX_DOCUMENT));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok((bytes, etag))
        });
        present(got).map_err(self.error("read", key))
    }

    fn read(&self, key: &str, range: Range<u64>, sink: &mut Sink<'_>) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        let mut reading = Reading { next: range.start, end: range.end, etag: None };
        let (begun, mut attempts) = (Instant::now(), 0);
        while reading.next < reading.end {
            attempts += 1;
            let before = reading.next;
            let bytes = reading.end - reading.next;
            let read = self.handle.block_on(self.once(bytes, self.read_on(&full, &mut reading, sink)));
            match read {
                Ok(ControlFlow::Break(())) => return Ok(()),
                Ok(ControlFlow::Continue(())) => {}
                // An attempt that made progress does not count as failed.
                Err(fault) if fault.passes() && reading.next > before && begun.elapsed() < self.limits.overall => {
                    attempts = 0;
                }
                Err(fault) if !self.goes_on(&fault, attempts, begun) => {
                    return Err(self.explain("read", key.to_owned(), fault, attempts));
                }
                Err(_) => self.handle.block_on(self.pause(attempts)),
            }
        }
        Ok(())
    }

    fn head(&self, key: &str) -> Result<Option<StoredObject>, PromotionError> {
        let full = self.full(key)?;
        let reply = self.run(0, async || Ok(self.client.head_object().bucket(&self.bucket).key(&full).send().await?));
        let reply = present(reply).map_err(self.error("look at", key))?;
        Ok(reply.map(|reply| {
            let size = u64::try_from(reply.content_length.unwrap_or_default()).unwrap_or_default();
            StoredObject { key: key.to_owned(), size, modified: time(reply.last_modified) }
        }))
    }

    fn list(&self, prefix: &str) -> Result<Vec<StoredObject>, PromotionError> {
        let full = format!("{}{prefix}", self.prefix);
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = self.run(0, async || {
                let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&full);
                Ok(request.set_continuation_token(token.clone()).send().await?)
            });
            let page = page.map_err(self.error("list", prefix))?;
            for object in page.contents.unwrap_or_default() {
                let key = object.key.as_deref().and_then(|key| key.strip_prefix(&self.prefix));
                let Some(key) = key.filter(|key| check_key(key).is_ok()) else { continue };
                let size = u64::try_from(object.size.unwrap_or_default()).unwrap_or_default();
                found.push(StoredObject { key: key.to_owned(), size, modified: time(object.last_modified) });
            }
            token = page.next_continuation_token;
            if token.is_none() || page.is_truncated != Some(true) {
                return Ok(found);
            }
        }
    }

    fn delete(&self, key: &str) -> Result<(), PromotionError> {
        let full = self.full(key)?;
        self.run(0, async || Ok(self.client.delete_object().bucket(&self.bucket).key(&full).send().await?))
            .map(drop)
            .map_err(self.error("remove", key))
    }

    fn unfinished(&self) -> Result<Vec<Unfinished>, PromotionError> {
        self.list_uploads()
    }

    fn abort(&self, unfinished: &Unfinished) -> Result<(), PromotionError> {
        self.abort_upload(&unfinished.key, &unfinished.id)
    }
}

/// How much of a range has been read, and of which content.
struct Reading {
    next: u64,
    end: u64,
    etag: Option<String>,
}

impl S3 {
    /// Attempts a conditional write once.
    async fn put_once(&self, key: &str, bytes: &Bytes, condition: &Condition) -> Result<Etag, Fault> {
        let request = self.client.put_object().bucket(&self.bucket).key(key).body(ByteStream::from(bytes.clone()));
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Unchanged(etag) => request.if_match(&etag.0),
        };
        let reply = self.once(bytes.len() as u64, async { Ok(request.send().await?) }).await?;
        Ok(Etag(reply.e_tag.unwrap_or_default()))
    }

    /// Reads on from where the last attempt stopped.
    async fn read_on(&self, key: &str, reading: &mut Reading, sink: &mut Sink<'_>) -> Result<ControlFlow<()>, Fault> {
        let range = format!("bytes={}-{}", reading.next, reading.end - 1);
        let request = self.client.get_object().bucket(&self.bucket).key(key).range(range);
        let mut reply = request.set_if_match(reading.etag.clone()).send().await?;
        reading.etag = reading.etag.take().or(reply.e_tag.take());
        while let Some(piece) = reply.body.try_next().await.map_err(Fault::cut)? {
            let wanted = piece.len().min((reading.end - reading.next) as usize);
            reading.next += wanted as u64;
            if sink(&piece[..wanted]).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            // Anything more that the store would send is not read.
            if reading.next == reading.end {
                return Ok(ControlFlow::Continue(()));
            }
        }
        Err(Fault::ended(reading.next))
    }
}
