//! Which stages and versions have to do with an artifact.

use crate::database::values;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::{Registry, RunId};

/// A stage's use of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Touched {
    /// It made it.
    Made,
    /// It read it.
    Read,
    /// It is the stage's component.
    Called,
}

/// A stage that had to do with an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Touch {
    /// The place of the stage's record among all, in the order of recording.
    pub number: i64,
    /// Its run, which is not deleted.
    pub run_id: RunId,
    /// The kind of use.
    pub how: Touched,
}

impl Registry {
    /// The stages that made or read an artifact, or whose component it is, in the order in which
    /// they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn touches(&self, digest: &Digest) -> Result<Vec<Touch>, StoreError> {
        self.read("look for the stages of an artifact", |connection| {
            let mut touches = Vec::new();
            for (how, table) in [
                (Touched::Made, "stage_outputs touched JOIN stages ON stages.id = touched.stage"),
                (Touched::Read, "stage_inputs touched JOIN stages ON stages.id = touched.stage"),
                (Touched::Called, "stages touched JOIN stages ON stages.id = touched.id"),
            ] {
                let query = format!(
                    "SELECT DISTINCT stages.id, run_id FROM {table} JOIN runs ON runs.id = stages.run
                     WHERE touched.digest = ?1 AND runs.deleted_ms IS NULL"
                );
                for row in connection.query(&query, values![*digest])? {
                    touches.push(Touch { number: row.get(0)?, run_id: row.parsed(1)?, how });
                }
            }
            touches.sort();
            Ok(touches)
        })
    }

    /// The versions that an artifact belongs to, by model and number.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn versions_of_artifact(&self, digest: &Digest) -> Result<Vec<(String, u32)>, StoreError> {
        self.read("look for the versions of an artifact", |connection| {
            let query = "SELECT DISTINCT registered_models.name, versions.version FROM version_artifacts
                 JOIN versions ON versions.id = version_artifacts.version
                 JOIN registered_models ON registered_models.id = versions.model
                 WHERE digest = ?1 ORDER BY registered_models.name, versions.version";
            connection.query(query, values![*digest])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
        })
    }

    /// The numbers of a run's stages, as [`Touch::number`], in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn stage_numbers(&self, run_id: &RunId) -> Result<Vec<i64>, StoreError> {
        self.read("read stages", |connection| {
            let query = "SELECT stages.id FROM stages JOIN runs ON runs.id = stages.run WHERE run_id = ?1
                 ORDER BY stages.id";
            connection.query(query, values![run_id.as_str()])?.iter().map(|row| Ok(row.get(0)?)).collect()
        })
    }
}
