//! The index of a name at a remote.

use serde::{Deserialize, Serialize};
use stagewright_promotion::{Condition, Destination, Etag, Put};
use stagewright_store::{ArtifactKind, DataKind, DataVersion, DataVersionRecord, Digest, check_data_name};

use crate::error::DataVersionsError;

/// The prefix of all keys.
const DATA: &str = "data/";
/// The end of an index's key.
const INDEX: &str = "/index.json";
/// The format of indices that this program writes and reads.
const FORMAT: u32 = 1;
/// The most characters of a text in a record that comes from a remote.
const MAX_TEXT: usize = 4096;

/// The versions of a name at a remote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteIndex {
    format: u32,
    /// The name.
    pub name: String,
    /// The versions, by number.
    pub versions: Vec<RemoteVersion>,
}

/// A version at a remote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteVersion {
    /// Its record.
    pub record: DataVersionRecord,
    /// The files of its artifacts, in the order of the record's.
    pub objects: Vec<RemoteObject>,
}

/// The file of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteObject {
    /// The SHA-256 of its bytes.
    pub sha256: Digest,
    /// Its length.
    pub size: u64,
}

impl RemoteVersion {
    /// Returns the bytes of all its files.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().fold(0, |sum, object| sum.saturating_add(object.size))
    }
}

impl RemoteIndex {
    /// Returns an index without versions.
    pub fn new(name: &str) -> Self {
        Self { format: FORMAT, name: name.to_owned(), versions: Vec::new() }
    }

    /// Returns the version of this number.
    pub fn version(&self, version: DataVersion) -> Option<&RemoteVersion> {
        self.versions.iter().find(|known| known.record.version == version)
    }

    /// Adds versions, and keeps the order.
    pub fn add(&mut self, versions: impl IntoIterator<Item = RemoteVersion>) {
        self.versions.extend(versions);
        self.versions.sort_by_key(|version| version.record.version);
    }

    /// Returns the bytes to store. A version has a line.
    fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let name = serde_json::to_string(&self.name)?;
        let mut bytes = format!("{{\"format\":{FORMAT},\"name\":{name},\"versions\":[").into_bytes();
        for (at, version) in self.versions.iter().enumerate() {
            bytes.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
            serde_json::to_writer(&mut bytes, version)?;
        }
        bytes.extend_from_slice(b"\n]}\n");
        Ok(bytes)
    }

    /// Parses the index of `name`, which may come from anywhere.
    ///
    /// # Errors
    /// A text that says why it is refused.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if index.format != FORMAT {
            return Err(format!("it has format {}, and this program knows {FORMAT}", index.format));
        }
        if index.name != name {
            return Err("it is that of other data".to_owned());
        }
        index.versions.iter().try_for_each(|version| check(version, name))?;
        if index.versions.windows(2).any(|pair| pair[0].record.version >= pair[1].record.version) {
            return Err("its versions are not in order".to_owned());
        }
        Ok(index)
    }
}

/// Checks that a version can be one of the data.
fn check(RemoteVersion { record, objects }: &RemoteVersion, name: &str) -> Result<(), String> {
    let version = record.version;
    if record.name != name {
        return Err(format!("version {version} is of other data"));
    }
    if record.artifacts.len() != objects.len() {
        return Err(format!("version {version} has other objects than artifacts"));
    }
    let texts = record.key.iter().chain(&record.reasons).chain([&record.source, &record.actor]);
    if texts.clone().any(|text| text.chars().count() > MAX_TEXT) {
        return Err(format!("version {version} has a text of more than {MAX_TEXT} characters"));
    }
    let has = |role: &str, kind: ArtifactKind| {
        let mut found = record.artifacts.iter().filter(|artifact| artifact.role == role);
        found.next().is_some_and(|artifact| artifact.kind == kind) && found.next().is_none()
    };
    let names_its_content =
        |role: &str| record.artifacts.iter().any(|artifact| artifact.role == role && artifact.digest == record.digest);
    let is_whole = match record.kind {
        DataKind::Table => {
            record.artifacts.len() == 1 && has("table", ArtifactKind::Table) && names_its_content("table")
        }
        DataKind::Files => {
            let packs = record.artifacts.iter().filter(|artifact| artifact.role == "pack");
            let are_blobs = packs.clone().all(|pack| pack.kind == ArtifactKind::Blob);
            let are_all = packs.count() + 2 == record.artifacts.len();
            has("files", ArtifactKind::Document)
                && has("places", ArtifactKind::Document)
                && are_blobs
                && are_all
                && names_its_content("files")
        }
    };
    if is_whole { Ok(()) } else { Err(format!("version {version} lacks an artifact, or has others")) }
}

pub(super) fn object_key(object: &RemoteObject) -> String {
    format!("{DATA}objects/sha256/{}", object.sha256.to_hex())
}

