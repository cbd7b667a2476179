//! The artifacts that garbage collection must keep: those that a run, a version of a model or of
//! data, a promotion or a client's file refers to.

use std::collections::HashSet;
use std::time::Duration;

use crate::artifact::ArtifactKind;
use crate::database::{Connection, Outcome, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::client_files::proxied_path;
use crate::registry::handle::{Registry, now_ms};

impl Registry {
    /// Returns the digests of all artifacts that versions of models and of data and verdicts refer
    /// to, that runs made or read, with their components, and that clients uploaded. Deleted runs
    /// and logged models do not count, unless a version that a client registered has its source
    /// there.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn reachable(&self) -> Result<HashSet<Digest>, StoreError> {
        self.reachable_of_late(Duration::ZERO)
    }

    /// As [`Registry::reachable`], but runs that were deleted less than `kept` ago count too.
    /// Another process may have found their artifacts before, and be about to record them for a run
    /// of its own.
    ///
    /// # Errors
    /// As [`Registry::reachable`].
    pub fn reachable_of_late(&self, kept: Duration) -> Result<HashSet<Digest>, StoreError> {
        let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        let since = if kept == 0 { i64::MAX } else { now_ms().saturating_sub(kept) };
        self.read("look for what is reachable", |connection| {
            let mut reachable = HashSet::new();
            let counts = "JOIN runs ON runs.id = stages.run WHERE (runs.deleted_ms IS NULL OR runs.deleted_ms > ?1)";
            let recorded = format!(
                "SELECT stage_outputs.digest FROM stage_outputs JOIN stages ON stages.id = stage_outputs.stage {counts}
                UNION SELECT stage_inputs.digest FROM stage_inputs JOIN stages ON stages.id = stage_inputs.stage {counts}
                UNION SELECT stages.digest FROM stages {counts}
                UNION SELECT digest FROM version_artifacts UNION SELECT digest FROM verdict_artifacts
                UNION SELECT digest FROM data_version_artifacts"
            );
            for row in connection.query(&recorded, values![since])? {
                reachable.insert(row.parsed(0)?);
            }
            // Versions of format 1 list no artifacts: every digest in their contents counts.
            let unlisted = "SELECT contents FROM versions WHERE NOT EXISTS (
                SELECT 1 FROM version_artifacts WHERE version_artifacts.version = versions.id)";
            for row in connection.query(unlisted, &[])? {
                reachable.extend(digests_in(&row.get::<String>(0)?));
            }
            add_client_files(connection, since, &mut reachable)?;
            Ok(reachable)
        })
    }

    /// Returns the recorded length of an artifact: of a table's values, of another kind's file;
    /// `None` if no run or version made it.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub(crate) fn bytes_of(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<u64>, StoreError> {
        self.read("look for the length of an artifact", |connection| {
            let query = "SELECT bytes FROM stage_outputs WHERE digest = ?1 AND kind = ?2
                UNION ALL SELECT bytes FROM version_artifacts WHERE digest = ?1 AND kind = ?2
                UNION ALL SELECT bytes FROM data_version_artifacts WHERE digest = ?1 AND kind = ?2
                UNION ALL SELECT bytes FROM client_files WHERE digest = ?1 AND ?2 = 'blob' LIMIT 1";
            let row = connection.first(query, values![*digest, kind.name()])?;
            Ok(row.map(|row| row.get(0)).transpose()?)
        })
    }

    /// Returns the digests of the artifacts that only records of runs refer to, least recently used
    /// first. Excludes those that a version or a verdict refers to, and those that a running run
    /// made or read.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn least_recently_used(&self) -> Result<Vec<Digest>, StoreError> {
        self.read("look for what only records of runs reach", |connection| {
            let mut needed = HashSet::new();
            let referred = "SELECT digest FROM version_artifacts UNION SELECT digest FROM verdict_artifacts
                UNION SELECT digest FROM client_files UNION SELECT digest FROM data_version_artifacts
                UNION SELECT stage_outputs.digest FROM stage_outputs JOIN stages ON stages.id = stage_outputs.stage
                    JOIN runs ON runs.id = stages.run WHERE runs.status = 'running'
                UNION SELECT stage_inputs.digest FROM stage_inputs JOIN stages ON stages.id = stage_inputs.stage
                    JOIN runs ON runs.id = stages.run WHERE runs.status = 'running'";
            for row in connection.query(referred, &[])? {
                needed.insert(row.parsed::<Digest>(0)?);
            }
            for row in connection.query("SELECT contents FROM versions", &[])? {
                needed.extend(digests_in(&row.get::<String>(0)?));
            }
            let used = "SELECT digest, max(ended_ms) FROM (
                    SELECT stage_outputs.digest AS digest, ended_ms FROM stage_outputs
                        JOIN stages ON stages.id = stage_outputs.stage
                    UNION ALL SELECT stage_inputs.digest AS digest, ended_ms FROM stage_inputs
                        JOIN stages ON stages.id = stage_inputs.stage) AS uses
                GROUP BY digest ORDER BY max(ended_ms), digest";
            let used = connection.query(used, &[])?;
            let used: Vec<Digest> = used.iter().map(|row| Ok(row.parsed(0)?)).collect::<Outcome<_>>()?;
            Ok(used.into_iter().filter(|digest| !needed.contains(digest)).collect())
        })
    }

    /// Returns the digests of the artifacts that unfinished promotions to a destination need there.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn needed_by_promotions(&self, destination: &str) -> Result<HashSet<Digest>, StoreError> {
        self.read("look for what is promoted", |connection| {
            let query =
                "SELECT digest FROM version_artifacts JOIN promotions ON promotions.version = version_artifacts.version
                WHERE destination = ?1 AND state IN ('intended', 'current') AND needed = 1";
            connection.query(query, values![destination])?.iter().map(|row| Ok(row.parsed(0)?)).collect()
        })
    }
}

