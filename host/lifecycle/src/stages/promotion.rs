//! Promotion: the decision, then the registry.
//!
//! An approved candidate is copied to the production location before it becomes champion, and pointed to there after.
//! The candidate is approved only if every gate of the manifest passed, as the host found, and the promotion component approves too: it can be stricter, never
//! looser. Every evaluated candidate is registered and judged once; only an approved one becomes champion, by compare-and-set.

use std::time::{Duration, Instant};

use serde::Serialize;
use stagewright_data::{Signature, Task};
use stagewright_evaluation::gates::{GateResult, GateRule, judge};
use stagewright_evaluation::report::{Champion, EvaluationReport, Reason, Verdict};
use stagewright_manifest::{Register, World};
use stagewright_promotion::promote::carry_out;
use stagewright_store::{
    self as store, ArtifactKind, JudgedAgainst, NewVerdict, NewVersion, PromotionRequest, Reference, StoreError,
    VerdictReason,
};

use crate::fault::StageFault;
use crate::model::{Format, ModelComponent, RegisteredModel, StageLimits};
use crate::run::{Run, RunError};
use crate::sandbox::{DecisionInput, StageDecision};
use crate::semantic_version;
use crate::settings;
use crate::stage::Stage;
use crate::stages::evaluation::named;
use crate::summary::{DecisionSummary, ModelSummary};

/// How long a collection of garbage is waited for.
const COLLECTION: Duration = Duration::from_secs(15 * 60);

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
    let comparison = evaluated.compared.comparison.as_ref();
    let champion = comparison.map(|comparison| &comparison.champion);
    let reported = evaluated.reported.as_ref().map(|reported| named(&reported.metrics)).unwrap_or_default();
    // Judged again, by today's gates: a single stage may run with other gates than the evaluation it works on.
    let gates = settings::gates(&stage.run.manifest.gates);
    let gates = match &evaluated.champion {
        Champion::Unreadable { .. } => gates.without_comparison(),
        Champion::None | Champion::Evaluated(_) => gates,
    };
    let judgement = judge(&gates, &evaluated.candidate.metrics, comparison);
    let input = DecisionInput {
        candidate: named(&evaluated.candidate.metrics),
        champion: champion.map(named),
        reported,
        gates: judgement.gates,
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
    // A component that sees an undecided gate cannot approve. Only a rule of its own makes its refusal a rejection.
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
        Verdict::Approved if decision.approved => Verdict::Approved,
        Verdict::Undecided if decision.approved || is_only_undecided => Verdict::Undecided,
        _ => Verdict::Rejected,
    };
    (verdict, reasons)
}

/// What the host calls a gate that a component names: the contract has no `no-worse`, and tells it as a `no-regression`.
fn name_of_host(gates: &[GateResult], told: String) -> String {
    let is_told_so = |gate: &&GateResult| {
        gate.gate.rule == GateRule::NoWorse && told == format!("{} {}", GateRule::NoRegression.name(), gate.gate.metric)
    };
    let is_a_name = gates.iter().any(|gate| gate.name() == told);
    gates.iter().find(is_told_so).filter(|_| !is_a_name).map_or_else(|| told.clone(), GateResult::name)
}

/// The candidate as the registry will hold it.
fn registered(stage: &mut Stage<'_>, evaluated: &EvaluationReport) -> Result<RegisteredModel, RunError> {
    let signature: Signature = stage.json(World::Ingestion, "signature")?;
    let task: Task = stage.json(World::Transformation, "task")?;
    let importance = stage.json(World::Training, "importance")?;
    let data = stage.table(World::Ingestion, "table")?.digest();
    let state = stage.blob(World::Transformation, "state")?.digest();
    let model = stage.blob(World::Training, "model")?.digest();
    let features = stage.optional_table(World::Transformation, "features-train")?.map(|table| table.digest());
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
        features_digest: features,
        source: stage.run.manifest.ingestion_source().map(|(name, _)| name.to_string()),
        code: stage.run.request.code.clone(),
        limits: limits(stage.run),
        run_id: stage.run.id.to_string(),
        seed: stage.run.manifest.seed,
        as_of: stage.run.manifest.as_of.as_microsecond(),
    })
}

/// Limits of the stages so far, and what they used of them.
fn limits(run: &Run) -> Vec<StageLimits> {
    let limits = |stage: &crate::summary::StageSummary| {
        let allowed = run.manifest.stage(World::from_name(&stage.name)?).limits;
        Some(StageLimits {
            stage: stage.name.clone(),
            memory: allowed.memory,
            memory_used: stage.peak_memory_bytes,
            cpu_ms: allowed.cpu.as_millis() as u64,
            cpu_used_ms: stage.cpu_ms.ceil() as u64,
            wall_ms: allowed.wall.as_millis() as u64,
            wall_used_ms: stage.wall_ms.ceil() as u64,
        })
    };
    run.summary.stages.iter().filter_map(limits).collect()
}

