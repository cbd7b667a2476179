//! `gate`: judges a registered version by the gates of its manifest, or by those of the command
//! line.
//!
//! A verdict that is recorded is always computed anew: the version and the current champion predict
//! the version's test rows again. If nothing is recorded and nothing compared, the figures of the
//! latest verdict are used.

use std::sync::Arc;

use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::gates::{
    BaselineComparison, DEGRADATION_TOLERANCE, Gate, GateResult, GateRule, GateSummary, Gates, Judgement, Policy,
    Verdict, compare, failure_text, judge,
};
use stagewright_evaluation::metrics::MetricSet;
use stagewright_lifecycle::artifact_names::{self, ArtifactName};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::judgement::{self, Overlap, Predicted, Rules, TestHashes, TestRows};
use stagewright_lifecycle::limits::Watch;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::predict::LoadedModel;
use stagewright_lifecycle::sandbox::Cancel;
use stagewright_lifecycle::settings;
use stagewright_lifecycle::summary::EvaluationSummary;
use stagewright_manifest::{GatesSection, Operator, World};
use stagewright_store::{
    self as store, CHAMPION, Home, JudgedAgainst, ModelVersion, NewVerdict, StoreError, VerdictReason,
};

use crate::arguments::{GateArguments, PolicyName};
use crate::commands::compare::metric_set;
use crate::commands::models::promote::promote_version;
use crate::commands::models::version::{contents, find_version};
use crate::commands::predict::WarningLog;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::production;
use crate::project::Project;
use crate::signals;
use crate::terminal::table;
use crate::usage_error::UsageError;

/// The number of attempts to judge a version while other versions become champion.
const TRIES: u32 = 3;

/// Judges a version.
pub(crate) fn gate(location: &HomeLocation, arguments: &GateArguments) -> anyhow::Result<ExitCode> {
    location.existing()?;
    let operator = installation::operator()?;
    let project = Project::open(location, &operator)?;
    let home = &project.home;
    let version = version_to_judge(home, arguments)?;
    let asked_for = gate_request(home, &version, arguments)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let found = judge_version(&project, &operator, &version, &asked_for, arguments)?;
        match record_and_promote(home, &version, &found, arguments) {
            Err(error) if tries < TRIES && champion_changed(&error) => {
                tracing::warn!("the champion changed while the version was judged: it is judged again");
            }
            settled => return told(&version, &found, settled?, arguments),
        }
    }
}

/// Returns the version to judge: the one that is named, else the newest version of the model, or of
/// all models.
fn version_to_judge(home: &Home, arguments: &GateArguments) -> anyhow::Result<ModelVersion> {
    if let Some(model) = &arguments.model {
        return find_version(home, model, "latest");
    }
    let newest = home
        .registry
        .models()?
        .into_iter()
        .filter(|model| model.latest_version > 0)
        .map(|model| home.registry.version(&model.name, model.latest_version));
    let newest = newest.collect::<Result<Vec<_>, _>>()?.into_iter().max_by_key(|version| version.created_ms);
    newest.ok_or_else(|| {
        UsageError::error(
            ErrorCode::NothingYet,
            "there are no registered versions yet",
            "run a pipeline: stagewright run pipeline.toml",
        )
    })
}

/// The rules by which a version is judged.
struct GateRequest {
    rules: Rules,
    /// Whether fixed figures alone decide if the champion cannot read the test rows.
    absolute_if_unreadable: bool,
}

