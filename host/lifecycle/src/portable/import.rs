//! The import of a run, from a file that anybody may have written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use serde_json::Value;
use stagewright_store::{
    ArtifactKind, CACHED, Digest, FAILED, FINISHED, Home, ImportedRun, LogLine, LoggedMetric, NewRun, RunId, RunStatus,
    SOURCE_TAG, StageRecord, Staging, StoreError,
};
use stagewright_text::Untrusted;

use super::archive::Reader;
use super::{
    CHECK, FORMAT, Figure, HEAD, Head, MAX_DOCUMENT, MAX_HEAD, Object, PortableError, RunPart, StagePart, check_of,
    components, finished, needed,
};
use crate::fault::GUEST_TEXT;
use crate::run::config::{BASE_RUN, CHANGES, CHILD, RESUMES};
use crate::sandbox::Level;

/// The size of the parts that are read, in bytes.
const PIECE: usize = 256 << 10;

/// The keys of a run's configuration that name files and runs of the other machine.
const ELSEWHERE: [&str; 5] = ["file", CHANGES, BASE_RUN, RESUMES, CHILD];

/// An import whose first entry was read.
pub struct Import {
    file: String,
    reader: Reader<BufReader<File>>,
    /// The content of the last entry.
    check: String,
    run: ImportedRun,
    objects: Vec<Object>,
    signatures: Vec<String>,
    /// The roles of the artifacts in the run.
    parts: BTreeMap<(Digest, ArtifactKind), String>,
    components: BTreeSet<(String, Digest)>,
}

/// A run whose artifacts were all read and verified. They are not published yet.
pub struct Staged {
    run: ImportedRun,
    staging: Staging,
}

impl Import {
    /// Opens a file and reads its first entry.
    ///
    /// # Errors
    /// [`PortableError`] if the file cannot be read or is not an exported run.
    pub fn begin(path: &Path) -> Result<Self, PortableError> {
        let file = path.display().to_string();
        let cannot = |reason| PortableError::File { action: "read", file: file.clone(), reason };
        let wrong = |problem: String| PortableError::Format { file: file.clone(), entry: None, problem };
        let opened = stagewright_store::open_regular(path).map_err(cannot)?;
        let mut reader = Reader::new(BufReader::with_capacity(PIECE, opened));
        let bytes = reader.first(HEAD).map_err(cannot)?.map_err(wrong)?;
        if bytes > MAX_HEAD {
            return Err(wrong(format!("`{HEAD}` has {bytes} bytes, and may have {MAX_HEAD}")));
        }
        let mut text = Vec::new();
        let mut content = reader.content(bytes);
        content.read_to_end(&mut text).map_err(cannot)?;
        let left = content.limit();
        reader.after(bytes, left).map_err(cannot)?.map_err(wrong)?;
        let Head { run, stages, signatures, objects, .. } = head(&text).map_err(wrong)?;
        let stages: Vec<_> = stages.into_iter().map(StagePart::whole).collect();
        stages.iter().try_for_each(in_our_words).map_err(wrong)?;
        let invocations = finished(&stages)?;
        let needed = needed(&stages, &invocations);
        let parts = needed.into_iter().map(|(kind, digest, what)| ((digest, kind), what)).collect();
        listed(&objects, &parts).map_err(wrong)?;
        if run.status == RunStatus::Running {
            return Err(wrong("the run had not ended".to_owned()));
        }
        let components = components(&invocations);
        let check = check_of(&text);
        let run = recorded(run, stages);
        Ok(Self { file: file.clone(), reader, check, run, objects, signatures, parts, components })
    }

    /// Returns the components in the file, by name and digest.
    pub fn components(&self) -> &BTreeSet<(String, Digest)> {
        &self.components
    }

    /// Returns the texts that claim to be signatures of these components.
    pub fn signatures(&self) -> &[String] {
        &self.signatures
    }

