//! The record of a version, and the methods of the registry about versions of data.

use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactKind;
use crate::database::{Connection, Outcome, Row, Scope, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::data_versions::error::DataVersionError;
use crate::registry::data_versions::number::{DataReference, DataVersion};
use crate::registry::data_versions::parse::check_data_name;
use crate::registry::handle::Registry;

/// The kind of a version of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// A table. Its digest is that of the table.
    Table,
    /// A folder of files. Its digest is that of the list of their paths, lengths and digests.
    Files,
}

impl DataKind {
    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Files => "files",
        }
    }
}

/// An artifact of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataArtifact {
    /// Its role: `table`; `files`, `places` or `pack`.
    pub role: String,
    /// The kind.
    pub kind: ArtifactKind,
    /// The digest of its content.
    pub digest: Digest,
    /// The length: of a table's values, of another kind's file.
    pub bytes: u64,
}

/// A version of data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataVersionRecord {
    /// The name of the data.
    pub name: String,
    /// The number.
    pub version: DataVersion,
    /// Whether it is a table or files.
    pub kind: DataKind,
    /// The digest of the content: equal digests, equal data.
    pub digest: Digest,
    /// The number of rows, or of files.
    pub count: u64,
    /// The number of columns; 0 for files.
    pub columns: u64,
    /// The length of the content.
    pub bytes: u64,
    /// The columns that identify a row.
    pub key: Vec<String>,
    /// Where the data came from, without secrets.
    pub source: String,
    /// Why it has this number, one reason a text.
    pub reasons: Vec<String>,
    /// Who added it.
    pub actor: String,
    /// When it was added, in milliseconds since the epoch.
    pub created_ms: i64,
    /// Its artifacts.
    pub artifacts: Vec<DataArtifact>,
}

impl DataVersionRecord {
    /// Returns the reference that names this version alone.
    pub fn reference(&self) -> DataReference {
        DataReference::exact(&self.name, self.version)
    }
}

impl Registry {
    /// Records a version, if the latest one of its data is still `latest` (`None`: there is none).
    /// Publish its artifacts first. Whoever acts is its actor.
    ///
    /// # Errors
    /// [`DataVersionError::Moved`] if there is another latest version by now,
    /// [`DataVersionError::BadName`]; [`StoreError::Database`].
    pub fn add_data_version(
        &self,
        record: &DataVersionRecord,
        latest: Option<DataVersion>,
    ) -> Result<DataVersionRecord, StoreError> {
        check_data_name(&record.name)?;
        let record = DataVersionRecord { actor: self.actor.to_string(), ..record.clone() };
        self.write("record a version of data", Scope::Models, |connection| {
            let versions = versions(connection, &record.name)?;
            if versions.iter().max().copied() != latest || latest.is_some_and(|latest| latest >= record.version) {
                return Err(StoreError::from(DataVersionError::Moved { name: record.name.clone() }).into());
            }
            insert(connection, &record)
        })?;
        Ok(record)
    }

    /// Records a version as another registry has it. Returns whether it is new here. Publish its
    /// artifacts first.
    ///
    /// # Errors
    /// [`DataVersionError::Taken`] if its number has other data here;
    /// [`DataVersionError::BadName`]; [`StoreError::Database`].
    pub fn bring_data_version(&self, record: &DataVersionRecord) -> Result<bool, StoreError> {
        check_data_name(&record.name)?;
        self.write("record a version of data", Scope::Models, |connection| {
            match find(connection, &record.name, record.version)? {
                Some((_, digest)) if digest == record.digest => Ok(false),
                Some(_) => {
                    let (name, version) = (record.name.clone(), record.version);
                    Err(StoreError::from(DataVersionError::Taken { name, version }).into())
                }
                None => insert(connection, record).map(|()| true),
            }
        })
    }

    /// Removes the record of a version. Its artifacts stay until garbage is collected.
    ///
    /// # Errors
    /// [`DataVersionError::NoData`], [`DataVersionError::NoVersion`]; [`StoreError::Database`].
    pub fn remove_data_version(&self, name: &str, version: DataVersion) -> Result<(), StoreError> {
        self.write("remove a version of data", Scope::Models, |connection| {
            let Some((id, _)) = find(connection, name, version)? else {
                let versions = versions(connection, name)?;
                return Err(missing(&DataReference::exact(name, version), &versions).into());
            };
            connection.execute("DELETE FROM data_version_artifacts WHERE version = ?1", values![id])?;
            connection.execute("DELETE FROM data_versions WHERE id = ?1", values![id])?;
            Ok(())
        })
    }

