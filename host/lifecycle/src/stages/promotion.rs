//! Promotion: the decision, then the registry.
//!
//! The candidate is approved only if every gate of the manifest passed, as the host found, and the
//! promotion component approves too: it can be stricter, never looser. The decision becomes a
//! verdict in the registry, which names the champion that it was reached against. An approved
//! candidate is copied to the production location before it becomes champion, and pointed to there
//! after.

use std::time::{Duration, Instant};

use serde::Serialize;
use stagewright_evaluation::difference::Difference;
use stagewright_evaluation::gates::{GateResult, GateRule, Verdict, judge};
use stagewright_evaluation::report::{Champion, EvaluationReport, Reason};
use stagewright_manifest::{Register, World};
use stagewright_promotion::promote::carry_out;
use stagewright_store::{
    self as store, CHAMPION, JudgedAgainst, NewVerdict, PromotionRequest, StoreError, VerdictReason,
};

use crate::artifact::{DECISION, EVALUATION, PREDICTIONS, REPORT};
use crate::candidate;
use crate::fault::StageFault;
use crate::judgement;
use crate::run::{Run, RunError};
use crate::sandbox::{DecisionInput, StageDecision};
use crate::settings;
use crate::stage::Stage;
use crate::stages::evaluation::named;
use crate::summary::{DecisionSummary, EvaluationSummary};

/// How long a collection of garbage is waited for.
const COLLECTION: Duration = Duration::from_secs(15 * 60);

/// The decision on a candidate: an artifact, and the verdict that the registry records.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Decision {
    verdict: Verdict,
    policy: &'static str,
    judged_against: Option<u32>,
    difference: Option<Difference>,
    reasons: Vec<Reason>,
    gates: Vec<GateResult>,
    /// The candidate's metrics on the rows that it did not learn from.
    #[serde(skip)]
    metrics: Vec<(String, f64)>,
}

/// Decides.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let evaluated = stage.open(&EVALUATION)?;
    let reported = evaluated.reported.as_ref().map(|reported| named(&reported.metrics)).unwrap_or_default();
    let comparison = evaluated.compared.comparison.as_ref();
    // Judged again, by today's gates: a single stage may run with other gates than the evaluation it works on.
    let gates = settings::gates(&stage.run.manifest.gates);
    let gates = match &evaluated.champion {
        Champion::Unreadable { .. } => gates.without_comparison(),
        Champion::None | Champion::Evaluated(_) => gates,
    };
    let judgement = judge(&gates, &evaluated.candidate.metrics, comparison);
    let input = DecisionInput {
        candidate: named(&evaluated.candidate.metrics),
        champion: comparison.map(|comparison| named(&comparison.champion)),
        reported,
        rows: evaluated.test.rows.saturating_sub(evaluated.compared.candidate_overlap_rows.unwrap_or_default()),
        difference: comparison.and_then(|comparison| comparison.difference.clone()),
        gates: judgement.gates.clone(),
        verdict: judgement.verdict,
    };
    let decided = stage.run.sandbox.decide(stage.context(None), &input)?;
    let (verdict, reasons) = combine(&judgement.gates, decided, &stage.component.name);
    let decision = Decision {
        verdict,
        policy: gates.policy.name(),
        judged_against: champion_of(&evaluated)?,
        difference: comparison.and_then(|comparison| comparison.difference.clone()),
        reasons,
        gates: judgement.gates,
        metrics: input.candidate,
    };
    stage.put_json(&DECISION, &decision)?;
    if stage.run.summary.evaluation.is_none() {
        stage.run.summary.evaluation = Some(rows_of(&evaluated));
    }
    stage.run.summary.decision = Some(DecisionSummary {
        verdict,
        policy: decision.policy.to_owned(),
        judged_against: decision.judged_against,
        difference: decision.difference.clone(),
        reasons: decision.reasons.clone(),
    });
    stage.run.decision = Some(decision);
    Ok(())
}

/// The rows that an earlier run's evaluation counted.
fn rows_of(evaluated: &EvaluationReport) -> EvaluationSummary {
    let compared = &evaluated.compared;
    EvaluationSummary {
        test_rows: evaluated.test.rows,
        candidate_overlap_rows: compared.candidate_overlap_rows,
        champion_overlap_rows: compared.champion_overlap_rows,
        compared_rows: compared.comparison.as_ref().map(|comparison| comparison.rows),
        equal_content_rows: compared.equal_content_rows,
    }
}

/// Whether the evaluation that a single promotion works on must be made again: it was made for
/// another model, under other gates, or beside another champion than the present one.
pub(crate) fn is_outdated(run: &Run) -> Result<bool, RunError> {
    let effective = run.manifest.effective();
    let same_rules = run.evaluated_under.as_ref().is_some_and(|evaluated_under| {
        ["model", "gates"].iter().all(|key| evaluated_under.get(key) == effective.get(key))
    });
    if !same_rules {
        return Ok(true);
    }
    let evaluated = run.open(&EVALUATION)?;
    let name = run.manifest.model.as_str();
    let registry = &run.request.home.registry;
    let champion = registry.alias(name, CHAMPION)?;
    if champion_of(&evaluated)? != champion {
        return Ok(true);
    }
    // Numbers of a model that was deleted are given again under its name: its content decides.
    let Some(champion) = champion else { return Ok(false) };
    let standing = registry.version(name, champion)?.contents;
    let digest = match &evaluated.champion {
        Champion::None => None,
        Champion::Evaluated(model) => Some(&model.digest),
        Champion::Unreadable { digest, .. } => Some(digest),
    };
    Ok(standing["model"].as_str() != digest.map(String::as_str))
}