    /// Reads and verifies everything. `source` is recorded as the origin of the file.
    ///
    /// # Errors
    /// [`PortableError`] if a content does not match its digest, or if the file is not in canonical
    /// form.
    pub fn stage(mut self, home: &Home, source: &str) -> Result<Staged, PortableError> {
        self.run.run.tags.push((SOURCE_TAG.to_owned(), source.to_owned()));
        // This comes before the long work, and nothing is published that cannot be recorded.
        self.run.check()?;
        let staging = home.artifacts.stage();
        for object in std::mem::take(&mut self.objects) {
            self.object(&object, &staging)?;
        }
        let Self { file, mut reader, check, run, .. } = self;
        let cannot = |reason| PortableError::File { action: "read", file: file.clone(), reason };
        let wrong = |problem: String| PortableError::Format { file: file.clone(), entry: None, problem };
        let bytes = check.len() as u64;
        reader.next(CHECK, bytes).map_err(cannot)?.map_err(wrong)?;
        let mut found = Vec::new();
        let mut content = reader.content(bytes);
        content.read_to_end(&mut found).map_err(cannot)?;
        let left = content.limit();
        reader.after(bytes, left).map_err(cannot)?.map_err(wrong)?;
        if found != check.as_bytes() {
            return Err(wrong(format!("`{HEAD}` is not what `{CHECK}` says: it was changed or damaged")));
        }
        reader.end().map_err(cannot)?.map_err(wrong)?;
        Ok(Staged { run, staging })
    }

    fn object(&mut self, object: &Object, staging: &Staging) -> Result<(), PortableError> {
        let Self { file, reader, parts, .. } = self;
        let Object { digest, kind, bytes, file: whole } = *object;
        let cannot = |reason| PortableError::File { action: "read", file: file.clone(), reason };
        let wrong =
            |problem: String| PortableError::Format { file: file.clone(), entry: Some(object.entry()), problem };
        let damaged = || PortableError::Damaged {
            file: file.clone(),
            kind,
            digest,
            what: parts.get(&(digest, kind)).cloned().unwrap_or_default(),
        };
        reader.next(&object.entry(), bytes).map_err(cannot)?.map_err(wrong)?;
        let mut content = reader.content(bytes);
        let found = match kind {
            ArtifactKind::Table => match staging.bring_table(digest, &mut content) {
                // The file is compared, too, because some of its bytes are not part of a value. It
                // must be the exported file.
                Ok(table) => {
                    let path = staging.path(kind, &digest).ok_or_else(damaged)?;
                    let found = File::open(path).and_then(Digest::of_reader).map_err(cannot)?;
                    if whole == Some(found) { Ok(table.digest()) } else { Err(damaged()) }
                }
                Err(StoreError::Damaged { .. } | StoreError::DigestDiffers { .. }) => Err(damaged()),
                Err(error) => return Err(error.into()),
            },
            ArtifactKind::Blob => {
                let mut writer = staging.create_blob()?;
                let mut piece = vec![0; PIECE];
                loop {
                    match content.read(&mut piece).map_err(cannot)? {
                        0 => break,
                        read => writer.write(&piece[..read])?,
                    }
                }
                Ok(writer.finish()?.digest())
            }
            ArtifactKind::Document => {
                let mut text = Vec::new();
                content.read_to_end(&mut text).map_err(cannot)?;
                Ok(staging.put_document("", text)?.digest())
            }
        };
        let left = content.limit();
        // A truncated content is reported as such, and not as another digest.
        if left > 0 {
            return Err(wrong("it is cut off".to_owned()));
        }
        if found? != digest {
            return Err(damaged());
        }
        reader.after(bytes, 0).map_err(cannot)?.map_err(wrong)
    }
}

/// Parses the first entry.
fn head(text: &[u8]) -> Result<Head, String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        format: u32,
    }
    let reason = |error: serde_json::Error| format!("`{HEAD}` cannot be read: {error}");
    // The format is checked first, because a later format may have other members.
    let Versioned { format } = serde_json::from_slice(text).map_err(reason)?;
    if format != FORMAT {
        return Err(format!("it has format {format}, and this program reads format {FORMAT}"));
    }
    serde_json::from_slice(text).map_err(reason)
}