/// Adds the digests of the files that clients uploaded, but for those of runs and logged models
/// that were deleted before `since`.
fn add_client_files(connection: &mut Connection, since: i64, reachable: &mut HashSet<Digest>) -> Outcome<()> {
    let deleted = "SELECT run_id FROM runs WHERE deleted_ms <= ?1 AND owner = ''
        UNION ALL SELECT model_id FROM logged_models WHERE deleted_ms <= ?1";
    let mut deleted: HashSet<String> =
        connection.query(deleted, values![since])?.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?;
    if !deleted.is_empty() {
        for row in connection.query("SELECT DISTINCT location FROM foreign_versions", &[])? {
            if let Some(owner) = proxied_path(&row.get::<String>(0)?).and_then(owner_of) {
                deleted.remove(&owner);
            }
        }
    }
    if deleted.is_empty() {
        for row in connection.query("SELECT DISTINCT digest FROM client_files", &[])? {
            reachable.insert(row.parsed(0)?);
        }
        return Ok(());
    }
    for row in connection.query("SELECT path, digest FROM client_files", &[])? {
        if !owner_of(row.get(0)?).is_some_and(|owner| deleted.contains(&owner)) {
            reachable.insert(row.parsed(1)?);
        }
    }
    Ok(())
}

/// Returns the run or the logged model whose folder of files a path is, or lies in: the first part
/// that is the id of one and stands before `artifacts`. Parts before it are the location of an
/// experiment, which may be named `artifacts` too; those after it are the client's.
fn owner_of(path: String) -> Option<String> {
    let is_hex = |text: &str| text.len() == 32 && text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let is_id = |part: &str| is_hex(part.strip_prefix("m-").unwrap_or(part));
    let parts: Vec<&str> = path.split('/').collect();
    let owner = parts.windows(2).find(|pair| is_id(pair[0]) && pair[1] == "artifacts");
    owner.map(|pair| pair[0].to_owned())
}

fn digests_in(text: &str) -> impl Iterator<Item = Digest> + '_ {
    text.split('"').filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_file_is_found_wherever_its_experiment_keeps_files() {
        let (run, other) = ("0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff");
        let owner = |path: String| owner_of(path);
        assert_eq!(owner(format!("1/{run}/artifacts/a.txt")).as_deref(), Some(run));
        assert_eq!(owner(format!("1/{run}/artifacts")).as_deref(), Some(run));
        assert_eq!(owner(format!("1/models/m-{run}/artifacts/MLmodel")), Some(format!("m-{run}")));
        // An experiment keeps its files at a place of this name.
        assert_eq!(owner(format!("artifacts/of/us/{run}/artifacts/a.txt")).as_deref(), Some(run));
        assert_eq!(owner(format!("team/artifacts/{run}/artifacts/a.txt")).as_deref(), Some(run));
        // A client names folders of its run as it likes.
        assert_eq!(owner(format!("1/{run}/artifacts/{other}/artifacts/a.txt")).as_deref(), Some(run));
        assert_eq!(owner("1/artifacts/a.txt".to_owned()), None);
        assert_eq!(owner("a.txt".to_owned()), None);
    }
}
