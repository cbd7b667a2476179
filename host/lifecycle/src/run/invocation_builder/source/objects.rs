//! Objects of a bucket as the content of a source.
//!
//! One object is kept as it is, all objects below a prefix as a pack, in byte order of their keys.
//! A list beside it says what was read: key, size, ETag, version and digest of each object.
//!
//! If a listing is one that was read before, with the same sizes, ETags and times, the stored
//! content is taken and nothing is fetched. An ETag is not a digest: it says that a store has not
//! replaced an object, as far as the store is believed. What is trained on is named by the digest
//! of the content in any case. A stage with `cache = false` always fetches.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use stagewright_data::{DataError, PackWriter};
use stagewright_manifest::{ObjectSource, StageSection, Step};
use stagewright_promotion::{ObjectPart, Settings, SourceObject, SourceObjectError, SourceObjects, source_objects};
use stagewright_store::{Blob, BlobWriter, Digest, read_regular_text};

use super::fetch_error::fetch_error;
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::invocation::SourceFormat;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::settings;

/// The most objects below a prefix.
const MAX_OBJECTS: usize = 100_000;
/// The longest note of what was read: two digests.
const LONGEST_NOTE: u64 = 512;

/// The content that was read, and its list.
pub(super) struct Fetched {
    pub(super) reading: SourceFormat,
    pub(super) content: Blob,
    pub(super) list: Blob,
}

/// A line of the list.
#[derive(Serialize)]
struct Listed<'a> {
    uri: String,
    endpoint: &'a str,
    size: u64,
    /// As the store tells it, without quotes.
    etag: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    sha256: String,
}

/// Reads the objects of a source, or takes them from the store if they have not changed.
pub(super) fn fetch(
    run: &Run,
    execution: &Execution,
    (step, stage): (&Step, &StageSection),
    source: &ObjectSource,
) -> Result<Fetched, RunError> {
    let place = format!("s3://{}/{}", source.bucket, source.key);
    let failed = |error| fetch_error(error, execution, stage);
    if !stage.s3.iter().any(|grant| grant.allows(&source.bucket, &source.key)) {
        return Err(StageFault::Denied {
            stage: execution.world.into(),
            component: execution.component.name.clone(),
            what: format!("the objects of `{place}`"),
            grant: format!(
                "to grant it, write `s3 = [\"{}/{}\"]` under [stages.{}]",
                source.bucket, source.key, stage.name
            ),
        }
        .into());
    }
    let mut settings = Settings {
        endpoint: source.endpoint.clone(),
        region: source.region.clone(),
        path_style: source.path_style,
        ..run.request.s3.clone()
    };
    if let Some(endpoint) = &source.endpoint {
        // The host's own address of a store needs no grant. One of a manifest does, as any server.
        let grants = settings::host_grants(&stage.http);
        stagewright_data::check_granted(endpoint, &grants).map_err(failed)?;
        settings.addresses = Some(Arc::new(move |host| stagewright_data::granted_addresses(host, &grants)));
    }
    let (interrupt, deadline) = (execution.interrupt(), execution.deadline());
    let stop = || interrupt.is_set() || Instant::now() >= deadline;
    let met = |error: SourceObjectError| failed(in_words(error, &place));
    let bucket = source_objects(&source.bucket, &settings).map_err(met)?;
    let objects = if source.is_prefix() {
        with_data(bucket.list(&source.key, MAX_OBJECTS, &stop).map_err(met)?, &place, bucket.endpoint())
            .map_err(failed)?
    } else {
        vec![bucket.look_up(&source.key, &stop).map_err(met)?]
    };
    let used = objects.iter().fold(0, |sum: u64, object| sum.saturating_add(object.size));
    if used > source.max_bytes {
        return Err(failed(DataError::TooLarge { used, allowed: source.max_bytes }));
    }
    let format = source.format.of(objects.iter().map(|object| object.key.as_str()));
    let format = format.map_err(|key| failed(unknown_format(&source.bucket, key)))?;
    let reading = settings::body_reading(&format);
    let reading = if source.is_prefix() { SourceFormat::Pack { of: Box::new(reading) } } else { reading };

    let note = Note::of(run, bucket.endpoint(), source, &objects);
    let reuse = &run.request.reuse;
    let may_reuse = stage.cache && !reuse.nothing && !reuse.refresh.contains(&step.id);
    if let Some((content, list)) = note.read().filter(|_| may_reuse).and_then(|kept| stored(execution, kept)) {
        return Ok(Fetched { reading, content, list });
    }
    let (content, list) = read(execution, &*bucket, source, &objects, &stop).map_err(|error| match error {
        ReadError::Objects(error) => met(error),
        ReadError::Run(error) => error,
    })?;
    note.write(content.digest(), list.digest());
    Ok(Fetched { reading, content, list })
}

