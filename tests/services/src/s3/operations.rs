//! The operations of S3 that Stagewright's client may call, over [`Buckets`]. Every other one is
//! `NotImplemented`.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use s3s::dto::*;
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::bucket::{Buckets, Refusal, Stored, Sums, version};
use super::fault::{Lie, MAX_BODY, flip};
use super::options::{ConditionalWrites, Options, lock};

pub(super) struct Operations {
    pub(super) buckets: Arc<Mutex<Buckets>>,
    pub(super) options: Options,
}

impl Operations {
    fn open(&self, bucket: &str) -> S3Result<MutexGuard<'_, Buckets>> {
        let buckets = lock(&self.buckets);
        if buckets.has(bucket) {
            Ok(buckets)
        } else {
            Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
        }
    }

    fn check(
        &self,
        buckets: &Buckets,
        key: &str,
        if_match: Option<&ETagCondition>,
        if_none_match: Option<&ETagCondition>,
    ) -> S3Result<()> {
        match self.options.conditional_writes {
            ConditionalWrites::Ignored => Ok(()),
            ConditionalWrites::NotImplemented if if_match.or(if_none_match).is_some() => {
                Err(s3_error!(NotImplemented, "A header you provided implies functionality that is not implemented."))
            }
            _ => match buckets.allows(key, if_match, if_none_match) {
                Ok(()) => Ok(()),
                Err(Refusal::Missing) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
                Err(Refusal::Failed) => Err(s3_error!(PreconditionFailed, "A precondition did not hold.")),
            },
        }
    }
}

/// Returns the whole body of a write and its checksums. Refuses the request if its own checksum
/// differs.
async fn receive(body: Option<StreamingBlob>, claimed: Option<&String>) -> S3Result<(Bytes, Sums)> {
    let mut body = body.map_or_else(Body::empty, Body::from);
    let bytes = body.store_all_limited(MAX_BODY).await.map_err(|_| s3_error!(IncompleteBody))?;
    let sums = Sums::of(&bytes);
    if claimed.is_some_and(|claimed| *claimed != sums.crc32) {
        return Err(s3_error!(BadDigest, "The checksum you specified did not match what we received."));
    }
    Ok((bytes, sums))
}

/// Returns the bytes to store: others than were sent, if the fault says so.
fn stored<T>(request: &S3Request<T>, bytes: &Bytes, sums: &Sums) -> Stored {
    let lies = request.extensions.get::<Lie>().is_some();
    Stored::new(if lies { flip(bytes) } else { bytes.clone() }, sums)
}

fn reply<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}

fn no_upload() -> S3Error {
    s3_error!(NoSuchUpload, "The specified multipart upload does not exist.")
}

#[async_trait::async_trait]
impl S3 for Operations {
    async fn head_bucket(&self, request: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        drop(self.open(&request.input.bucket)?);
        reply(HeadBucketOutput::default())
    }

