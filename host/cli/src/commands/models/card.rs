//! `models card`: writes the model card of a version.

use std::path::Path;

use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::card::{
    Card, CardData, CardDetails, CardEvaluation, CardEvent, CardLimits, DataField, IntendedUse, JudgedAgainst,
    VersionVerdict,
};
use stagewright_evaluation::report::{Dataset, Reason, Verdict};
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{AuditEntry, CHAMPION, Home, ModelVersion, Run};

use crate::commands::compare::{code, components, evaluation_of, rows_of, task_text};
use crate::commands::models::version::{contents, find_version};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::terminal::{bytes, milliseconds, moment};
use crate::usage_error::UsageError;

pub(super) fn card(home: &Home, model: &str, output: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let version = find_version(home, model, CHAMPION)?;
    let card = of(home, &version)?;
    if json {
        print_json(&serde_json::from_str::<serde_json::Value>(&card.json())?)?;
        return Ok(ExitCode::Done);
    }
    let Some(output) = output else {
        println!("{}", card.markdown());
        return Ok(ExitCode::Done);
    };
    let text = match output.extension().and_then(|extension| extension.to_str()) {
        Some("html") => card.html(),
        Some("md") => card.markdown(),
        _ => {
            let message = format!("`{}` is neither .html nor .md", output.display());
            return Err(UsageError::error(ErrorCode::UnknownFormat, message, "name the file card.html or card.md"));
        }
    };
    crate::output::file(output, &text)?;
    println!("{}", output.display());
    Ok(ExitCode::Done)
}

/// Returns a function that writes the cards of a home's versions as HTML.
pub(in crate::commands) fn writer(home: &Home) -> Box<stagewright_exchange::export::Card> {
    let home = home.clone();
    Box::new(move |version| of(&home, version).ok().map(|card| card.html()))
}

/// Returns the model card of a version.
pub(crate) fn of(home: &Home, version: &ModelVersion) -> anyhow::Result<Card> {
    let model = contents(version)?;
    let run = home.registry.run(&model.run_id).ok();
    let history = home.registry.audit_of(&version.model, Some(version.version))?;
    let verdicts = home.registry.verdicts(&version.model, version.version)?;
    Ok(Card {
        details: details(version, &model),
        intended_use: intended_use(run.as_ref()),
        data: data(home, &model, run.as_ref()),
        evaluation: evaluation(home, version, &model, run.as_ref()),
        verdicts: verdicts.iter().map(verdict).collect(),
        limits: limits(&model),
        code: code(&model),
        history: history.iter().map(event).collect(),
    })
}

fn details(version: &ModelVersion, model: &RegisteredModel) -> CardDetails {
    CardDetails {
        model: version.model.clone(),
        version: version.version.into(),
        semantic_version: version.semantic_version.clone(),
        version_reasons: Vec::new(),
        stage: Some(version.stage.to_string()),
        aliases: version.aliases.clone(),
        verdict: version.verdict.map(outcome),
        reason: version.reason.clone(),
        registered_at: Some(format!("{} UTC", moment(version.created_ms))),
        registered_by: Some(version.actor.clone()).filter(|actor| !actor.is_empty()),
        run: Some(model.run_id.clone()),
        task: Some(task_text(&model.task)),
        digest: Some(model.model.to_string()),
        components: components(model),
        parameters: version.parameters.clone(),
    }
}

fn outcome(verdict: stagewright_store::Verdict) -> Verdict {
    match verdict {
        stagewright_store::Verdict::Approved => Verdict::Approved,
        stagewright_store::Verdict::Rejected => Verdict::Rejected,
        stagewright_store::Verdict::Undecided => Verdict::Undecided,
    }
}

fn verdict(recorded: &stagewright_store::VersionVerdict) -> VersionVerdict {
    let reason = |it: &stagewright_store::VerdictReason| Reason {
        gate: it.gate.clone(),
        passed: it.passed,
        message: it.message.clone(),
    };
    VersionVerdict {
        verdict: outcome(recorded.verdict),
        policy: recorded.policy.clone(),
        judged_against: match recorded.judged_against {
            stagewright_store::JudgedAgainst::NoChampion => JudgedAgainst::NoChampion,
            stagewright_store::JudgedAgainst::Champion(version) => JudgedAgainst::Champion(version.into()),
            stagewright_store::JudgedAgainst::Unknown => JudgedAgainst::Unknown,
        },
        reason: recorded.reason.clone(),
        reasons: recorded.reasons.iter().map(reason).collect(),
        by: recorded.by.clone(),
        at: format!("{} UTC", moment(recorded.at_ms)),
        is_override: recorded.is_override,
    }
}