enum ReadError {
    Objects(SourceObjectError),
    Run(RunError),
}

/// Reads objects into one blob, and lists them in another.
fn read(
    execution: &Execution,
    bucket: &dyn SourceObjects,
    source: &ObjectSource,
    objects: &[SourceObject],
    stop: &dyn Fn() -> bool,
) -> Result<(Blob, Blob), ReadError> {
    let blob = || execution.create_blob().map_err(|fault| ReadError::Run(fault.into()));
    let kept = |error: &dyn std::fmt::Display| ReadError::Run(StageFault::host(error).into());
    let mut content = if source.is_prefix() { Content::Pack(PackWriter::new(blob()?)) } else { Content::One(blob()?) };
    let (mut list, mut hasher) = (String::new(), Sha256::new());
    let received = bucket.read(objects, stop, &mut |part| {
        let written = match part {
            ObjectPart::Begin(object) => content.begin(object),
            ObjectPart::Bytes(bytes) => {
                hasher.update(bytes);
                content.write(bytes)
            }
            ObjectPart::End(object) => {
                let digest = Digest::from_bytes(std::mem::take(&mut hasher).finalize().into());
                let listed = Listed {
                    uri: format!("s3://{}/{}", source.bucket, object.key),
                    endpoint: bucket.endpoint().trim_matches('`'),
                    size: object.size,
                    etag: object.etag.trim_matches('"'),
                    version: object.version.as_deref(),
                    sha256: digest.to_hex(),
                };
                list.push_str(&serde_json::to_string(&listed).map_err(|error| error.to_string())?);
                list.push('\n');
                Ok(())
            }
        };
        written.map_err(|error| format!("what the store sends cannot be kept: {error}"))
    });
    received.map_err(ReadError::Objects)?;
    let content = content.finish().map_err(|error| kept(&error))?;
    let mut lines = blob()?;
    lines.write_all(list.as_bytes()).map_err(|error| kept(&error))?;
    let lines = lines.finish().map_err(|error| kept(&error))?;
    Ok((content.finish().map_err(|error| kept(&error))?, lines))
}

/// The content while it is written.
enum Content {
    One(BlobWriter),
    Pack(PackWriter<BlobWriter>),
}

impl Content {
    fn begin(&mut self, object: &SourceObject) -> std::io::Result<()> {
        match self {
            Self::One(_) => Ok(()),
            Self::Pack(pack) => pack.begin(&object.key, object.size),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::One(blob) => blob.write_all(bytes),
            Self::Pack(pack) => pack.write_all(bytes),
        }
    }

    fn finish(self) -> std::io::Result<BlobWriter> {
        match self {
            Self::One(blob) => Ok(blob),
            Self::Pack(pack) => pack.finish(),
        }
    }
}

