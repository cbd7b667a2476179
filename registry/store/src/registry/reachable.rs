//! What garbage collection must leave: every artifact that a run, a version or a promotion reaches.

use std::collections::HashSet;

use crate::database::{Outcome, values};
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::Registry;

impl Registry {
    /// The digests of all artifacts that runs (but deleted ones) made or read, of the components that they ran, and of what
    /// versions refer to.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn reachable(&self) -> Result<HashSet<Digest>, StoreError> {
        self.read("look for what is reachable", |connection| {
            let mut reachable = HashSet::new();
            let recorded =
                "SELECT stage_outputs.digest FROM stage_outputs JOIN stages ON stages.id = stage_outputs.stage
                    JOIN runs ON runs.id = stages.run WHERE runs.deleted_ms IS NULL
                UNION SELECT stage_inputs.digest FROM stage_inputs JOIN stages ON stages.id = stage_inputs.stage
                    JOIN runs ON runs.id = stages.run WHERE runs.deleted_ms IS NULL
                UNION SELECT stages.digest FROM stages JOIN runs ON runs.id = stages.run WHERE runs.deleted_ms IS NULL
                UNION SELECT digest FROM version_artifacts UNION SELECT digest FROM verdict_artifacts";
            for row in connection.query(recorded, &[])? {
                reachable.insert(row.parsed(0)?);
            }
            // Versions of format 1 list no artifacts: whatever looks like a digest in their contents counts.
            let unlisted = "SELECT contents FROM versions WHERE NOT EXISTS (
                SELECT 1 FROM version_artifacts WHERE version_artifacts.version = versions.id)";
            for row in connection.query(unlisted, &[])? {
                reachable.extend(digests_in(&row.get::<String>(0)?));
            }
            Ok(reachable)
        })
    }

    /// The digests of the artifacts that only records of runs reach, those that were used longest
    /// ago first. What a version or a verdict refers to is not among them, nor what a run that is
    /// running made or read.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn least_recently_used(&self) -> Result<Vec<Digest>, StoreError> {
        self.read("look for what only records of runs reach", |connection| {
            let mut needed = HashSet::new();
            let referred = "SELECT digest FROM version_artifacts UNION SELECT digest FROM verdict_artifacts
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

    /// The digests that the versions of one model, or of all, need where they are promoted to.
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

fn digests_in(text: &str) -> impl Iterator<Item = Digest> + '_ {
    text.split('"').filter_map(|word| word.parse().ok())
}