/// Returns the gates of the command line, else those of the manifest that the version was made
/// with.
fn gate_request(home: &Home, version: &ModelVersion, arguments: &GateArguments) -> anyhow::Result<GateRequest> {
    let recorded = version.run_id.as_ref().map(|run| home.registry.run(run.as_str())).transpose();
    let section = recorded.ok().flatten().and_then(|run| run.config.get("gates").cloned());
    let section: Option<GatesSection> = section.and_then(|section| serde_json::from_value(section).ok());
    let refuse_overlap = section
        .as_ref()
        .is_some_and(|section| section.champion_overlap == stagewright_manifest::ChampionOverlap::Error);
    let absolute_if_unreadable = section
        .as_ref()
        .is_some_and(|section| section.champion_unreadable == stagewright_manifest::ChampionUnreadable::AbsoluteGates);
    let rows_per_class = section.as_ref().map_or(OVERLAP_ROWS_PER_CLASS, |section| section.overlap_rows_per_class);
    let others = gates(arguments)?;
    let says_nothing = others.is_empty()
        && arguments.policy.is_none()
        && arguments.margin.is_none()
        && arguments.confidence.is_none()
        && arguments.baseline.is_none();
    let gates = match (section, says_nothing) {
        (Some(section), true) => settings::gates(&section),
        (None, true) => {
            return Err(UsageError::error(
                ErrorCode::NoGates,
                format!("{}/{} comes without gates of its own", version.model, version.version),
                "name some: --min-auc 0.82 --min-accuracy 0.78, or --policy better",
            ));
        }
        (section, false) => {
            let policy = match (arguments.policy, arguments.margin, arguments.confidence) {
                (Some(PolicyName::Better), ..) => Policy::Better,
                (Some(PolicyName::NoWorse), ..) => Policy::NoWorse,
                (Some(PolicyName::Absolute), None, None) | (None, None, None) => Policy::Absolute,
                _ => {
                    return Err(UsageError::error(
                        ErrorCode::Argument,
                        "--margin and --confidence belong to a comparison with the champion",
                        "add --policy better or --policy no-worse",
                    ));
                }
            };
            let primary = section.map_or_else(|| primary_of(version), |section| Ok(section.primary))?;
            Gates { policy, primary, margin: arguments.margin.unwrap_or(0.0), confidence: arguments.confidence, others }
        }
    };
    let is_champion = home.registry.alias(&version.model, CHAMPION)? == Some(version.version);
    let gates = if is_champion { gates.without_comparison() } else { gates };
    Ok(GateRequest { rules: Rules { gates, refuse_overlap, rows_per_class }, absolute_if_unreadable })
}

/// The fewest compared rows of each class, unless the manifest names a number.
const OVERLAP_ROWS_PER_CLASS: u64 = 10;

fn primary_of(version: &ModelVersion) -> anyhow::Result<String> {
    let task = contents(version)?.task;
    let primary = match task {
        stagewright_data::Task::Binary { .. } => "roc_auc",
        stagewright_data::Task::MultiClass { .. } => "accuracy",
        stagewright_data::Task::Regression => "r2",
    };
    Ok(primary.to_owned())
}

/// The judgement of a version and the figures that it rests on.
struct Findings {
    judgement: Judgement,
    metrics: MetricSet,
    policy: Policy,
    judged_against: Option<u32>,
    /// The rows that were measured on; `None` if the figures of the latest verdict were used.
    rows: Option<EvaluationSummary>,
    difference: Option<MetricDifference>,
    baseline: Option<BaselineComparison>,
    /// The reason why the version is behind the baseline, if it is.
    behind: Option<VerdictReason>,
    problems: Vec<String>,
}

impl Findings {
    fn passed(&self) -> bool {
        self.judgement.verdict == Verdict::Approved && self.problems.is_empty()
    }

    fn reason(&self) -> String {
        if self.passed() { "every gate passed".to_owned() } else { self.problems.join("; ") }
    }

    fn verdict(&self) -> store::Verdict {
        match self.judgement.verdict {
            _ if self.passed() => store::Verdict::Approved,
            Verdict::Undecided => store::Verdict::Undecided,
            Verdict::Approved | Verdict::Rejected => store::Verdict::Rejected,
        }
    }
}