    async fn put_object(&self, mut request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let body = request.input.body.take();
        let (bytes, sums) = receive(body, request.input.checksum_crc32.as_ref()).await?;
        let input = &request.input;
        let mut buckets = self.open(&input.bucket)?;
        self.check(&buckets, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        buckets.objects.insert(input.key.clone(), stored(&request, &bytes, &sums));
        reply(PutObjectOutput {
            e_tag: Some(ETag::Strong(sums.etag)),
            checksum_crc32: input.checksum_crc32.clone(),
            ..PutObjectOutput::default()
        })
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        let buckets = self.open(&input.bucket)?;
        let missing = || s3_error!(NoSuchKey, "The specified key does not exist.");
        let object = buckets.version_of(&input.key, input.version_id.as_deref()).ok_or_else(missing)?.clone();
        drop(buckets);
        if input.if_match.as_ref().and_then(|it| it.as_etag()).is_some_and(|it| it.value() != object.etag) {
            return Err(s3_error!(PreconditionFailed));
        }
        let total = object.bytes.len();
        let mut output = GetObjectOutput {
            version_id: self.options.versions.then(|| version(&object)),
            e_tag: Some(ETag::Strong(object.etag)),
            last_modified: Some(object.modified.into()),
            accept_ranges: Some("bytes".to_owned()),
            ..GetObjectOutput::default()
        };
        let bytes = match input.range {
            None => {
                output.checksum_crc32 = object.crc32.filter(|_| input.checksum_mode.is_some());
                object.bytes
            }
            Some(range) => {
                let range = range.check(total as u64)?;
                output.content_range = Some(format!("bytes {}-{}/{total}", range.start, range.end - 1));
                object.bytes.slice(range.start as usize..range.end as usize)
            }
        };
        output.content_length = Some(bytes.len() as i64);
        output.body = Some(StreamingBlob::from(Body::from(bytes)));
        reply(output)
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let buckets = self.open(&request.input.bucket)?;
        let object = buckets.objects.get(&request.input.key).ok_or_else(|| s3_error!(NoSuchKey))?;
        reply(HeadObjectOutput {
            version_id: self.options.versions.then(|| version(object)),
            content_length: Some(object.bytes.len() as i64),
            e_tag: Some(ETag::Strong(object.etag.clone())),
            last_modified: Some(object.modified.into()),
            ..HeadObjectOutput::default()
        })
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.open(&request.input.bucket)?.objects.remove(&request.input.key);
        reply(DeleteObjectOutput::default())
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        let buckets = self.open(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = input.continuation_token.clone().or(input.start_after);
        let page = self.options.page.min(input.max_keys.map_or(usize::MAX, |most| most as usize));
        let mut found = buckets
            .objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after));
        let contents: Vec<Object> = found.by_ref().take(page).map(|(key, object)| describe(key, object)).collect();
        let more = found.next().is_some();
        reply(ListObjectsV2Output {
            name: Some(input.bucket),
            key_count: Some(contents.len() as i32),
            is_truncated: Some(more),
            next_continuation_token: contents.last().filter(|_| more).and_then(|last| last.key.clone()),
            contents: Some(contents),
            prefix: Some(prefix),
            continuation_token: input.continuation_token,
            ..ListObjectsV2Output::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        let id = self.open(&input.bucket)?.begin(&input.key);
        reply(CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            ..CreateMultipartUploadOutput::default()
        })
    }

    async fn upload_part(&self, mut request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let body = request.input.body.take();
        let (bytes, sums) = receive(body, request.input.checksum_crc32.as_ref()).await?;
        let input = &request.input;
        let mut buckets = self.open(&input.bucket)?;
        let upload = buckets.uploads.get_mut(&input.upload_id).filter(|it| it.key == input.key);
        upload.ok_or_else(no_upload)?.parts.insert(input.part_number, stored(&request, &bytes, &sums));
        reply(UploadPartOutput {
            e_tag: Some(ETag::Strong(sums.etag)),
            checksum_crc32: input.checksum_crc32.clone(),
            ..UploadPartOutput::default()
        })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = &request.input;
        let mut buckets = self.open(&input.bucket)?;
        self.check(&buckets, &input.key, input.if_match.as_ref(), input.if_none_match.as_ref())?;
        let upload = buckets.uploads.get(&input.upload_id).filter(|it| it.key == input.key).ok_or_else(no_upload)?;
        let listed = input.multipart_upload.as_ref().and_then(|it| it.parts.as_ref());
        let mut whole = BytesMut::new();
        for part in listed.ok_or_else(|| s3_error!(MalformedXML))? {
            let there = part.part_number.and_then(|number| upload.parts.get(&number));
            let etag = part.e_tag.as_ref().map(ETag::value);
            let there = there.filter(|it| etag == Some(&it.etag)).ok_or_else(|| s3_error!(InvalidPart))?;
            whole.extend_from_slice(&there.bytes);
        }
        let bytes = whole.freeze();
        let sums = Sums::of(&bytes);
        // As in S3: the checksum of an object of parts is one of checksums, and its etag contains
        // the number of parts.
        let etag = format!("{}-{}", sums.etag, upload.parts.len());
        let object = Stored { etag: etag.clone(), crc32: None, ..stored(&request, &bytes, &sums) };
        buckets.uploads.remove(&input.upload_id);
        buckets.objects.insert(input.key.clone(), object);
        reply(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            e_tag: Some(ETag::Strong(etag)),
            ..CompleteMultipartUploadOutput::default()
        })
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let mut buckets = self.open(&request.input.bucket)?;
        buckets.uploads.remove(&request.input.upload_id).ok_or_else(no_upload)?;
        reply(AbortMultipartUploadOutput::default())
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        let buckets = self.open(&input.bucket)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let marker = (input.key_marker.clone().unwrap_or_default(), input.upload_id_marker.clone().unwrap_or_default());
        let mut sorted: Vec<_> =
            buckets.uploads.iter().map(|(id, it)| (it.key.clone(), id.clone(), it.started)).collect();
        sorted.sort();
        sorted.retain(|(key, id, _)| key.starts_with(&prefix) && (key, id) > (&marker.0, &marker.1));
        let more = sorted.len() > self.options.page;
        sorted.truncate(self.options.page);
        let last = sorted.last().filter(|_| more).cloned();
        let uploads = sorted.into_iter().map(|(key, id, started)| MultipartUpload {
            key: Some(key),
            upload_id: Some(id),
            initiated: Some(started.into()),
            ..MultipartUpload::default()
        });
        reply(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            is_truncated: Some(more),
            next_key_marker: last.as_ref().map(|(key, ..)| key.clone()),
            next_upload_id_marker: last.map(|(_, id, _)| id),
            uploads: Some(uploads.collect()),
            prefix: Some(prefix),
            ..ListMultipartUploadsOutput::default()
        })
    }
}

fn describe(key: &str, object: &Stored) -> Object {
    Object {
        key: Some(key.to_owned()),
        size: Some(object.bytes.len() as i64),
        e_tag: Some(ETag::Strong(object.etag.clone())),
        last_modified: Some(object.modified.into()),
        ..Object::default()
    }
}