fn index_key(name: &str) -> Result<String, DataVersionsError> {
    check_data_name(name)?;
    Ok(format!("{DATA}names/{name}{INDEX}"))
}

/// Reads the index of a name; `None` if the remote has none. One request.
///
/// # Errors
/// [`DataVersionsError::Damaged`]; those of the remote.
pub fn read_index(remote: &Destination, name: &str) -> Result<Option<(RemoteIndex, Etag)>, DataVersionsError> {
    let key = index_key(name)?;
    let Some((bytes, etag)) = remote.objects().get(&key)? else { return Ok(None) };
    let index = RemoteIndex::parse(&bytes, name).map_err(|problem| DataVersionsError::Damaged {
        what: format!("the index `{key}` at `{}`", remote.uri()),
        problem: format!("{problem}\nhint: restore that object from a backup of the remote"),
    })?;
    Ok(Some((index, etag)))
}

/// Replaces an index, if it is still the one with this etag (`None`: there is none). Returns
/// whether it was replaced.
pub(super) fn write_index(
    remote: &Destination,
    index: &RemoteIndex,
    expected: Option<Etag>,
) -> Result<bool, DataVersionsError> {
    let condition = expected.map_or(Condition::Absent, Condition::Unchanged);
    let bytes = index.to_bytes().map_err(|error| DataVersionsError::Damaged {
        what: format!("the index of `{}`", index.name),
        problem: error.to_string(),
    })?;
    if bytes.len() as u64 > stagewright_promotion::MAX_DOCUMENT {
        return Err(DataVersionsError::Damaged {
            what: format!("the index of `{}`", index.name),
            problem: "it would have more than 32 MiB\nhint: go on under another name".to_owned(),
        });
    }
    let put = remote.objects().put(&index_key(&index.name)?, &bytes, &condition)?;
    Ok(matches!(put, Put::Written(_)))
}

/// Returns the names that have an index at a remote.
///
/// # Errors
/// Those of the remote.
pub fn names(remote: &Destination) -> Result<Vec<String>, DataVersionsError> {
    let prefix = format!("{DATA}names/");
    let found = remote.objects().list(&prefix)?;
    let name = |key: &str| {
        let name = key.strip_prefix(&prefix)?.strip_suffix(INDEX)?;
        check_data_name(name).is_ok().then(|| name.to_owned())
    };
    Ok(found.iter().filter_map(|object| name(&object.key)).collect())
}

#[cfg(test)]
mod tests {
    use stagewright_store::DataArtifact;

    use super::*;

    fn version(number: &str) -> RemoteVersion {
        let digest = Digest::of(number.as_bytes());
        let artifact = DataArtifact { role: "table".to_owned(), kind: ArtifactKind::Table, digest, bytes: 8 };
        let record = DataVersionRecord {
            name: "customers".to_owned(),
            version: number.parse().expect("a version"),
            kind: DataKind::Table,
            digest,
            count: 1,
            columns: 1,
            bytes: 8,
            key: vec![],
            source: "csv:a.csv".to_owned(),
            reasons: vec![],
            actor: "ada".to_owned(),
            created_ms: 7,
            artifacts: vec![artifact],
        };
        RemoteVersion { record, objects: vec![RemoteObject { sha256: Digest::of(b"file"), size: 9 }] }
    }

    fn index(versions: Vec<RemoteVersion>) -> RemoteIndex {
        RemoteIndex { versions, ..RemoteIndex::new("customers") }
    }

    #[test]
    fn an_index_reads_back_as_it_was_written() {
        let mut index = index(vec![version("1.10.0")]);
        index.add([version("1.2.0")]);
        let bytes = index.to_bytes().expect("bytes");
        assert_eq!(RemoteIndex::parse(&bytes, "customers").expect("an index"), index);
        assert_eq!(index.versions[0].record.version.to_string(), "1.2.0");
        assert!(RemoteIndex::parse(&bytes, "others").is_err());
    }

    #[test]
    fn an_index_of_versions_that_cannot_be_is_refused() {
        let refused = |change: fn(&mut RemoteVersion)| {
            let mut wrong = version("1.0.0");
            change(&mut wrong);
            let bytes = index(vec![wrong]).to_bytes().expect("bytes");
            assert!(RemoteIndex::parse(&bytes, "customers").is_err());
        };
        refused(|it| it.record.name = "others".to_owned());
        refused(|it| it.objects.clear());
        refused(|it| it.record.artifacts[0].kind = ArtifactKind::Blob);
        refused(|it| it.record.digest = Digest::of(b"another table"));
        refused(|it| it.record.kind = DataKind::Files);
        refused(|it| it.record.source = "x".repeat(MAX_TEXT + 1));
        let twice = index(vec![version("1.0.0"), version("1.0.0")]).to_bytes().expect("bytes");
        assert!(RemoteIndex::parse(&twice, "customers").is_err());
    }
}