/// Returns the objects that hold data. Markers of folders do not, and neither do names that begin
/// with `_` or `.`, as in Spark and Hive (`_SUCCESS`).
fn with_data(mut objects: Vec<SourceObject>, place: &str, endpoint: &str) -> Result<Vec<SourceObject>, DataError> {
    let all = objects.len();
    objects.retain(|object| {
        let name = object.key.rsplit('/').next().unwrap_or_default();
        !(name.is_empty() || name.starts_with(['_', '.']))
    });
    if !objects.is_empty() {
        return Ok(objects);
    }
    let skipped = match all {
        0 => String::new(),
        1 => "; the one that is there is a marker (its name is empty, or begins with `_` or `.`)".to_owned(),
        all => format!("; the {all} that are there are markers (their names are empty, or begin with `_` or `.`)"),
    };
    Err(DataError::Unreadable {
        path: place.to_owned(),
        message: format!("there is no object below this prefix at {endpoint}{skipped}"),
        hint: "check bucket and prefix, and the values of a template: `{date}` is that of `as-of`, which `--set as-of=...` changes, or that of the source's `values`".to_owned(),
    })
}

fn unknown_format(bucket: &str, key: &str) -> DataError {
    DataError::Unreadable {
        path: format!("s3://{bucket}/{key}"),
        message: "its ending tells no format that the first object below the prefix has too".to_owned(),
        hint: "write `format = \"csv\"` (or another) if all objects have that one; else name a prefix with objects of one kind alone".to_owned(),
    }
}

fn in_words(error: SourceObjectError, place: &str) -> DataError {
    let unreachable = |uri: String, message: String, hint: String| DataError::Unreachable {
        url: stagewright_data::shown(&uri),
        message,
        hint,
    };
    match error {
        SourceObjectError::Stopped => DataError::Interrupted,
        SourceObjectError::Store { uri, message, hint } => unreachable(uri, message, hint),
        SourceObjectError::TooMany { most } => unreachable(
            place.to_owned(),
            format!("there are more than {most} objects below this prefix"),
            "name a longer prefix".to_owned(),
        ),
        SourceObjectError::Settings(error) => {
            let text = error.to_string();
            let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
            unreachable(place.to_owned(), message.to_owned(), hint.to_owned())
        }
        SourceObjectError::Receiver(reason) => DataError::Host(reason),
    }
}

fn stored(execution: &Execution, (content, list): (Digest, Digest)) -> Option<(Blob, Blob)> {
    let artifacts = &execution.session.artifacts;
    Some((artifacts.open_blob(&content).ok()?, artifacts.open_blob(&list).ok()?))
}

/// The note of what a listing gave. Without it, objects are fetched again.
struct Note(PathBuf);

impl Note {
    fn of(run: &Run, endpoint: &str, source: &ObjectSource, objects: &[SourceObject]) -> Self {
        let mut text = String::new();
        // Lengths keep names apart. Writing to a text does not fail.
        let mut field = |value: &str| {
            let _ = write!(text, "{}:{value}", value.len());
        };
        ["1", endpoint, &source.bucket, &source.key].into_iter().for_each(&mut field);
        for object in objects {
            let version = object.version.as_deref().unwrap_or_default();
            let modified = object.modified.map(|time| time.to_string()).unwrap_or_default();
            [&object.key, &object.size.to_string(), &object.etag, version, &modified].into_iter().for_each(&mut field);
        }
        Self(run.request.home.cache_dir().join("objects").join(Digest::of(text.as_bytes()).to_hex()))
    }

    fn read(&self) -> Option<(Digest, Digest)> {
        let text = read_regular_text(&self.0, LONGEST_NOTE).ok()?;
        let (content, list) = text.strip_suffix('\n')?.split_once(' ')?;
        Some((content.parse().ok()?, list.parse().ok()?))
    }

    fn write(&self, content: Digest, list: Digest) {
        let Some(folder) = self.0.parent() else { return };
        let kept = std::fs::create_dir_all(folder).and_then(|()| tempfile::NamedTempFile::new_in(folder)).and_then(
            |mut note| {
                writeln!(note, "{content} {list}")?;
                note.persist(&self.0).map_err(|error| error.error)
            },
        );
        // On error, the next run fetches again.
        drop(kept);
    }
}
