//! The summary of a run.

use stagewright_evaluation::report::EvaluationReport;
use stagewright_manifest::World;

use crate::artifact::{DECISION, Decision, EVALUATION};
use crate::run::artifacts::RunArtifacts;
use crate::run::candidate::Candidate;
use crate::run::context::Run;
use crate::summary::{DecisionSummary, EvaluationSummary, MetricsSummary, Summary, TrainedSummary};

impl Summary {
    /// Returns the summary of a run, from its documents.
    pub(crate) fn of_run(run: &Run, artifacts: &RunArtifacts, candidate: Option<Candidate>) -> Self {
        let trained = trained(run, artifacts, candidate.as_ref());
        let line = candidate.as_ref().and_then(|candidate| run.evaluation_line(&candidate.training).ok());
        let artifacts = &artifacts.along(&line.unwrap_or_default());
        let is_champion = candidate.as_ref().is_some_and(|candidate| candidate.is_champion_already);
        let (evaluates, decides) = (artifacts.has_run(World::Evaluation), artifacts.has_run(World::Promotion));
        let evaluated = artifacts.open(&EVALUATION).ok().filter(|_| evaluates || decides || is_champion);
        let champion = |evaluated: &EvaluationReport| {
            let comparison = evaluated.compared.comparison.as_ref()?;
            Some(comparison.champion.clone()).filter(|metrics| metrics.iter().next().is_some())
        };
        let metrics = |evaluated: &EvaluationReport| MetricsSummary {
            candidate: evaluated.candidate.metrics.clone(),
            // If the candidate is the champion by now, the champion in the report is an earlier
            // one.
            champion: champion(evaluated).filter(|_| !is_champion),
        };
        let decision = |decision: Decision| DecisionSummary {
            verdict: decision.verdict,
            policy: decision.policy,
            judged_against: decision.judged_against,
            difference: decision.difference,
            reasons: decision.reasons,
        };
        let cached = artifacts.summaries().iter().filter(|stage| stage.cached).count();
        Self {
            executed: artifacts.summaries().len() - cached,
            cached,
            stages: artifacts.summaries().to_vec(),
            trained,
            fsyncs: stagewright_store::fsyncs(),
            metrics: evaluated.as_ref().filter(|_| evaluates || is_champion).map(metrics),
            evaluation: evaluated.as_ref().map(EvaluationSummary::of),
            decision: artifacts.open(&DECISION).ok().filter(|_| decides).map(decision),
            is_champion_already: is_champion,
            model: candidate.and_then(|candidate| candidate.summary),
            ..Self::of(run.id.to_string())
        }
    }
}

/// Returns the models of a run, if it trained several and evaluated at least one.
fn trained(run: &Run, artifacts: &RunArtifacts, candidate: Option<&Candidate>) -> Vec<TrainedSummary> {
    let evaluations: Vec<_> = run.request.manifest.graph.of(World::Evaluation).collect();
    if evaluations.len() < 2 || !artifacts.has_run(World::Evaluation) {
        return Vec::new();
    }
    let of = |evaluation: &stagewright_manifest::Step| {
        let training = evaluation.line.get(&World::Training)?.clone();
        let metrics = artifacts.after(evaluation).open(&EVALUATION).ok().map(|evaluated| evaluated.candidate.metrics);
        let is_candidate = candidate.is_some_and(|candidate| candidate.training.id == training);
        Some(TrainedSummary { training, evaluation: evaluation.id.clone(), metrics, is_candidate })
    };
    evaluations.into_iter().filter_map(of).collect()
}
