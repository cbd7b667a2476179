//! Promotion: the decision, then the registry.
//!
//! The candidate is approved only if every gate of the manifest passed, as the host found, and the promotion component approves too: it can be stricter, never
//! looser. Every evaluated candidate is registered and judged once; only an approved one becomes champion, by compare-and-set.

use serde::Serialize;
use stagewright_data::{Signature, Task};
use stagewright_evaluation::gates::{GateResult, judge};
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{Champion, EvaluationReport, Reason, Verdict};
use stagewright_manifest::World;
use stagewright_store::{self as store, NewVersion};

use crate::fault::StageFault;
use crate::model::{Format, ModelComponent, RegisteredModel};
use crate::run::{Run, RunError};
use crate::sandbox::{DecisionInput, StageDecision};
use crate::settings;
use crate::stage::Stage;
use crate::summary::{DecisionSummary, ModelSummary};

/// The decision as an artifact.
#[derive(Serialize)]
struct Decided<'a> {
    verdict: Verdict,
    reasons: &'a [Reason],
    gates: &'a [GateResult],
}

/// Decides, and keeps the components with the model, so that it is whole.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let evaluated: EvaluationReport = stage.json(World::Evaluation, "evaluation")?;
    let champion = match &evaluated.champion {
        Champion::Evaluated(champion) => Some(&champion.metrics),
        Champion::None | Champion::Unreadable { .. } => None,
    };
    let reported = evaluated.reported.as_ref().map(|reported| named(&reported.metrics)).unwrap_or_default();
    // Judged again, by today's gates: a single stage may run with other gates than the evaluation it works on.
    let gates = judge(&settings::gates(&stage.run.manifest.gates), &evaluated.candidate.metrics, champion);
    let input = DecisionInput {
        candidate: named(&evaluated.candidate.metrics),
        champion: champion.map(named),
        reported,
        gates,
    };
    let decision = stage.run.sandbox.decide(stage.context(None), &input)?;
    let (verdict, reasons) = combine(&input.gates, decision, &stage.component.name);
    let model = registered(stage, &evaluated)?;
    for world in [World::Transformation, World::Training] {
        let component = stage.run.request.components[&world].clone();
        let bytes = stage.run.sandbox.component_bytes(&component)?;
        stage.put_bytes(&format!("{world}-component"), &bytes)?;
    }
    stage.put_json("decision", &Decided { verdict, reasons: &reasons, gates: &input.gates })?;
    stage.run.summary.decision = Some(DecisionSummary { verdict, reasons });
    stage.run.registered = Some((model, evaluated.champion));
    Ok(())
}

fn named(set: &MetricSet) -> Vec<(String, f64)> {
    set.iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect()
}

/// The host's gates are final where they say no; the component's own rules stand beside them.
fn combine(gates: &[GateResult], decision: StageDecision, component: &str) -> (Verdict, Vec<Reason>) {
    let name = |result: &GateResult| format!("{} {}", result.gate.rule.name(), result.gate.metric);
    let mut reasons: Vec<Reason> = gates
        .iter()
        .map(|result| Reason { gate: name(result), passed: result.passed, message: result.message.clone() })
        .collect();
    let known: Vec<String> = reasons.iter().map(|reason| reason.gate.clone()).collect();
    let own = decision.reasons.into_iter().filter(|(gate, passed, _)| !(known.contains(gate) && *passed));
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
    let gates_passed = gates.iter().all(|result| result.passed);
    if gates_passed && !decision.approved && reasons.iter().all(|reason| reason.passed) {
        reasons.push(Reason {
            gate: component.to_owned(),
            passed: false,
            message: "the promotion component rejects the candidate without a reason".into(),
        });
    }
    let verdict = if gates_passed && decision.approved { Verdict::Approved } else { Verdict::Rejected };
    (verdict, reasons)
}

/// The candidate as the registry will hold it.
fn registered(stage: &mut Stage<'_>, evaluated: &EvaluationReport) -> Result<RegisteredModel, RunError> {
    let signature: Signature = stage.json(World::Ingestion, "signature")?;
    let task: Task = stage.json(World::Transformation, "task")?;
    let importance = stage.json(World::Training, "importance")?;
    let data = stage.table(World::Ingestion, "table")?.digest();
    let state = stage.blob(World::Transformation, "state")?.digest();
    let model = stage.blob(World::Training, "model")?.digest();
    let component = |world| {
        let component = &stage.run.request.components[&world];
        let section = stage.run.manifest.component(world);
        ModelComponent {
            name: component.name.clone(),
            digest: component.digest,
            stubs: section.stubs.iter().map(|stub| stub.as_str().to_owned()).collect(),
            parameters: serde_json::Value::Object(section.parameters.clone()),
        }
    };
    Ok(RegisteredModel {
        format: Format,
        transformation: component(World::Transformation),
        state,
        training: component(World::Training),
        model,
        task,
        signature,
        target: stage.run.manifest.task.target.clone(),
        importance,
        metrics: evaluated.candidate.metrics.clone(),
        test_digest: evaluated.test.digest.parse().map_err(StageFault::host)?,
        data_digest: data,
        run_id: stage.run.id.to_string(),
        seed: stage.run.manifest.seed,
        as_of: stage.run.manifest.as_of.as_microsecond(),
    })
}

/// Registers the candidate with its verdict, and moves `champion` to it if it is approved and the champion is still the one it was compared with.
pub(crate) fn promote(run: &mut Run) -> Result<(), RunError> {
    let (Some((model, champion)), Some(decision)) = (&run.registered, &run.summary.decision) else { return Ok(()) };
    let registry = &run.request.home.registry;
    let name = run.manifest.model.to_string();
    let description = serde_json::to_value(model).map_err(StageFault::host)?;
    let version = NewVersion { run_id: Some(run.id.clone()), description };
    let failed: Vec<&str> =
        decision.reasons.iter().filter(|reason| !reason.passed).map(|reason| reason.message.as_str()).collect();
    let (verdict, reason) = match decision.verdict {
        Verdict::Approved => (store::Verdict::Approved, "every gate passed".to_owned()),
        Verdict::Rejected => (store::Verdict::Rejected, failed.join("; ")),
    };
    let version = registry.register_candidate(&name, &version, verdict, &reason, compared_with(champion)?)?;
    let aliases = registry.version(&name, version)?.aliases;
    run.summary.model = Some(ModelSummary { name, version, aliases });
    Ok(())
}

/// The version that stood as champion when the candidate was evaluated.
fn compared_with(champion: &Champion) -> Result<Option<u32>, RunError> {
    let version = match champion {
        Champion::None => None,
        Champion::Evaluated(model) => model.version,
        Champion::Unreadable { version, .. } => Some(*version),
    };
    Ok(version.map(u32::try_from).transpose().map_err(StageFault::host)?)
}
