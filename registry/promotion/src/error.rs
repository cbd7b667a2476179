//! The errors of promoting a version and of reading it in production.
//!
//! No text holds a secret: of the SDK's errors, only codes and messages of the service are used,
//! never a request.

use std::io;
use std::path::{Path, PathBuf};

use stagewright_store::Digest;

/// An error of a destination.
#[derive(Debug, thiserror::Error)]
pub enum PromotionError {
    /// The text does not name a destination.
    #[error(
        "`{uri}` is not a destination: {problem}\nhint: write `s3://bucket/prefix`, `file:PATH`, or the path of a directory; commands take it by --destination"
    )]
    BadUri {
        /// The text, without a user or password in it.
        uri: String,
        /// The problem.
        problem: &'static str,
    },
    /// Another registry moved the pointer there.
    #[error(
        "`{uri}` points to version {version} of model `{model}` by another registry's promotion\nhint: give each registry a destination of its own; if this registry was restored from a backup that is older than the pointer, remove the key `models/{model}/champion.json` there and promote again"
    )]
    OtherRegistry {
        /// The destination.
        uri: String,
        /// The model's name.
        model: String,
        /// The version that it points to.
        version: u32,
    },
    /// This build does not include S3.
    #[error(
        "`{uri}` needs S3, which this build was made without\nhint: take the standard build of stagewright, or build with `--features s3`"
    )]
    WithoutS3 {
        /// The URI.
        uri: String,
    },
    /// There are no credentials.
    #[error(
        "no credentials for `{uri}`: {problem}\nhint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment or in `.env`, or name a profile of ~/.aws/credentials with AWS_PROFILE; `aws configure export-credentials --format env` gives those of a role or of single sign-on"
    )]
    NoCredentials {
        /// The destination.
        uri: String,
        /// The credentials that are missing.
        problem: String,
    },
    /// A credential, a region or an endpoint has an impossible value.
    #[error(
        "{name} {problem}\nhint: set it again, e.g. `export NAME=\"$(tr -d '[:space:]' < FILE)\"` if it comes from a file"
    )]
    BadSetting {
        /// The variable, or the key of a profile or a destination. Its value is not repeated: it
        /// may be a secret.
        name: String,
        /// The problem with its value.
        problem: &'static str,
    },
    /// The store does not accept the credentials.
    #[error(
        "the credentials for `{uri}` are refused: {code}\nhint: see that AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together and to this endpoint, and that AWS_SESSION_TOKEN has not expired"
    )]
    BadCredentials {
        /// The destination.
        uri: String,
        /// The store's code: `SignatureDoesNotMatch`.
        code: String,
    },
    /// The bucket does not exist.
    #[error(
        "no bucket `{bucket}` at {endpoint}\nhint: create it, or correct the name in the destination; a promotion never creates one"
    )]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// The endpoint, or the region if it is AWS.
        endpoint: String,
    },
    /// The credentials lack a permission.
    #[error(
        "not allowed to {action} `{key}` at `{uri}`: {code}\nhint: a promotion needs s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucketMultipartUploads for this bucket and prefix"
    )]
    AccessDenied {
        /// The destination.
        uri: String,
        /// A verb: `write`.
        action: &'static str,
        /// The key, relative to the destination.
        key: String,
        /// The store's code.
        code: String,
    },
    /// The bucket is in another region.
    #[error("bucket `{bucket}` is not in region `{region}`{}\nhint: set AWS_REGION to the bucket's region", actual.as_ref().map(|it| format!(" but in `{it}`")).unwrap_or_default())]
    WrongRegion {
        /// The bucket.
        bucket: String,
        /// The region that requests were signed for.
        region: String,
        /// The bucket's own region, if the store names it.
        actual: Option<String>,
    },
    /// The store cannot be reached.
    #[error(
        "cannot reach {endpoint}: {problem}\nhint: see that the address is right (AWS_ENDPOINT_URL_S3 for a store that is not AWS) and that this machine may connect to it"
    )]
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// The network's error.
        problem: String,
    },
    /// The store does not support conditional writes, so that it cannot move a pointer safely.
    #[error(
        "`{uri}` lacks conditional writes: {problem}\nhint: use a store that honours If-None-Match and If-Match (AWS S3, MinIO and Cloudflare R2 do), or a directory; without them two promotions could overwrite one another"
    )]
    NoConditionalWrites {
        /// The destination.
        uri: String,
        /// Its behaviour instead.
        problem: &'static str,
    },
    /// No attempt of a request succeeded.
    #[error(
        "cannot {action} `{key}` at `{uri}`: {problem} ({attempts} attempts)\nhint: try again when the store answers; what was uploaded is kept, and production is as it was"
    )]
    Unanswered {
        /// The destination.
        uri: String,
        /// A verb: `read`.
        action: &'static str,
        /// The key, relative to the destination.
        key: String,
        /// The last attempt's problem.
        problem: String,
        /// The number of attempts.
        attempts: u32,
    },
    /// The store refused a request.
    #[error("cannot {action} `{key}` at `{uri}`: {problem}")]
    Refused {
        /// The destination.
        uri: String,
        /// A verb: `write`.
        action: &'static str,
        /// The key, relative to the destination.
        key: String,
        /// The store's code and message.
        problem: String,
    },
    /// The operating system refused an operation on a file.
    #[error("cannot {action} `{}`: {source}{}", path.display(), io_hint(source))]
    Io {
        /// A verb: `write`, `open`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A key would lead out of the destination, or could not be a file name.
    #[error("`{key}` is not a key\nhint: the names of models have 1 to 128 letters, digits, `.`, `_` or `-`")]
    BadKey {
        /// The key, at most its first 200 characters.
        key: String,
    },
    /// A local file does not have its digest.
    #[error(
        "`{}` is damaged: {problem}, not `{digest}`\nhint: delete the file and run the pipeline again; nothing of it is left at the destination", path.display()
    )]
    LocalDiffers {
        /// The file.
        path: PathBuf,
        /// The digest that it should have.
        digest: Digest,
        /// The problem.
        problem: String,
    },
    /// The uploaded bytes differ from the local file.
    #[error(
        "`{key}` at `{uri}` differs from what was uploaded: {problem}\nhint: production is as it was; try again, and if it happens again, the store or the way to it damages data"
    )]
    UploadDiffers {
        /// The destination.
        uri: String,
        /// The key, relative to the destination.
        key: String,
        /// The difference, and what was done about it.
        problem: String,
    },
    /// Another registry wrote this version.
    #[error(
        "version {version} of model `{model}` is at `{uri}` already, with other content\nhint: another registry uses this destination; give each its own prefix"
    )]
    VersionTaken {
        /// The destination.
        uri: String,
        /// The model.
        model: String,
        /// The version.
        version: u32,
    },
    /// Another process moved the pointer.
    #[error(
        "the champion of model `{model}` at `{uri}` was moved by someone else: it is {actual}\nhint: look at it, and promote again if yours should replace it"
    )]
    LostRace {
        /// The destination.
        uri: String,
        /// The model.
        model: String,
        /// The pointer's content: `version 3, promotion ..`, or `gone`.
        actual: String,
    },
    /// Nothing was promoted yet.
    #[error("model `{model}` has no champion at `{uri}`\nhint: promote a version of it there first")]
    NoChampion {
        /// The destination.
        uri: String,
        /// The model.
        model: String,
    },
    /// The version is not at the destination.
    #[error("version {version} of model `{model}` is not at `{uri}`")]
    NoVersion {
        /// The destination.
        uri: String,
        /// The model.
        model: String,
        /// The version.
        version: u32,
    },
    /// An object, a manifest or a pointer at the destination is damaged.
    #[error(
        "`{key}` at `{uri}` is damaged: {problem}\nhint: promote the version again: what is damaged is uploaded anew"
    )]
    Damaged {
        /// The destination.
        uri: String,
        /// The key, relative to the destination.
        key: String,
        /// The problem.
        problem: String,
    },
    /// The version was not judged yet, so that its manifest would change later.
    #[error(
        "version {version} of model `{model}` was not judged yet, so its manifest is not final\nhint: judge it first: stagewright gate {model}/{version} --record"
    )]
    Unmeasured {
        /// The model.
        model: String,
        /// The version.
        version: u32,
    },
    /// The manifest to upload does not describe its objects.
    #[error("the manifest of version {version} of model `{model}` cannot be promoted: {problem}")]
    BadManifest {
        /// The model.
        model: String,
        /// The version.
        version: u32,
        /// The problem.
        problem: String,
    },
}

/// Returns what to do about a full disk, or a directory without permission.
fn io_hint(error: &io::Error) -> &'static str {
    use io::ErrorKind::{
        FileTooLarge, NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, Unsupported,
    };
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => "\nhint: free some space on that disk, or use another",
        PermissionDenied | ReadOnlyFilesystem => "\nhint: see that you may write there",
        NotADirectory => "\nhint: name a directory, or a path where one can be created",
        Unsupported => "\nhint: use a file system with locks, or `s3://`",
        _ => "",
    }
}

/// Wraps an I/O error with the action and the file.
pub(crate) fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> PromotionError + 'a {
    move |source| PromotionError::Io { action, path: path.to_owned(), source }
}