/// Checks that the list of artifacts is the one that an export writes: those that are needed,
/// without duplicates and in order.
fn listed(objects: &[Object], parts: &BTreeMap<(Digest, ArtifactKind), String>) -> Result<(), String> {
    for pair in objects.windows(2) {
        if (pair[0].digest, pair[0].kind) >= (pair[1].digest, pair[1].kind) {
            return Err(format!("the artifacts are not listed in order, each once: `{}`", pair[1].entry()));
        }
    }
    if let Some(strange) = objects.iter().find(|object| !parts.contains_key(&(object.digest, object.kind))) {
        return Err(format!("no step of the run needs `{}`", strange.entry()));
    }
    let documents = objects.iter().filter(|object| object.kind == ArtifactKind::Document);
    if let Some(long) = documents.clone().find(|object| object.bytes > MAX_DOCUMENT) {
        return Err(format!("`{}` has {} bytes, and may have {MAX_DOCUMENT}", long.entry(), long.bytes));
    }
    let brought: BTreeSet<_> = objects.iter().map(|object| (object.digest, object.kind)).collect();
    match parts.iter().find(|(place, _)| !brought.contains(place)) {
        Some(((digest, kind), what)) => Err(format!("{kind} `{digest}` is missing, which is {what}")),
        None => Ok(()),
    }
}

/// Checks that the statuses and levels in a record are known to this program.
fn in_our_words(stage: &StageRecord) -> Result<(), String> {
    let unknown = |what, word: &str| Err(format!("`{}` is no {what}", Untrusted::new(word).cut(GUEST_TEXT)));
    if ![FINISHED, CACHED, FAILED].contains(&stage.status.as_str()) {
        return unknown("status of a stage", &stage.status);
    }
    let is_unknown = |line: &&LogLine| Level::named(&line.level).is_none();
    stage.logs.iter().find(is_unknown).map_or(Ok(()), |line| unknown("level of a line", &line.level))
}

/// Returns the run as this registry records it.
fn recorded(run: RunPart, stages: Vec<StageRecord>) -> ImportedRun {
    let mut config = run.config;
    // These name files and runs of another machine, and must not be followed here.
    if let Value::Object(members) = &mut config {
        let elsewhere = ELSEWHERE.iter().filter_map(|key| Some(((*key).to_owned(), members.remove(*key)?)));
        let elsewhere: serde_json::Map<_, _> = elsewhere.collect();
        members.insert("elsewhere".to_owned(), elsewhere.into());
    }
    let actor = (format!("{SOURCE_TAG}.actor"), run.actor);
    let figure = |Figure { name, value, step, at_ms }: Figure| LoggedMetric {
        name,
        value: value.unwrap_or(f64::NAN),
        step,
        at_ms,
    };
    ImportedRun {
        run: NewRun {
            run_id: Some(run.run_id),
            name: run.name,
            pipeline: run.pipeline,
            experiment: run.experiment,
            seed: run.seed,
            manifest: run.manifest,
            config,
            parameters: run.parameters,
            // The last tag with a name counts, so the file cannot set its own origin.
            tags: run.tags.into_iter().chain([actor]).collect(),
        },
        status: run.status,
        started_ms: run.started_ms,
        ended_ms: run.ended_ms,
        error: run.error,
        // Results of another machine are never reused here. With a key, a result would count as
        // this machine's own, and `cached_from` would name a run of this registry.
        stages: stages.into_iter().map(|stage| StageRecord { key: None, cached_from: None, ..stage }).collect(),
        results: run.results.into_iter().map(figure).collect(),
    }
}

impl Staged {
    /// Publishes the artifacts and records the run.
    ///
    /// # Errors
    /// [`StoreError::RunExists`], before anything is published, if the run is here already; or an
    /// error of the store.
    pub fn commit(self, home: &Home) -> Result<RunId, PortableError> {
        let Self { run, staging } = self;
        if let Some(id) = &run.run.run_id
            && home.registry.run(id.as_str()).is_ok()
        {
            return Err(StoreError::RunExists { id: id.to_string() }.into());
        }
        staging.publish()?;
        Ok(home.registry.import_run(&run)?)
    }
}