    /// Returns all versions, by name and then by number.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn data_versions(&self) -> Result<Vec<DataVersionRecord>, StoreError> {
        self.read("list the versions of data", |connection| records(connection, "", &[]))
    }

    /// Returns the versions of data, by number; none if there is no such data.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn data_versions_of(&self, name: &str) -> Result<Vec<DataVersionRecord>, StoreError> {
        self.read("list the versions of data", |connection| records(connection, "WHERE name = ?1", values![name]))
    }

    /// Returns the latest version that a reference admits.
    ///
    /// # Errors
    /// [`DataVersionError::NoData`], [`DataVersionError::NoVersion`]; [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn data_version(&self, reference: &DataReference) -> Result<DataVersionRecord, StoreError> {
        let mut found = self.data_versions_of(&reference.name)?;
        let versions: Vec<DataVersion> = found.iter().map(|record| record.version).collect();
        found.retain(|record| reference.requirement.admits(record.version));
        found.pop().ok_or_else(|| missing(reference, &versions))
    }
}

fn missing(reference: &DataReference, versions: &[DataVersion]) -> StoreError {
    match versions.iter().max() {
        Some(&latest) => DataVersionError::NoVersion { reference: reference.clone(), latest }.into(),
        None => DataVersionError::NoData { name: reference.name.clone() }.into(),
    }
}

fn versions(connection: &mut Connection, name: &str) -> Outcome<Vec<DataVersion>> {
    let query = "SELECT major, minor, patch FROM data_versions WHERE name = ?1";
    connection.query(query, values![name])?.iter().map(|row| version_of(row, 0)).collect()
}

fn version_of(row: &Row, first: usize) -> Outcome<DataVersion> {
    Ok(DataVersion { major: row.get(first)?, minor: row.get(first + 1)?, patch: row.get(first + 2)? })
}

/// Returns the number of the record of a version, and its digest.
fn find(connection: &mut Connection, name: &str, version: DataVersion) -> Outcome<Option<(i64, Digest)>> {
    let query = "SELECT id, digest FROM data_versions WHERE name = ?1 AND major = ?2 AND minor = ?3 AND patch = ?4";
    let row = connection.first(query, values![name, version.major, version.minor, version.patch])?;
    row.map(|row| Ok((row.get(0)?, row.parsed(1)?))).transpose()
}

fn insert(connection: &mut Connection, record: &DataVersionRecord) -> Outcome<()> {
    let DataVersion { major, minor, patch } = record.version;
    let statement = "INSERT INTO data_versions
            (name, major, minor, patch, kind, digest, entries, width, bytes, key_columns, source, reasons, actor, created_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) RETURNING id";
    let (key, reasons) = (serde_json::to_string(&record.key)?, serde_json::to_string(&record.reasons)?);
    let row = connection.one(
        statement,
        values![
            &record.name,
            major,
            minor,
            patch,
            record.kind.name(),
            record.digest,
            record.count,
            record.columns,
            record.bytes,
            key,
            &record.source,
            reasons,
            &record.actor,
            record.created_ms
        ],
    )?;
    let id: i64 = row.get(0)?;
    for (at, DataArtifact { role, kind, digest, bytes }) in record.artifacts.iter().enumerate() {
        let statement = "INSERT INTO data_version_artifacts (version, place, role, kind, digest, bytes)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        connection.execute(statement, values![id, at, role, *kind, *digest, *bytes])?;
    }
    Ok(())
}

/// Returns the records that a condition admits, by name and number.
fn records(
    connection: &mut Connection,
    condition: &str,
    parameters: &[crate::database::Value],
) -> Outcome<Vec<DataVersionRecord>> {
    let query = format!(
        "SELECT id, name, major, minor, patch, kind, digest, entries, width, bytes, key_columns, source, reasons, actor,
            created_ms FROM data_versions {condition} ORDER BY name, major, minor, patch"
    );
    let rows = connection.query(&query, parameters)?;
    rows.iter().map(|row| record_of(connection, row)).collect()
}

