//! The evaluation of a candidate that is the champion already, which an earlier run made.

use stagewright_evaluation::report::EvaluationReport;
use stagewright_manifest::World;
use stagewright_store::{Digest, RunId, StageRecord, VersionVerdict};

use crate::artifact::{DECISION, EVALUATION, MODEL, TEST};
use crate::artifact_names::ArtifactName;
use crate::run::artifacts::RunArtifacts;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::run_error::RunError;

impl Run {
    /// Takes the newest evaluation behind a verdict on the champion, if it measured this model on
    /// these test rows, together with its decision. The run then has its metrics, as if it had
    /// evaluated the model itself. If there is no such evaluation, or its reports are gone, the run
    /// has no metrics.
    pub(crate) fn take_earlier_evaluation(
        &self,
        artifacts: &mut RunArtifacts,
        candidate: &Candidate,
    ) -> Result<(), RunError> {
        let (Some(version), home) = (candidate.version, &self.request.home) else { return Ok(()) };
        let step = self.evaluation_of(&candidate.training)?;
        let here = artifacts.along(&step.line);
        let (model, test) = (here.find(MODEL.name)?.digest.to_string(), here.find(TEST.name)?.digest.to_string());
        for verdict in home.registry.verdicts(self.request.manifest.model.as_str(), version)?.iter().rev() {
            let (Some(run), Some(evaluation)) = (&verdict.run_id, referred(verdict, EVALUATION.name)) else {
                continue;
            };
            let Some(evaluation) = self.record_of(run, EVALUATION.name, evaluation)? else { continue };
            let mut taken = artifacts.clone();
            taken.add(&step.id, evaluation);
            let Ok(report) = taken.after(step).open(&EVALUATION) else { continue };
            if !is_of(&report, &model, &test) {
                continue;
            }
            let decides = self.request.manifest.graph.of(World::Promotion).next();
            if let (Some(decides), Some(decision)) = (decides, referred(verdict, DECISION.name))
                && let Some(decision) = self.record_of(run, DECISION.name, decision)?
            {
                taken.add(&decides.id, decision);
            }
            *artifacts = taken;
            return self.log_results(&report);
        }
        Ok(())
    }

    /// Returns the record of the step that made an artifact in a run, with those of its outputs
    /// that are still here; `None` if the run was removed.
    fn record_of(&self, run: &RunId, place: ArtifactName, digest: Digest) -> Result<Option<StageRecord>, RunError> {
        let home = &self.request.home;
        let made_it = |stage: &StageRecord| {
            stage.outputs.iter().any(|output| output.name == place.name && output.digest == digest)
        };
        let Some(mut stage) = home.registry.stages(run)?.into_iter().find(made_it) else { return Ok(None) };
        stage.outputs.retain(|output| home.artifacts.contains(output.kind, &output.digest));
        Ok(Some(stage))
    }
}

fn referred(verdict: &VersionVerdict, place: ArtifactName) -> Option<Digest> {
    let role = place.role();
    verdict.references.iter().find(|reference| reference.role == role).map(|reference| reference.digest)
}

fn is_of(report: &EvaluationReport, model: &str, test: &str) -> bool {
    report.candidate.digest == model && report.test.digest == test
}
