//! Recording a version of data: what changed, the number that follows, the record.

use std::time::{SystemTime, UNIX_EPOCH};

use stagewright_store::{
    ArtifactKind, DataArtifact, DataKind, DataVersion, DataVersionError, DataVersionRecord, Home, StoreError, Table,
};

use crate::bytes::open_table;
use crate::change::Change;
use crate::diff::{self, Named};
use crate::error::DataVersionsError;
use crate::files::{self, Packed};

/// How often data is compared with a latest version that another process replaces meanwhile.
const ATTEMPTS: u32 = 20;
/// The most reasons of a record. A table may have 65,536 columns.
const MOST_REASONS: usize = 50;

/// Data that is added.
#[derive(Clone, Debug)]
pub struct NewData {
    /// The name.
    pub name: String,
    /// The columns that identify a row; `None`: those of the latest version.
    pub key: Option<Vec<String>>,
    /// Where it comes from, without secrets.
    pub source: String,
    /// The number that it shall get; `None`: the one that follows.
    pub version: Option<DataVersion>,
}

/// The result of adding data.
#[derive(Debug)]
pub struct Added {
    /// The version.
    pub record: DataVersionRecord,
    /// Whether it is new. Otherwise the latest version is the same data.
    pub is_new: bool,
}

/// Records a published table as the next version.
///
/// # Errors
/// [`DataVersionsError::KeyRepeated`], [`DataVersionsError::NoKeyColumn`] if the key identifies no
/// rows; [`DataVersionsError::TooLow`]; those of the store.
pub fn table(home: &Home, table: &Table, new: &NewData) -> Result<Added, DataVersionsError> {
    let named = Named { table, name: "the data" };
    recorded(home, new, |latest| {
        let before = latest.filter(|latest| latest.kind == DataKind::Table);
        let key = match (&new.key, before) {
            (Some(key), _) => key.clone(),
            (None, Some(before)) => before.key.clone(),
            (None, None) => Vec::new(),
        };
        let change = match (latest, before) {
            (_, Some(before)) if before.digest == table.digest() && before.key == key => None,
            (_, Some(before)) => Some(change_of_table(home, before, named, &key)?),
            (Some(_), None) => Some(Change::of_kinds("a table")),
            (None, None) => Some(first()),
        };
        diff::check_key(named, &key)?;
        let artifact = DataArtifact {
            role: "table".to_owned(),
            kind: ArtifactKind::Table,
            digest: table.digest(),
            bytes: table.bytes(),
        };
        let content = Content {
            kind: DataKind::Table,
            digest: table.digest(),
            count: table.rows(),
            columns: table.schema().len() as u64,
            bytes: table.bytes(),
            key,
            artifacts: vec![artifact],
        };
        Ok((content, change))
    })
}

/// Records published files as the next version.
///
/// # Errors
/// [`DataVersionsError::TooLow`]; those of the store.
pub fn files(home: &Home, packed: &Packed, new: &NewData) -> Result<Added, DataVersionsError> {
    recorded(home, new, |latest| {
        let change = match latest {
            None => Some(first()),
            Some(before) if before.kind != DataKind::Files => Some(Change::of_kinds("files")),
            Some(before) if before.digest == packed.digest => None,
            Some(before) => Some(Change::of_files(&files::compare(&files::open_list(home, before)?, &packed.list, 0))),
        };
        let content = Content {
            kind: DataKind::Files,
            digest: packed.digest,
            count: packed.list.files.len() as u64,
            columns: 0,
            bytes: packed.list.bytes(),
            key: Vec::new(),
            artifacts: packed.artifacts.clone(),
        };
        Ok((content, change))
    })
}

/// The part of a record that the data decides.
struct Content {
    kind: DataKind,
    digest: stagewright_store::Digest,
    count: u64,
    columns: u64,
    bytes: u64,
    key: Vec<String>,
    artifacts: Vec<DataArtifact>,
}

/// Compares data with the latest version and records it, again if another process recorded one
/// meanwhile. `compared` returns no change if the latest version is the same data.
fn recorded(
    home: &Home,
    new: &NewData,
    compared: impl Fn(Option<&DataVersionRecord>) -> Result<(Content, Option<Change>), DataVersionsError>,
) -> Result<Added, DataVersionsError> {
    let mut attempts = 1;
    loop {
        let latest = home.registry.data_versions_of(&new.name)?.pop();
        let (content, change) = compared(latest.as_ref())?;
        let Some(change) = change else {
            // Without a latest version there is nothing that the data could equal.
            let record = latest.ok_or_else(|| DataVersionError::NoData { name: new.name.clone() })?;
            return Ok(Added { record, is_new: false });
        };
        let record = record(new, content, latest.as_ref().map(|latest| latest.version), change)?;
        match home.registry.add_data_version(&record, latest.map(|latest| latest.version)) {
            Ok(record) => return Ok(Added { record, is_new: true }),
            Err(StoreError::DataVersion(DataVersionError::Moved { .. })) if attempts < ATTEMPTS => attempts += 1,
            Err(error) => return Err(error.into()),
        }
    }
}

fn record(
    new: &NewData,
    content: Content,
    latest: Option<DataVersion>,
    mut change: Change,
) -> Result<DataVersionRecord, DataVersionsError> {
    let version = match (new.version, latest) {
        (None, None) => DataVersion::FIRST,
        (Some(asked), None) => asked,
        (None, Some(latest)) => change.after(latest),
        (Some(asked), Some(latest)) => {
            let least = change.after(latest);
            if asked < least {
                let reasons = stagewright_text::Untrusted::new(&change.reasons.join(", ")).cut(400).to_string();
                return Err(DataVersionsError::TooLow { asked, least, reasons });
            }
            asked
        }
    };
    if change.reasons.len() > MOST_REASONS {
        let more = change.reasons.split_off(MOST_REASONS).len();
        change.reasons.push(format!("and {more} more"));
    }
    let Content { kind, digest, count, columns, bytes, key, artifacts } = content;
    Ok(DataVersionRecord {
        name: new.name.clone(),
        version,
        kind,
        digest,
        count,
        columns,
        bytes,
        key,
        source: new.source.clone(),
        reasons: change.reasons,
        actor: String::new(),
        created_ms: now_ms(),
        artifacts,
    })
}

fn first() -> Change {
    Change { level: crate::change::Level::Major, reasons: vec!["it is the first version".to_owned()] }
}

/// Judges a table against the one before. If the key's columns have other types, rows cannot be
/// compared, and the columns decide alone.
fn change_of_table(
    home: &Home,
    before: &DataVersionRecord,
    after: Named<'_>,
    key: &[String],
) -> Result<Change, DataVersionsError> {
    let table = open_table(home, before)?;
    let name = before.reference().to_string();
    let by: &[String] = if before.key == key { key } else { &[] };
    let rows = match diff::tables(Named { table: &table, name: &name }, after, by, 0) {
        Ok(rows) => Some(rows),
        Err(DataVersionsError::KeyType { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Change::of_tables((table.schema(), &before.key), (after.table.schema(), key), rows.as_ref()))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