/// Registers the candidate and records its verdict. An approved one is copied to the production location and becomes champion,
/// if the champion is still the one that it was compared with.
pub(crate) fn promote(run: &mut Run) -> Result<(), RunError> {
    let (Some((model, champion)), Some(decision)) = (&run.registered, &run.summary.decision) else { return Ok(()) };
    if decision.verdict != Verdict::Approved && run.manifest.gates.register == Register::Passed {
        return Ok(());
    }
    let (home, name) = (&run.request.home, run.manifest.model.to_string());
    let version = new_version(run, model)?;
    let verdict = new_verdict(run, model, decision, compared_with(champion)?)?;
    let numbering = |previous: Option<(&serde_json::Value, &str)>| Some(semantic_version::numbered(previous, model));
    let registry = &home.registry;
    let version = registry.register_candidate(&home.artifacts, &name, &version, &numbering)?.version;
    registry.record_verdict(&home.artifacts, &name, version, &verdict)?;
    let mut late = None;
    if verdict.verdict == store::Verdict::Approved {
        let destination = run.request.destination.as_deref();
        let request = PromotionRequest {
            destination: destination.map_or_else(String::new, |it| it.uri().to_owned()),
            expected: Some(verdict.judged_against.champion()),
            reason: verdict.reason.clone(),
        };
        match destination {
            Some(destination) => {
                let promotion = after_collections(run, || registry.begin_promotion(&name, version, &request))?;
                let progress = |done, total| run.request.observer.progress(World::Promotion, done, total);
                match carry_out(home, destination, &promotion, &progress) {
                    // It is champion: only the pointer is late.
                    Err(error) if error.is_champion() => late = Some(error),
                    carried_out => drop(carried_out?),
                }
            }
            None => registry.promote(&name, version, &request)?,
        }
    }
    let registered = home.registry.version(&name, version)?;
    let (aliases, semantic_version) = (registered.aliases, registered.semantic_version);
    run.summary.model = Some(ModelSummary { name, version, semantic_version, aliases });
    late.map_or(Ok(()), |error| Err(error.into()))
}

/// The decision as the registry records it, with everything that explains it.
fn new_verdict(
    run: &Run,
    model: &RegisteredModel,
    decision: &DecisionSummary,
    champion: Option<u32>,
) -> Result<NewVerdict, StageFault> {
    let failed = decision.reasons.iter().filter(|reason| !reason.passed).map(|reason| reason.message.as_str());
    let (verdict, reason) = match decision.verdict {
        Verdict::Approved => (store::Verdict::Approved, "every gate passed".to_owned()),
        Verdict::Rejected => (store::Verdict::Rejected, failed.collect::<Vec<_>>().join("; ")),
        Verdict::Undecided => (store::Verdict::Undecided, failed.collect::<Vec<_>>().join("; ")),
    };
    let reason_of =
        |it: &Reason| VerdictReason { gate: it.gate.clone(), passed: it.passed, message: it.message.clone() };
    Ok(NewVerdict {
        verdict,
        policy: settings::gates(&run.manifest.gates).policy.name().to_owned(),
        judged_against: JudgedAgainst::from(champion),
        reason,
        reasons: decision.reasons.iter().map(reason_of).collect(),
        evaluation: serde_json::to_value(&model.metrics).map_err(StageFault::host)?,
        metrics: named(&model.metrics),
        references: explaining(run, |world, name| {
            matches!(
                (world, name),
                (World::Evaluation, "evaluation" | "report" | "predictions") | (World::Promotion, "decision")
            )
        }),
        run_id: Some(run.id.clone()),
        is_override: false,
    })
}

/// The run's artifacts that explain something, by role.
fn explaining(run: &Run, explains: impl Fn(World, &str) -> bool) -> Vec<Reference> {
    let artifacts = run.artifacts.iter().filter(|((world, name), _)| explains(*world, name));
    let reference = |((world, name), artifact): (&(World, String), &store::ArtifactRecord)| Reference {
        role: format!("{world}.{name}"),
        kind: artifact.kind,
        digest: artifact.digest,
        needed: false,
    };
    artifacts.map(reference).collect()
}

/// Waits while garbage is collected at the destination: a training is not lost for it.
fn after_collections<T>(run: &Run, begin: impl Fn() -> Result<T, StoreError>) -> Result<T, RunError> {
    let began = Instant::now();
    loop {
        match begin() {
            Err(StoreError::CollectionRunning { .. }) if began.elapsed() < COLLECTION => {
                if run.request.cancel.is_cancelled() {
                    return Err(StageFault::Cancelled { stage: World::Promotion.as_str() }.into());
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            begun => return Ok(begun?),
        }
    }
}

/// The candidate with everything that it refers to.
fn new_version(run: &Run, model: &RegisteredModel) -> Result<NewVersion, StageFault> {
    let blob = |role: &str, digest| Reference { role: role.to_owned(), kind: ArtifactKind::Blob, digest, needed: true };
    let mut references = vec![
        blob("transformation-component", model.transformation.digest),
        blob("transformation-state", model.state),
        blob("training-component", model.training.digest),
        blob("model", model.model),
    ];
    references.extend(explaining(run, |world, name| {
        matches!(
            (world, name),
            (World::Ingestion, "table" | "signature")
                | (World::Transformation, "features-train" | "test" | "split")
                | (World::Training, "importance")
        )
    }));
    let worlds = [(World::Transformation, &model.transformation), (World::Training, &model.training)];
    let parameters = worlds.into_iter().flat_map(|(world, component)| {
        let own = component.parameters.as_object().into_iter().flatten();
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let named = own.map(move |(name, value)| (format!("{world}.{name}"), text(value)));
        named.chain([(format!("{world}.component"), component.name.clone())])
    });
    let code = model.code.iter().map(|code| ("mlflow.source.git.commit".to_owned(), code.commit.clone()));
    Ok(NewVersion {
        run_id: Some(run.id.clone()),
        contents: serde_json::to_value(model).map_err(StageFault::host)?,
        references,
        parts: None,
        rows: None,
        metrics: Vec::new(),
        parameters: parameters.collect(),
        tags: code.collect(),
    })
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