fn record_of(connection: &mut Connection, row: &Row) -> Outcome<DataVersionRecord> {
    let query = "SELECT role, kind, digest, bytes FROM data_version_artifacts WHERE version = ?1 ORDER BY place";
    let artifacts = connection.query(query, values![row.get::<i64>(0)?])?;
    let artifact = |row: &Row| {
        Ok(DataArtifact { role: row.get(0)?, kind: row.parsed(1)?, digest: row.parsed(2)?, bytes: row.get(3)? })
    };
    Ok(DataVersionRecord {
        name: row.get(1)?,
        version: version_of(row, 2)?,
        kind: if row.get::<String>(5)? == DataKind::Files.name() { DataKind::Files } else { DataKind::Table },
        digest: row.parsed(6)?,
        count: row.get(7)?,
        columns: row.get(8)?,
        bytes: row.get(9)?,
        key: serde_json::from_value(row.json(10)?)?,
        source: row.get(11)?,
        reasons: serde_json::from_value(row.json(12)?)?,
        actor: row.get(13)?,
        created_ms: row.get(14)?,
        artifacts: artifacts.iter().map(artifact).collect::<Outcome<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn record(version: &str, content: &str) -> DataVersionRecord {
        let digest = Digest::of(content.as_bytes());
        DataVersionRecord {
            name: "customers".to_owned(),
            version: version.parse().expect("a version"),
            kind: DataKind::Table,
            digest,
            count: 3,
            columns: 2,
            bytes: 48,
            key: vec!["id".to_owned()],
            source: "csv:customers.csv".to_owned(),
            reasons: vec!["it is the first version".to_owned()],
            actor: String::new(),
            created_ms: 1_000,
            artifacts: vec![DataArtifact { role: "table".to_owned(), kind: ArtifactKind::Table, digest, bytes: 48 }],
        }
    }

    #[test]
    fn a_version_is_recorded_found_and_kept_from_collection() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Home::open(folder.path()).expect("a home").registry.acting_as("ada");
        let first = registry.add_data_version(&record("1.0.0", "a"), None).expect("the first");
        assert_eq!(first.actor, "ada");
        let second = registry.add_data_version(&record("1.0.1", "b"), Some(first.version)).expect("the second");
        let found = |text: &str| registry.data_version(&text.parse().expect("a reference")).expect("a version");
        assert_eq!((found("customers@1"), found("customers@1.0.0")), (second.clone(), first.clone()));
        let reachable = registry.reachable().expect("reachable");
        assert!(reachable.contains(&first.digest) && reachable.contains(&second.digest));
        registry.remove_data_version("customers", first.version).expect("removed");
        assert!(!registry.reachable().expect("reachable").contains(&first.digest));
    }

    #[test]
    fn of_two_additions_after_the_same_version_one_is_told_to_look_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Home::open(folder.path()).expect("a home").registry;
        registry.add_data_version(&record("1.0.0", "a"), None).expect("the first");
        let after = Some("1.0.0".parse().expect("a version"));
        registry.add_data_version(&record("1.1.0", "b"), after).expect("the second");
        let late = registry.add_data_version(&record("1.0.1", "c"), after).expect_err("too late");
        assert!(late.to_string().contains("another latest version"), "{late}");
    }

    #[test]
    fn a_version_of_elsewhere_takes_no_number_of_other_data() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Home::open(folder.path()).expect("a home").registry;
        assert!(registry.bring_data_version(&record("1.0.0", "a")).expect("new"));
        assert!(!registry.bring_data_version(&record("1.0.0", "a")).expect("there"));
        let taken = registry.bring_data_version(&record("1.0.0", "b")).expect_err("taken").to_string();
        assert!(taken.contains("data remove customers@1.0.0"), "{taken}");
    }

    #[test]
    fn what_is_missing_is_told_with_the_command_that_brings_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Home::open(folder.path()).expect("a home").registry;
        let find = |text: &str| {
            let reference: DataReference = text.parse().expect("a reference");
            registry.data_version(&reference).expect_err("missing").to_string()
        };
        assert!(find("customers@1.2").contains("data pull customers --remote"), "{}", find("customers@1.2"));
        registry.add_data_version(&record("1.0.0", "a"), None).expect("the first");
        let text = find("customers@1.2");
        assert!(text.contains("no version 1.2") && text.contains("data pull customers@1.2 --remote"), "{text}");
    }
}