/// Returns the intended use, which the manifest of the run defines.
fn intended_use(run: Option<&Run>) -> IntendedUse {
    let text = |name: &str| run.and_then(|run| run.config["problem"][name].as_str()).map(str::to_owned);
    let constraints = run.and_then(|run| run.config["problem"]["constraints"].as_array());
    let constraints = constraints.into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned));
    IntendedUse {
        business_objective: text("business-objective"),
        success_metric: text("success-metric"),
        constraints: constraints.collect(),
    }
}

fn data(home: &Home, model: &RegisteredModel, run: Option<&Run>) -> CardData {
    let dataset = |name: &str, digest: &stagewright_store::Digest| Dataset {
        name: name.to_owned(),
        digest: digest.to_string(),
        rows: rows_of(home, digest),
    };
    let fields = model.signature.fields.fields().iter().map(|field| DataField {
        name: field.name.clone(),
        data_type: field.data_type.to_string(),
        role: field.role.to_string(),
        nullable: field.nullable,
    });
    CardData {
        source: Some(dataset(Dataset::TRAINED_ON, &model.data_digest)),
        features: model.features_digest.as_ref().map(|digest| dataset(Dataset::FEATURES, digest)),
        fields: fields.collect(),
        split: run.and_then(split),
    }
}

/// Describes the split: `hash, 20 % test, 10 % validation, seed 42`.
fn split(run: &Run) -> Option<String> {
    let split = run.config.get("split")?;
    let share = |name: &str| split[name].as_f64().map(|share| format!(", {} % {name}", (share * 100.0).round()));
    let method = split["method"].as_str()?;
    let (test, validation) = (share("test").unwrap_or_default(), share("validation").unwrap_or_default());
    // In old manifests, the split used the seed of the run.
    let seed = split["seed"].as_u64().unwrap_or(run.seed);
    Some(format!("{method}{test}{validation}, seed {seed}"))
}

fn evaluation(home: &Home, version: &ModelVersion, model: &RegisteredModel, run: Option<&Run>) -> CardEvaluation {
    let report = evaluation_of(home, version);
    let test = Dataset {
        name: Dataset::MEASURED_ON.to_owned(),
        digest: model.test_digest.to_string(),
        rows: report.as_ref().map(|report| report.test.rows).or_else(|| rows_of(home, &model.test_digest)),
    };
    let primary = run.and_then(|run| run.config["gates"]["primary"].as_str()).map(str::to_owned);
    let metrics: MetricSet = version.metrics.iter().cloned().collect();
    match report {
        None => CardEvaluation {
            primary_metric: primary,
            metrics,
            test: Some(test),
            importance: model.importance.clone(),
            ..CardEvaluation::default()
        },
        Some(report) => CardEvaluation {
            primary_metric: Some(report.primary_metric),
            metrics,
            gates: report.gates,
            test: Some(test),
            champion: Some(report.champion),
            compared: report.compared,
            confusion: report.candidate.confusion,
            figures: report.figures,
            importance: model.importance.clone(),
        },
    }
}

fn limits(model: &RegisteredModel) -> Vec<CardLimits> {
    let limits = |it: &stagewright_lifecycle::model::StageLimits| CardLimits {
        stage: it.stage.clone(),
        memory: format!("{} (used {})", bytes(it.memory), bytes(it.memory_used)),
        cpu: format!("{} (used {})", milliseconds(it.cpu_ms as f64), milliseconds(it.cpu_used_ms as f64)),
        wall: format!("{} (used {})", milliseconds(it.wall_ms as f64), milliseconds(it.wall_used_ms as f64)),
    };
    model.limits.iter().map(limits).collect()
}

fn event(entry: &AuditEntry) -> CardEvent {
    CardEvent {
        at: format!("{} UTC", moment(entry.at_ms)),
        who: entry.actor.clone(),
        what: entry.action.clone(),
        from: entry.old_state.clone(),
        to: entry.new_state.clone(),
        reason: Some(entry.reason.clone()).filter(|reason| !reason.is_empty()),
    }
}