/// The host's gates are final where they say no; the component's own rules stand beside them.
fn combine(gates: &[GateResult], decision: StageDecision, component: &str) -> (Verdict, Vec<Reason>) {
    let mut reasons: Vec<Reason> = gates
        .iter()
        .map(|result| Reason { gate: result.name(), passed: result.passed, message: result.message.clone() })
        .collect();
    let known: Vec<String> = reasons.iter().map(|reason| reason.gate.clone()).collect();
    let own: Vec<(String, bool, String)> = decision
        .reasons
        .into_iter()
        .map(|(gate, passed, message)| (name_of_host(gates, gate), passed, message))
        .filter(|(gate, passed, _)| !(known.contains(gate) && *passed))
        .collect();
    // A component that sees an undecided gate cannot approve. Only a rule of its own makes its
    // refusal a rejection.
    let undecided = |name: &String| gates.iter().any(|gate| gate.undecided && gate.name() == *name);
    let is_only_undecided = own.iter().all(|(gate, passed, _)| *passed || undecided(gate));
    for (gate, passed, message) in own {
        match reasons.iter_mut().find(|reason| reason.gate == gate) {
            // The component refuses at a gate that the host passed: it is stricter there.
            Some(reason) if reason.passed => {
                *reason = Reason { gate, passed, message: format!("{component}: {message}") }
            }
            Some(_) => {}
            None => reasons.push(Reason { gate, passed, message }),
        }
    }
    let found = Verdict::of(gates);
    if found == Verdict::Approved && !decision.approved && reasons.iter().all(|reason| reason.passed) {
        reasons.push(Reason {
            gate: component.to_owned(),
            passed: false,
            message: "the promotion component rejects the candidate without a reason".into(),
        });
    }
    let verdict = match found {
        // A component that approves although a rule of its own failed contradicts itself: nothing
        // is promoted then.
        Verdict::Approved if decision.approved && reasons.iter().all(|reason| reason.passed) => Verdict::Approved,
        Verdict::Undecided if decision.approved || is_only_undecided => Verdict::Undecided,
        _ => Verdict::Rejected,
    };
    (verdict, reasons)
}

/// Returns the host's name for a gate that a component names. The contract has no `no-worse`, and
/// tells it as a `no-regression`.
fn name_of_host(gates: &[GateResult], told: String) -> String {
    let is_told_so = |gate: &&GateResult| {
        gate.gate.rule == GateRule::NoWorse && told == format!("{} {}", GateRule::NoRegression.name(), gate.gate.metric)
    };
    let is_a_name = gates.iter().any(|gate| gate.name() == told);
    gates.iter().find(is_told_so).filter(|_| !is_a_name).map_or_else(|| told.clone(), GateResult::name)
}

/// Records the decision as a verdict. An approved candidate is copied to the production location
/// and becomes champion, if the champion is still the one that it was compared with.
pub(crate) fn promote(run: &mut Run) -> Result<(), RunError> {
    let Some(decision) = run.decision.take() else { return Ok(()) };
    let has_version = run.candidate.as_ref().is_some_and(|candidate| candidate.version.is_some());
    if decision.verdict != Verdict::Approved && run.manifest.gates.register == Register::Passed && !has_version {
        return Ok(());
    }
    let version = candidate::register(run)?;
    let name = run.manifest.model.to_string();
    let verdict = verdict(run, &decision);
    let home = run.request.home.clone();
    home.registry.record_verdict(&home.artifacts, &name, version, &verdict)?;
    let promoted = match verdict.verdict {
        store::Verdict::Approved => put_into_production(run, &name, version, &verdict),
        store::Verdict::Rejected | store::Verdict::Undecided => Ok(()),
    };
    let is_new = run.summary.model.as_ref().is_some_and(|model| model.is_new);
    run.summary.model = Some(candidate::summary(run, &name, version, is_new)?);
    promoted
}

/// Makes an approved version champion.
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
            let promotion = after_collections(run, || home.registry.begin_promotion(name, version, &request))?;
            let progress = |done, total| run.request.observer.progress(World::Promotion, done, total);
            carry_out(home, destination, &promotion, &progress)?;
        }
        None => home.registry.promote(name, version, &request)?,
    }
    Ok(())
}

/// The decision as the registry records it.
fn verdict(run: &Run, decision: &Decision) -> NewVerdict {
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
    NewVerdict {
        verdict,
        policy: decision.policy.to_owned(),
        judged_against: JudgedAgainst::from(decision.judged_against),
        reason,
        reasons: decision.reasons.iter().map(reason_of).collect(),
        evaluation: judgement::record(run.summary.evaluation.as_ref(), decision.difference.as_ref()),
        metrics: decision.metrics.clone(),
        references: candidate::explaining(run, &[EVALUATION.place, REPORT.place, PREDICTIONS.place, DECISION.place]),
        run_id: Some(run.id.clone()),
        is_override: false,
    }
}

fn joined<'a>(reasons: impl Iterator<Item = &'a Reason>) -> String {
    reasons.map(|reason| reason.message.as_str()).collect::<Vec<_>>().join("; ")
}

/// Waits while garbage is collected at the destination: a training is not lost for it.
fn after_collections<T>(run: &Run, register: impl Fn() -> Result<T, StoreError>) -> Result<T, RunError> {
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

/// The version that stood as champion when the candidate was evaluated.
fn champion_of(evaluated: &EvaluationReport) -> Result<Option<u32>, RunError> {
    let version = match &evaluated.champion {
        Champion::None => None,
        Champion::Evaluated(model) => model.version,
        Champion::Unreadable { version, .. } => Some(*version),
    };
    Ok(version.map(u32::try_from).transpose().map_err(StageFault::host)?)
}