/// Judges a version. Figures are computed anew if they are to be recorded or compared.
fn judge_version(
    project: &Project,
    operator: &Operator,
    version: &ModelVersion,
    asked_for: &GateRequest,
    arguments: &GateArguments,
) -> anyhow::Result<Findings> {
    let (home, rules) = (&project.home, &asked_for.rules);
    // A champion is not compared with itself.
    let champion = home.registry.alias(&version.model, CHAMPION)?.filter(|it| *it != version.version);
    let compares = rules.gates.policy != Policy::Absolute && champion.is_some();
    // An imported version has no test rows, only the figures that were measured where it was
    // trained.
    let has_rows = version.references.iter().any(|reference| reference.role == artifact_names::TEST.role());
    let is_recorded = arguments.record || arguments.promote;
    let is_judged_anew = compares || version.metrics.is_empty() || (is_recorded && has_rows);
    let mut found = if is_judged_anew {
        predict_with_both(project, operator, version, champion, asked_for)?
    } else {
        let metrics = metric_set(version);
        let judgement = judge(&rules.gates, &metrics, None);
        let (rows, difference) = (None, None);
        Findings {
            judgement,
            metrics,
            policy: rules.gates.policy,
            judged_against: champion,
            rows,
            difference,
            baseline: None,
            behind: None,
            problems: Vec::new(),
        }
    };
    found.problems = failure_text(&found.judgement.gates).into_iter().collect();
    let baseline = arguments.baseline.as_ref().map(|baseline| find_version(home, baseline, CHAMPION)).transpose()?;
    if let Some(baseline) = baseline {
        let compared = compare_with_baseline(version, &found.metrics, &baseline)?;
        let worse: Vec<&str> =
            compared.metrics.iter().filter(|(_, it)| it.regressed).map(|(name, _)| name.as_str()).collect();
        if !compared.improved {
            let message = format!("behind {}/{} in {}", baseline.model, baseline.version, worse.join(", "));
            found.problems.push(message.clone());
            found.behind = Some(VerdictReason { gate: "baseline".to_owned(), passed: false, message });
        }
        found.baseline = Some(compared);
    }
    Ok(found)
}

/// Compares a version's figures with the recorded figures of the baseline.
fn compare_with_baseline(
    version: &ModelVersion,
    metrics: &MetricSet,
    baseline: &ModelVersion,
) -> anyhow::Result<BaselineComparison> {
    if contents(version)?.test_digest != contents(baseline)?.test_digest {
        return Err(UsageError::error(
            ErrorCode::NotComparable,
            format!(
                "{}/{} and {}/{} were measured on different test rows: their metrics cannot be compared",
                version.model, version.version, baseline.model, baseline.version
            ),
            "name a baseline of the same data and split; or compare with the champion: --policy better",
        ));
    }
    Ok(compare(metrics, &metric_set(baseline), DEGRADATION_TOLERANCE))
}

/// Has the version and the champion predict the version's test rows.
fn predict_with_both(
    project: &Project,
    operator: &Operator,
    version: &ModelVersion,
    champion: Option<u32>,
    asked_for: &GateRequest,
) -> anyhow::Result<Findings> {
    let (home, rules) = (&project.home, &asked_for.rules);
    let model = contents(version)?;
    let cancel = signals::cancel_on_signals();
    let limits = World::Evaluation.default_limits().at_most(operator.ceilings.of(World::Evaluation));
    let watch = Watch::begin(World::Evaluation, limits, Arc::default(), cancel.clone());
    let (test, hashes) = test_rows(home, version, &model, &watch)?;
    let overlap = |version: &ModelVersion| {
        let memory = home.registry.row_memory(&version.model, version.version)?;
        anyhow::Ok(Overlap::of(hashes.as_ref(), memory.as_ref()))
    };
    let ask = |model: &RegisteredModel| predict_with(project, operator, model, &test, &cancel);
    let scores = ask(&model)?;
    let candidate = Predicted { scores: &scores, overlap: &overlap(version)? };
    let standing = champion.map(|champion| home.registry.version(&version.model, champion)).transpose()?;
    let mut gates = rules.gates.clone();
    let mut theirs = None;
    if let Some(standing) = standing.as_ref().filter(|_| gates.policy != Policy::Absolute) {
        let champion = contents(standing)?;
        match champion.cannot_read(test.table.schema(), &test.task) {
            None => {
                theirs = Some((ask(&champion)?, overlap(standing)?));
            }
            Some(_) if asked_for.absolute_if_unreadable => gates = gates.without_comparison(),
            Some(reason) => {
                return Err(UsageError::error(
                    ErrorCode::NotComparable,
                    format!(
                        "the champion (version {} of `{}`) cannot read these test rows: {reason}",
                        standing.version, standing.model
                    ),
                    "judge by fixed figures alone: --policy absolute --min-auc 0.82",
                ));
            }
        }
    }
    let rules = &Rules { gates, refuse_overlap: rules.refuse_overlap, rows_per_class: rules.rows_per_class };
    let theirs = theirs.as_ref().map(|(scores, overlap)| Predicted { scores, overlap });
    let judged = judgement::judge(&test, candidate, theirs, rules)?;
    Ok(Findings {
        metrics: judged.metrics().clone(),
        policy: rules.gates.policy,
        judged_against: champion,
        rows: Some(judged.rows),
        difference: judged.comparison.and_then(|comparison| comparison.difference),
        judgement: judged.judgement,
        baseline: None,
        behind: None,
        problems: Vec::new(),
    })
}

