//! The files that a run leaves: artifacts that the manifest names, written at the end.

use std::fs::File;
use std::path::Path;

use stagewright_manifest::{OutputSection, StepId, World};
use stagewright_store::{ArtifactRecord, StoreError, write_whole_from};

use crate::made::Made;
use crate::run::{Run, RunError};

/// Writes the outputs of the stages that the run was asked for: each whole or not at all, and none
/// if one of them was not made. Of a candidate that was not judged, because it is the champion
/// already, nothing is made: files of before stay as they are.
///
/// # Errors
/// [`RunError::NotMade`], or a file that cannot be written.
pub(crate) fn write(run: &Run, made: &Made, is_judged: bool) -> Result<(), RunError> {
    let is_asked_for = |world: World| run.request.stages.contains(&world);
    let asked = run.request.manifest.outputs.iter().filter(|output| is_asked_for(output.world));
    let mut wanted: Vec<(&Path, &ArtifactRecord)> = Vec::new();
    for output in asked {
        match found(run, made, output) {
            // Nobody has the reports of this champion: the files stay as they are.
            Err(_) if !is_judged && output.world >= World::Evaluation => {}
            artifact => wanted.push((output.path.as_path(), artifact?)),
        }
    }
    for (path, artifact) in wanted {
        let failed = |source| StoreError::Io { action: "write", path: path.to_owned(), source };
        let artifacts = &run.request.home.artifacts;
        artifacts.verify(artifact.kind, &artifact.digest)?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut file = File::open(artifacts.path(artifact.kind, &artifact.digest)).map_err(failed)?;
        write_whole_from(path, &mut file).map_err(failed)?;
    }
    Ok(())
}

/// The artifact of an output. Of an evaluation of several models it is the candidate's.
fn found<'a>(run: &Run, made: &'a Made, output: &OutputSection) -> Result<&'a ArtifactRecord, RunError> {
    let steps = run.request.manifest.graph.of(output.world).filter(|step| step.stage == output.stage);
    let ids: Vec<&StepId> = steps.map(|step| &step.id).collect();
    let on_line = made.step_of(output.world);
    let step = ids.iter().find(|id| ***id == on_line).or(ids.first());
    let artifact = step.and_then(|step| made.named(step, &output.artifact));
    artifact.ok_or_else(|| RunError::NotMade {
        path: output.path.clone(),
        stage: output.stage.clone(),
        name: output.artifact.clone(),
    })
}
