//! The evaluation of a candidate that is the champion already: an earlier run made it.

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
    /// Takes over the newest evaluation that a verdict on the champion rests on, if it measured
    /// this model on these test rows, and the decision that followed it: the run has its metrics
    /// then, as if it had evaluated itself. A champion that nobody measured so, or whose reports
    /// are gone, has none.
    pub(crate) fn evaluated_before(&self, artifacts: &mut RunArtifacts, candidate: &Candidate) -> Result<(), RunError> {
        let (Some(version), home) = (candidate.version, &self.request.home) else { return Ok(()) };
        let step = self.evaluation_of(&candidate.training)?;
        let here = artifacts.along(&step.line);
        let (model, test) = (here.find(MODEL.name)?.digest.to_string(), here.find(TEST.name)?.digest.to_string());
        for verdict in home.registry.verdicts(self.request.manifest.model.as_str(), version)?.iter().rev() {
            let (Some(run), Some(evaluation)) = (&verdict.run_id, referred(verdict, EVALUATION.name)) else {
                continue;
            };
            let Some(evaluation) = self.record_of(run, EVALUATION.name, evaluation)? else { continue };
            let mut told = artifacts.clone();
            told.add(&step.id, evaluation);
            let Ok(report) = told.after(step).open(&EVALUATION) else { continue };
            if !is_of(&report, &model, &test) {
                continue;
            }
            let decides = self.request.manifest.graph.of(World::Promotion).next();
            if let (Some(decides), Some(decision)) = (decides, referred(verdict, DECISION.name))
                && let Some(decision) = self.record_of(run, DECISION.name, decision)?
            {
                told.add(&decides.id, decision);
            }
            *artifacts = told;
            return self.log_results(&report);
        }
        Ok(())
    }

    /// The record of the step of a run that made an artifact, with those of its artifacts that are
    /// still here. A run that was removed has none.
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
