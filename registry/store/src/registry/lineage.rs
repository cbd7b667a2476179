//! The stages and versions that used or made an artifact.

use crate::database::values;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::run_id::RunId;

/// The way in which a stage used an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UseKind {
    /// The stage made it.
    Made,
    /// The stage read it.
    Read,
    /// It is the stage's component.
    Called,
}

/// A stage that made or used an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArtifactUse {
    /// The row id of the stage's record, which increases in the order of recording.
    pub number: i64,
    /// Its run, which is not deleted.
    pub run_id: RunId,
    /// The kind of use.
    pub how: UseKind,
}

/// The kinds of use, each with its query. An index of digests answers each: a lineage asks once for
/// every artifact on its path, and a home may have any number of stages.
const TOUCHES: [(UseKind, &str); 3] = [
    (
        UseKind::Made,
        "SELECT DISTINCT stages.id, run_id FROM stage_outputs
         JOIN stages ON stages.id = stage_outputs.stage JOIN runs ON runs.id = stages.run
         WHERE stage_outputs.digest = ?1 AND runs.deleted_ms IS NULL",
    ),
    (
        UseKind::Read,
        "SELECT DISTINCT stages.id, run_id FROM stage_inputs
         JOIN stages ON stages.id = stage_inputs.stage JOIN runs ON runs.id = stages.run
         WHERE stage_inputs.digest = ?1 AND runs.deleted_ms IS NULL",
    ),
    (
        UseKind::Called,
        "SELECT stages.id, run_id FROM stages JOIN runs ON runs.id = stages.run
         WHERE stages.digest = ?1 AND runs.deleted_ms IS NULL",
    ),
];

/// The versions that an artifact belongs to.
const VERSIONS: &str = "SELECT DISTINCT registered_models.name, versions.version FROM version_artifacts
     JOIN versions ON versions.id = version_artifacts.version
     JOIN registered_models ON registered_models.id = versions.model
     WHERE digest = ?1 ORDER BY registered_models.name, versions.version";

/// The row ids of a run's stages.
const NUMBERS: &str = "SELECT stages.id FROM stages JOIN runs ON runs.id = stages.run WHERE run_id = ?1
     ORDER BY stages.id";

impl Registry {
    /// Returns the stages that made or read an artifact, or whose component it is, in the order in
    /// which they were recorded.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn artifact_uses(&self, digest: &Digest) -> Result<Vec<ArtifactUse>, StoreError> {
        self.read("look for the stages of an artifact", |connection| {
            let mut touches = Vec::new();
            for (how, query) in TOUCHES {
                for row in connection.query(query, values![*digest])? {
                    touches.push(ArtifactUse { number: row.get(0)?, run_id: row.parsed(1)?, how });
                }
            }
            touches.sort();
            Ok(touches)
        })
    }

    /// Returns the versions that an artifact belongs to, by model and number.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn versions_of_artifact(&self, digest: &Digest) -> Result<Vec<(String, u32)>, StoreError> {
        self.read("look for the versions of an artifact", |connection| {
            connection.query(VERSIONS, values![*digest])?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
        })
    }

    /// Returns the row ids of a run's stages, as [`ArtifactUse::number`], in order.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn stage_numbers(&self, run_id: &RunId) -> Result<Vec<i64>, StoreError> {
        self.read("read stages", |connection| {
            connection.query(NUMBERS, values![run_id.as_str()])?.iter().map(|row| Ok(row.get(0)?)).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::handle::steps_of;

    // invariant: Lineage and plan queries use an index, however many stages are recorded.
    #[test]
    fn a_lineage_asks_for_digests_by_an_index_however_many_stages_there_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let registry = Registry::open(folder.path().join("stagewright.db")).expect("a registry");
        let indices = ["stage_outputs_by_digest", "stage_inputs_by_digest", "stages_by_digest"];
        let touches = TOUCHES.iter().map(|(_, query)| *query).zip(indices);
        let others = [(VERSIONS, "version_artifacts_by_digest"), (NUMBERS, "stages_by_run")];
        for (query, index) in touches.chain(others) {
            let steps = steps_of(&registry, query, 1);
            assert!(steps.iter().any(|step| step.contains(index)), "{query}: {steps:?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{query}: {steps:?}");
        }
    }
}
