//! The way from a decision to the registry and to production.
//!
//! The registry records the decision as a verdict, with the champion that it was reached against.
//! An approved candidate is copied to the production location before it becomes champion; the
//! pointer there changes after that.

use std::time::{Duration, Instant};

use stagewright_evaluation::gates::Verdict;
use stagewright_evaluation::report::{Champion, Reason};
use stagewright_manifest::{RegisterPolicy, World};
use stagewright_promotion::promote::carry_out;
use stagewright_store::{
    self as store, CHAMPION, JudgedAgainst, NewVerdict, PromotionRequest, StoreError, VerdictReason,
};

use crate::artifact::{DECISION, Decision, EVALUATION, EVALUATION_REPORT, PREDICTIONS};
use crate::fault::StageFault;
use crate::judgement;
use crate::run::artifacts::RunArtifacts;
use crate::run::candidate::{self, Candidate};
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::stages::promotion::{champion_of, named};
use crate::summary::EvaluationSummary;

/// The longest wait for a garbage collection.
const COLLECTION: Duration = Duration::from_secs(15 * 60);

/// Whether the evaluation that a promotion reads must be made again, because it was made for
/// another model, under other gates, or beside another champion than the current one.
pub(crate) fn is_outdated(run: &Run, artifacts: &RunArtifacts) -> Result<bool, RunError> {
    let effective = run.request.manifest.effective();
    let same_rules = artifacts.evaluation_config().is_some_and(|evaluated_under| {
        ["model", "gates"].iter().all(|key| evaluated_under.get(key) == effective.get(key))
    });
    if !same_rules {
        return Ok(true);
    }
    let evaluated = artifacts.open(&EVALUATION)?;
    let name = run.request.manifest.model.as_str();
    let registry = &run.request.home.registry;
    let champion = registry.alias(name, CHAMPION)?;
    if champion_of(&evaluated)? != champion {
        return Ok(true);
    }
    // A deleted model's version numbers are used again under its name, so the content is compared.
    let Some(champion) = champion else { return Ok(false) };
    let standing = registry.version(name, champion)?.contents;
    let digest = match &evaluated.champion {
        Champion::None => None,
        Champion::Evaluated(model) => Some(&model.digest),
        Champion::Unreadable { digest, .. } => Some(digest),
    };
    Ok(standing["model"].as_str() != digest.map(String::as_str))
}

/// Records the decision as a verdict. An approved candidate is copied to the production location
/// and becomes champion, if the champion is still the one that it was compared with.
pub(crate) fn promote(run: &Run, artifacts: &RunArtifacts, candidate: &mut Candidate) -> Result<(), RunError> {
    let decision = artifacts.open(&DECISION)?;
    let register = run.request.manifest.gates.register;
    if decision.verdict != Verdict::Approved && register == RegisterPolicy::Passed && candidate.version.is_none() {
        return Ok(());
    }
    let version = candidate::register(run, artifacts, candidate)?;
    let name = run.request.manifest.model.as_str();
    let verdict = verdict(run, artifacts, &decision)?;
    let home = &run.request.home;
    home.registry.record_verdict(&home.artifacts, name, version, &verdict)?;
    let promoted = match verdict.verdict {
        store::Verdict::Approved => put_into_production(run, name, version, &verdict),
        store::Verdict::Rejected | store::Verdict::Undecided => Ok(()),
    };
    candidate.refresh_summary(run)?;
    promoted
}

/// Makes an approved version the champion.
fn put_into_production(run: &Run, name: &str, version: u32, verdict: &NewVerdict) -> Result<(), RunError> {
    let home = &run.request.home;
    let destination = run.request.destination.as_deref();
    let request = PromotionRequest {
        destination: destination.map_or_else(String::new, |it| it.uri().to_owned()),
        expected: Some(verdict.judged_against.champion()),
        reason: verdict.reason.clone(),
    };
    match destination {
        Some(destination) => {
            let promotion = retry_during_collection(run, || home.registry.begin_promotion(name, version, &request))?;
            let progress = |done, total| run.request.observer.progress(&World::Promotion.into(), done, total);
            carry_out(home, destination, &promotion, &progress)?;
        }
        None => home.registry.promote(name, version, &request)?,
    }
    Ok(())
}

/// Returns the decision as a verdict for the registry.
fn verdict(run: &Run, artifacts: &RunArtifacts, decision: &Decision) -> Result<NewVerdict, RunError> {
    let evaluated = artifacts.open(&EVALUATION)?;
    let of = |passed: bool| decision.reasons.iter().filter(move |reason| reason.passed == passed);
    let (verdict, reason) = match decision.verdict {
        Verdict::Approved => (store::Verdict::Approved, "every gate passed".to_owned()),
        Verdict::Rejected => (store::Verdict::Rejected, joined(of(false))),
        Verdict::Undecided => (store::Verdict::Undecided, joined(of(false))),
    };
    let reason_of = |reason: &Reason| VerdictReason {
        gate: reason.gate.clone(),
        passed: reason.passed,
        message: reason.message.clone(),
    };
    Ok(NewVerdict {
        verdict,
        policy: decision.policy.clone(),
        judged_against: JudgedAgainst::from(decision.judged_against),
        reason,
        reasons: decision.reasons.iter().map(reason_of).collect(),
        evaluation: judgement::record(Some(&EvaluationSummary::of(&evaluated)), decision.difference.as_ref()),
        metrics: named(&evaluated.candidate.metrics),
        references: artifacts.references(&[EVALUATION.name, EVALUATION_REPORT.name, PREDICTIONS.name, DECISION.name]),
        run_id: Some(run.id.clone()),
        is_override: false,
    })
}

fn joined<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    reasons.map(|reason| reason.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// Retries while garbage is collected at the destination, so that a training is not lost.
fn retry_during_collection<T>(run: &Run, register: impl Fn() -> Result<T, StoreError>) -> Result<T, RunError> {
    let began = Instant::now();
    loop {
        match register() {
            Err(StoreError::CollectionRunning { .. }) if began.elapsed() < COLLECTION => {
                if run.request.cancel.is_cancelled() {
                    return Err(StageFault::Cancelled { stage: World::Promotion.into() }.into());
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            registered => return Ok(registered?),
        }
    }
}