/// Predicts test rows with a registered model.
fn predict_with(
    project: &Project,
    operator: &Operator,
    model: &RegisteredModel,
    test: &TestRows,
    cancel: &Cancel,
) -> anyhow::Result<Vec<f64>> {
    let recorded = [World::Transformation, World::Training].map(|world| (world, model.limits_of(world)));
    let limits = operator.limits_of_model(recorded, &[])?;
    let (artifacts, workers) = (&project.home.artifacts, project.workers);
    let ready = LoadedModel::new(model, &project.runtime, artifacts, limits, Arc::new(WarningLog), workers, cancel)?;
    Ok(ready.predict_table(&project.runtime, &test.table)?)
}

/// Returns the test rows of the run that trained the version, and the hashes by which rows are
/// recognised.
fn test_rows(
    home: &Home,
    version: &ModelVersion,
    model: &RegisteredModel,
    watch: &Watch,
) -> anyhow::Result<(TestRows, Option<TestHashes>)> {
    let digest = |name: ArtifactName| version.references.iter().find(|it| it.role == name.role()).map(|it| it.digest);
    let Some(test) = digest(artifact_names::TEST) else {
        return Err(UsageError::error(
            ErrorCode::ImportedVersion,
            format!("{}/{} came here without its test rows, so it cannot be measured", version.model, version.version),
            format!(
                "a person can decide: stagewright models approve {}/{} --reason TEXT",
                version.model, version.version
            ),
        ));
    };
    let open = |digest: store::Digest| home.artifacts.open_table(&digest).map_err(StageFault::host);
    let test = open(test)?;
    let sources = digest(artifact_names::TABLE).zip(digest(artifact_names::TEST_ROWS));
    let hashes = sources.map(|(ingested, index)| {
        let key = home.registry.row_hash_key()?;
        anyhow::Ok(TestHashes::of(&test, (&open(ingested)?, &open(index)?), &key, watch)?)
    });
    let hashes = hashes.transpose()?;
    Ok((TestRows::new(test, model.task.clone(), watch)?, hashes))
}

/// Records the verdict and promotes, if the arguments ask for it. Returns whether a verdict was
/// recorded.
fn record_and_promote(
    home: &Home,
    version: &ModelVersion,
    found: &Findings,
    arguments: &GateArguments,
) -> anyhow::Result<bool> {
    if !arguments.record && !arguments.promote {
        return Ok(false);
    }
    // A metric that is missing may be a mistyped name, which says nothing about the version.
    if let Some(missing) = found.judgement.gates.iter().find(|result| result.missing) {
        let known: Vec<&str> = found.metrics.iter().map(|(name, _)| name).collect();
        return Err(UsageError::error(
            ErrorCode::NoMetric,
            format!(
                "{}/{} has no metric `{}`; nothing was recorded",
                version.model, version.version, missing.gate.metric
            ),
            format!("it has {}", known.join(", ")),
        ));
    }
    // A champion is not judged against itself; its verdict can only be confirmed.
    if home.registry.alias(&version.model, CHAMPION)? == Some(version.version) {
        if found.passed() {
            return Ok(false);
        }
        return Err(UsageError::error(
            ErrorCode::ChampionStays,
            format!(
                "{}/{} is the champion, and no verdict changes that: {}",
                version.model,
                version.version,
                found.reason()
            ),
            format!("go back to the version before it: stagewright models rollback {}", version.model),
        ));
    }
    home.registry.record_verdict(&home.artifacts, &version.model, version.version, &new_verdict(found))?;
    if found.passed() && arguments.promote {
        let destination = production::to_write(home, Some(&version.model), &arguments.destination)?;
        let expected = Some(found.judged_against);
        promote_version(home, version, expected, &found.reason(), &destination, arguments.json.json)?;
    }
    Ok(true)
}

