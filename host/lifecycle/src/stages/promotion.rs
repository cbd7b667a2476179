//! Promotion: the decision on the candidate.
//!
//! The candidate is approved only if it passed every gate of the manifest and the promotion
//! component approves, too. The component can be stricter than the gates, never looser.

use std::collections::HashMap;

use stagewright_evaluation::gates::{GateResult, GateRule, Gates, Verdict, judge};
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{Champion, EvaluationReport, Reason};

use crate::artifact::{DECISION, Decision, EVALUATION};
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::run_error::RunError;
use crate::sandbox::{DecisionInput, StageDecision};

/// Decides on the candidate.
pub(crate) fn run(gates: &Gates, execution: &mut Execution) -> Result<(), RunError> {
    let evaluated = execution.open(&EVALUATION)?;
    let reported = evaluated.reported.as_ref().map(|reported| named(&reported.metrics)).unwrap_or_default();
    let comparison = evaluated.compared.comparison.as_ref();
    // The gates are judged again: a stage that is run alone may have other gates than the
    // evaluation that it reads.
    let gates = match &evaluated.champion {
        Champion::Unreadable { .. } => gates.without_comparison(),
        Champion::None | Champion::Evaluated(_) => gates.clone(),
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
    let decided = execution.session.sandbox.decide(execution.context(HashMap::new())?, &input)?;
    let (verdict, reasons) = combine(&judgement.gates, decided, &execution.component.name);
    let decision = Decision {
        verdict,
        policy: gates.policy.name().to_owned(),
        judged_against: champion_of(&evaluated)?,
        difference: comparison.and_then(|comparison| comparison.difference.clone()),
        reasons,
        gates: judgement.gates,
    };
    execution.put_json(&DECISION, &decision)
}

/// Returns metrics by name; NaN where one is undefined.
pub(crate) fn named(set: &MetricSet) -> Vec<(String, f64)> {
    set.iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect()
}

/// Combines the gates with the component's decision. A gate that failed is final; the component's
/// own rules are added.
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
    // A component cannot approve with an undecided gate. Its refusal is a rejection only if a rule
    // of its own failed.
    let undecided = |name: &String| gates.iter().any(|gate| gate.undecided && gate.name() == *name);
    let is_only_undecided = own.iter().all(|(gate, passed, _)| *passed || undecided(gate));
    for (gate, passed, message) in own {
        match reasons.iter_mut().find(|reason| reason.gate == gate) {
            // The component is stricter here: it refuses at a gate that passed.
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
        // A component that approves although a rule of its own failed contradicts itself. Nothing
        // is promoted then.
        Verdict::Approved if decision.approved && reasons.iter().all(|reason| reason.passed) => Verdict::Approved,
        Verdict::Undecided if decision.approved || is_only_undecided => Verdict::Undecided,
        _ => Verdict::Rejected,
    };
    (verdict, reasons)
}

/// Returns the host's name for a gate that a component names. The contract has no `no-worse` and
/// calls it `no-regression`.
fn name_of_host(gates: &[GateResult], told: String) -> String {
    let is_told_so = |gate: &&GateResult| {
        gate.gate.rule == GateRule::NoWorse && told == format!("{} {}", GateRule::NoRegression.name(), gate.gate.metric)
    };
    let is_a_name = gates.iter().any(|gate| gate.name() == told);
    gates.iter().find(is_told_so).filter(|_| !is_a_name).map_or_else(|| told.clone(), GateResult::name)
}

/// Returns the version that was the champion when the candidate was evaluated.
pub(crate) fn champion_of(evaluated: &EvaluationReport) -> Result<Option<u32>, StageFault> {
    let version = match &evaluated.champion {
        Champion::None => None,
        Champion::Evaluated(model) => model.version,
        Champion::Unreadable { version, .. } => Some(*version),
    };
    version.map(u32::try_from).transpose().map_err(StageFault::host)
}
