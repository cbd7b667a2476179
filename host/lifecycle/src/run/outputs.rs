//! The output files of a run: artifacts that the manifest names, written at its end.

mod allowed;

use std::fs::File;
use std::io::{self, Read};

use stagewright_manifest::{OutputSection, StepId, World};
use stagewright_store::{ArtifactRecord, StoreError, write_beneath};

use crate::fault::StageFault;
use crate::limits::Cancel;
use crate::run::artifacts::RunArtifacts;
use crate::run::context::Run;
use crate::run_error::RunError;

pub(crate) use allowed::{check, check_children};

/// Writes the outputs of the stages that this run was to do. Each file is written as a whole or not
/// at all, and none if an artifact is missing. Without a judgement, because the candidate is the
/// champion already, its missing reports are skipped and the old files stay.
///
/// # Errors
/// [`RunError::NotMade`], [`RunError::NoOutput`], or a file cannot be written.
pub(crate) fn write(run: &Run, artifacts: &RunArtifacts, is_judged: bool) -> Result<(), RunError> {
    let graph = &run.request.manifest.graph;
    let is_asked_for = |output: &&OutputSection| {
        let mut steps = graph.of(output.world).filter(|step| step.stage == output.stage);
        steps.all(|step| run.is_requested(step))
    };
    let asked = run.request.manifest.outputs.iter().filter(is_asked_for);
    let mut wanted: Vec<(&OutputSection, &ArtifactRecord)> = Vec::new();
    for output in asked {
        match found(run, artifacts, output) {
            // The reports of this champion are not available, so the old files stay.
            Err(_) if !is_judged && output.world >= World::Evaluation => {}
            artifact => wanted.push((output, artifact?)),
        }
    }
    let home = &run.request.home;
    wanted.iter().try_for_each(|(output, _)| allowed::check_one(&run.request.manifest, home, output))?;
    for (output, artifact) in wanted {
        let OutputSection { path, folder, below, stage, .. } = output;
        let failed = |source| StoreError::Io { action: "write", path: path.clone(), source };
        home.artifacts.verify(artifact.kind, &artifact.digest)?;
        let file = File::open(home.artifacts.path(artifact.kind, &artifact.digest)).map_err(failed)?;
        let cancel = &run.request.cancel;
        match write_beneath(folder, below, &mut Stoppable { file, cancel }) {
            Err(_) if cancel.is_cancelled() => return Err(StageFault::Cancelled { stage: stage.clone() }.into()),
            written => written.map_err(failed)?,
        }
    }
    Ok(())
}

/// A file whose reads fail after a cancellation.
struct Stoppable<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() { Err(io::Error::other("it was cancelled")) } else { self.file.read(bytes) }
    }
}

/// Returns the artifact of an output. For the evaluation of several models, it is the candidate's.
fn found<'a>(run: &Run, artifacts: &'a RunArtifacts, output: &OutputSection) -> Result<&'a ArtifactRecord, RunError> {
    let steps = run.request.manifest.graph.of(output.world).filter(|step| step.stage == output.stage);
    let ids: Vec<&StepId> = steps.map(|step| &step.id).collect();
    let on_line = artifacts.step_of(output.world);
    let step = ids.iter().find(|id| ***id == on_line).or(ids.first());
    let artifact = step.and_then(|step| artifacts.of_name(step, &output.artifact));
    artifact.ok_or_else(|| RunError::NotMade {
        path: output.path.clone(),
        stage: output.stage.clone(),
        name: output.artifact.clone(),
    })
}