fn new_verdict(found: &Findings) -> NewVerdict {
    let reason = |result: &GateResult| VerdictReason {
        gate: result.name(),
        passed: result.passed,
        message: result.message.clone(),
    };
    NewVerdict {
        verdict: found.verdict(),
        policy: found.policy.name().to_owned(),
        judged_against: JudgedAgainst::from(found.judged_against),
        reason: found.reason(),
        reasons: found.judgement.gates.iter().map(reason).chain(found.behind.clone()).collect(),
        evaluation: judgement::record(found.rows.as_ref(), found.difference.as_ref()),
        metrics: found.metrics.iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect(),
        references: Vec::new(),
        run_id: None,
        is_override: false,
    }
}

/// Returns whether another version became champion in the meantime.
fn champion_changed(error: &anyhow::Error) -> bool {
    error.chain().filter_map(|cause| cause.downcast_ref::<StoreError>()).any(|error| {
        matches!(
            error,
            StoreError::ChampionChanged { .. } | StoreError::StaleVerdict { .. } | StoreError::AliasMoved { .. }
        )
    })
}

fn told(
    version: &ModelVersion,
    found: &Findings,
    is_recorded: bool,
    arguments: &GateArguments,
) -> anyhow::Result<ExitCode> {
    let passed = found.passed();
    let is_promoted = passed && is_recorded && arguments.promote;
    if arguments.json.json {
        let mut object = serde_json::to_value(GateSummary::new(&found.judgement.gates))?;
        object["passed"] = passed.into();
        object["verdict"] = found.verdict().name().into();
        object["policy"] = found.policy.name().into();
        object["judged_against"] = found.judged_against.into();
        object["model"] = version.model.clone().into();
        object["version"] = version.version.into();
        object["reasons"] = serde_json::to_value(new_verdict(found).reasons)?;
        object["evaluation"] = judgement::record(found.rows.as_ref(), found.difference.as_ref());
        object["baseline"] = serde_json::to_value(&found.baseline)?;
        object["recorded"] = is_recorded.into();
        object["promoted"] = is_promoted.into();
        print_json(&object)?;
    } else {
        let mut shown = table(&["gate", "metric", "threshold", "actual", "champion", "passed"]);
        let figure =
            |value: Option<f64>, missing: &str| value.map_or_else(|| missing.to_owned(), |value| format!("{value:.6}"));
        for result in &found.judgement.gates {
            shown.add_row(vec![
                result.gate.rule.name().to_owned(),
                result.gate.metric.clone(),
                result.gate.threshold.to_string(),
                figure(result.actual, "missing"),
                figure(result.baseline, "-"),
                if result.passed { "yes" } else { "no" }.to_owned(),
            ]);
        }
        println!("{shown}");
        if found.judgement.gates.is_empty() {
            println!("{}/{} is the champion, which is not compared with itself", version.model, version.version);
        }
        match passed {
            true => println!("{}/{}: {}", version.model, version.version, found.reason()),
            false => eprintln!("error[{}]: {}", ErrorCode::GateNotPassed, found.reason()),
        }
        if is_promoted {
            println!("version {} of `{}` is champion", version.version, version.model);
        }
    }
    Ok(if passed { ExitCode::Done } else { ExitCode::Rejected })
}

/// Returns the gates of fixed figures that the command line names.
fn gates(arguments: &GateArguments) -> anyhow::Result<Vec<Gate>> {
    let least = |metric: &str, value: Option<f64>| value.map(|value| Gate::new(GateRule::Minimum, metric, value));
    let mut gates: Vec<Gate> =
        least("roc_auc", arguments.min_auc).into_iter().chain(least("accuracy", arguments.min_accuracy)).collect();
    let usage = |error: stagewright_evaluation::Error| {
        UsageError::error(ErrorCode::Argument, error.to_string(), "write METRIC=VALUE")
    };
    for (rule, texts) in [(GateRule::Minimum, &arguments.minimum), (GateRule::Maximum, &arguments.maximum)] {
        for text in texts {
            gates.push(Gate::parse(rule, text).map_err(usage)?);
        }
    }
    Ok(gates)
}
