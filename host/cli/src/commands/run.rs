//! `run`: runs a pipeline, or a part of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use stagewright_evaluation::report::Verdict;
use stagewright_lifecycle::code;
use stagewright_lifecycle::foreach::{ChildOf, Family, execute};
use stagewright_lifecycle::model::Code;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_lifecycle::{Request, Reuse, RunError};
use stagewright_manifest::{Limits, Manifest, ResourceUsage, StepId, World};
use stagewright_promotion::promote::repair;
use stagewright_runtime::Runtime;
use stagewright_store::{CHAMPION, RunId};

use crate::arguments::{CacheArguments, Changes, LogFormat, RunArguments};
use crate::classify::{self, FailedRun};
use crate::commands::models::card;
use crate::commands::{foreach, metrics_file};
use crate::data_sources;
use crate::environment;
use crate::error_code::ErrorCode;
use crate::events::{self, Events};
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::mlflow::{LoggedRuns, RunLog};
use crate::output::print_json;
use crate::production;
use crate::project::Project;
use crate::run_diary::RunDiary;
use crate::signals;
use crate::task_support;
use crate::terminal::{self, ProgressDisplay};
use crate::traces;
use crate::trust::Policy;
use crate::usage_error::UsageError;

pub(crate) fn run(location: &HomeLocation, arguments: RunArguments) -> anyhow::Result<ExitCode> {
    let last = match &arguments.until {
        None => World::Promotion,
        Some(name) => parse_world(name)?,
    };
    let job = Job {
        file: &arguments.file,
        changes: &arguments.changes,
        stages: World::Ingestion..=last,
        only: None,
        base_run: None,
        child: None,
        cache: &arguments.cache,
        resumed: None,
        metrics_out: arguments.metrics_out.as_deref(),
        suggest_limits: arguments.suggest_limits,
        log_format: arguments.log.log_format,
        json: arguments.json.json,
    };
    job.run(location)
}

/// Returns the world of this name.
pub(crate) fn parse_world(name: &str) -> anyhow::Result<World> {
    let names = World::all().map(World::as_str).collect::<Vec<_>>().join(", ");
    World::from_name(name).ok_or_else(|| {
        UsageError::error(ErrorCode::NoStage, format!("there is no stage `{name}`"), format!("the stages are {names}"))
    })
}

/// Returns which stages may take over the results of earlier runs.
pub(crate) fn reuse(cache: &CacheArguments, manifest: &Manifest, runtime: &Runtime) -> anyhow::Result<Reuse> {
    let stages: Vec<&str> = manifest.stages.iter().map(|stage| stage.name.as_str()).collect();
    let named = |name: &String| {
        let found = manifest.stages.iter().find(|stage| stage.name.as_str() == name);
        found.map(|stage| stage.name.clone()).ok_or_else(|| {
            UsageError::error(
                ErrorCode::NoStage,
                format!("there is no stage `{name}`"),
                format!("the stages are {}", stages.join(", ")),
            )
        })
    };
    let refresh = cache.refresh.iter().map(named).collect::<anyhow::Result<_>>()?;
    Ok(Reuse { nothing: cache.no_cache, refresh, resumed: None, walls: runtime.required_walls() })
}

/// The arguments of a run: of `run`, `resume` and `stage run`.
pub(crate) struct Job<'a> {
    pub(crate) file: &'a Path,
    pub(crate) changes: &'a Changes,
    pub(crate) stages: RangeInclusive<World>,
    /// The only stage or step of these to run.
    pub(crate) only: Option<StepId>,
    pub(crate) base_run: Option<RunId>,
    /// The place of the run among its parent's children.
    pub(crate) child: Option<ChildOf>,
    pub(crate) cache: &'a CacheArguments,
    /// The run that this one continues.
    pub(crate) resumed: Option<RunId>,
    pub(crate) metrics_out: Option<&'a Path>,
    pub(crate) suggest_limits: bool,
    pub(crate) log_format: LogFormat,
    pub(crate) json: bool,
}

impl Job<'_> {
    /// Checks everything that can be checked, then runs.
    pub(crate) fn run(self, location: &HomeLocation) -> anyhow::Result<ExitCode> {
        let operator = installation::operator()?;
        let manifest = Manifest::load(self.file, &self.changes.overrides())?.within(&operator)?;
        let mut manifest = foreach::pipeline(manifest, self.child.as_ref(), &self.stages)?;
        let last = *self.stages.end();
        if manifest.graph.of(last).next().is_none() {
            let message = format!("`{}` has no stage of the world `{last}`", manifest.file());
            return Err(UsageError::error(
                ErrorCode::NoStage,
                message,
                format!("add one with `world = \"{last}\"`, or name another stage"),
            ));
        }
        let code = code_of(self.file);
        let project = Project::open_for(location, &operator, &manifest)?;
        data_sources::exact(&mut manifest, &project.home, self.resumed.as_ref())?;
        let reuse = Reuse { resumed: self.resumed, ..reuse(self.cache, &manifest, &project.runtime)? };
        let policy = Policy::load(&manifest, &operator, self.changes.locked)?;
        let components = project.components(&manifest, &policy)?;
        task_support::check_tasks(&manifest, &self.stages, &components)?;
        for child in &manifest.children {
            task_support::check_tasks(&child.manifest, &self.stages, &components)?;
        }
        policy.pin_new();
        let workers = project.workers;
        let manifest = Arc::new(manifest);
        let promotes = self.stages.contains(&World::Promotion);
        if let Some(shared) = location.shared()? {
            shared.check()?;
        }
        let destination = promotes.then(|| production::of_manifest(&project.home, &manifest.production)).transpose()?;
        if let Some(destination) = &destination {
            for model in repair(&project.home, destination)? {
                tracing::warn!(
                    "an earlier promotion of `{model}` had not moved the pointer at {}: it does now",
                    destination.uri()
                );
            }
        }
        let log = RunLog::begin(&project.home, card::writer(&project.home));
        let observer: Arc<dyn Observer> = if self.log_format == LogFormat::Json {
            Arc::new(Events::default())
        } else {
            Arc::new(ProgressDisplay::new(self.json))
        };
        let diary = RunDiary::begin(&project.home.registry);
        let observer = diary.as_ref().map_or(observer.clone(), |diary| diary.observer(observer));
        let request = Request {
            manifest: manifest.clone(),
            manifest_text: manifest.recorded_text(),
            home: project.home,
            decoder: project.runtime.decoder(),
            sandbox: Arc::new(project.runtime),
            components,
            observer: log.as_ref().map_or(observer.clone(), |log| log.observer(observer)),
            workers,
            cancel: signals::cancel_on_signals(),
            stages: self.stages,
            only: self.only,
            base_run: self.base_run,
            child: self.child,
            changes: serde_json::to_value(self.changes)?,
            code: code.join().unwrap_or_default(),
            tokens: tokens(&manifest),
            s3: production::settings(),
            destination,
            reuse,
        };
        let (registry, is_alone) = (request.home.registry.clone(), request.only.is_some());
        let (family, result) = execute(request);
        drop(diary);
        let logged = log.and_then(|log| log.end());
        let summary = &family.summary;
        if let Some(file) = self.metrics_out.filter(|_| result.is_ok()) {
            let metrics = match manifest.foreach {
                Some(_) => metrics_file::of_children(&family, &registry)?,
                None => metrics_file::of_run(&registry.run(&summary.run_id)?.metrics),
            };
            metrics_file::write(&metrics, file)?;
        }
        let form = match (self.json, self.log_format) {
            (true, _) => OutputForm::Object,
            (_, LogFormat::Json) => OutputForm::Lines,
            (_, LogFormat::Text) => OutputForm::Tables,
        };
        let ending = match manifest.foreach {
            Some(_) => conclude_all(&family, result, manifest.file(), (form, logged.as_ref())),
            None => conclude(summary, result, &manifest, (form, is_alone), logged.as_ref()),
        };
        if self.suggest_limits && form == OutputForm::Tables {
            suggest_limits(&foreach::most_used(&family), &manifest);
        }
        ending
    }
}

/// Returns the tokens and passwords of the manifest's sources that the environment has.
pub(crate) fn tokens(manifest: &Manifest) -> BTreeMap<String, String> {
    let children = manifest.children.iter().flat_map(|child| child.manifest.token_variables());
    let named = manifest.token_variables().chain(children).map(|(_, name)| name);
    named
        .chain(manifest.reads_postgres().then_some("PGPASSWORD"))
        .filter_map(|name| Some((name.to_owned(), environment::variable(name)?)))
        .collect()
}

/// Reads the git commit of the manifest's folder, in a thread beside the work on components.
fn code_of(manifest: &Path) -> JoinHandle<Option<Code>> {
    let folder = manifest.parent().map(Path::to_owned).unwrap_or_default();
    std::thread::spawn(move || code::of(&folder))
}

/// Prints limits for every stage that finished.
fn suggest_limits(summary: &Summary, manifest: &Manifest) {
    let file = manifest.file();
    println!("\n# for {file}, from what this run used; measure with the largest table that you expect");
    let mut seen = BTreeSet::new();
    for stage in &summary.stages {
        let step = manifest.graph.steps().iter().find(|step| step.id.as_str() == stage.name);
        // One stage may be several steps, such as the evaluation of several models; the file has it
        // once.
        let Some(step) = step.filter(|step| seen.insert(&step.stage)) else { continue };
        if stage.cached {
            println!("# {0} was not executed: add --refresh {0} to see what it uses", step.stage);
            continue;
        }
        println!(
            "# used: memory {}, cpu {}, wall {}, output {}, log {}",
            terminal::bytes(stage.usage.peak_memory_bytes),
            terminal::milliseconds(stage.usage.cpu_ms),
            terminal::milliseconds(stage.usage.wall_ms),
            terminal::bytes(stage.usage.output_bytes),
            terminal::bytes(stage.usage.log_bytes),
        );
        println!("{}", Limits::suggested(&usage(stage)).to_toml(&step.stage));
    }
}

fn usage(stage: &StageSummary) -> ResourceUsage {
    let milliseconds = |value: f64| Duration::from_micros((value * 1e3) as u64);
    ResourceUsage {
        memory: stage.usage.peak_memory_bytes,
        cpu: milliseconds(stage.usage.cpu_ms),
        wall: milliseconds(stage.usage.wall_ms),
        output: stage.usage.output_bytes,
        log: stage.usage.log_bytes,
    }
}

/// The form in which the end of a run is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutputForm {
    /// Tables for people.
    Tables,
    /// One JSON object.
    Object,
    /// The last of many JSON lines.
    Lines,
}

/// Shows the end of a run with children. The exit code is that of the first child that failed, else
/// of a child that was rejected.
fn conclude_all(
    family: &Family,
    result: Result<(), RunError>,
    manifest: &str,
    (form, logged): (OutputForm, Option<&LoggedRuns>),
) -> anyhow::Result<ExitCode> {
    let failed = result.map_err(|error| anyhow::Error::from(FailedRun { error, manifest: manifest.to_owned() }));
    let ending = foreach::ending(family);
    match form {
        OutputForm::Object => {
            let mut object = foreach::as_json(family, manifest)?;
            if let Some(logged) = logged {
                object["mlflow"] = logged.to_json();
            }
            if let Some(trace) = traces::id() {
                object["trace_id"] = trace.into();
            }
            if let Err(error) = &failed {
                object["error"] = classify::object(error);
            }
            print_json(&object)?;
        }
        OutputForm::Lines => write_end_event(&family.summary, failed.as_ref().err(), ending),
        OutputForm::Tables => foreach::show(family, manifest),
    }
    show_logged(form, logged);
    failed?;
    if form == OutputForm::Tables {
        println!("next: stagewright runs show {}", family.summary.run_id);
    }
    Ok(ending)
}

/// Says where people find the runs on another server.
fn show_logged(form: OutputForm, logged: Option<&LoggedRuns>) {
    if form == OutputForm::Tables
        && let Some(logged) = logged
    {
        logged.show();
    }
}

/// Writes the last JSON line of a run.
fn write_end_event(summary: &Summary, error: Option<&anyhow::Error>, ending: ExitCode) {
    let failed = error.map(|error| (classify::classify(error).0, format!("{error:#}")));
    events::ended(&summary.run_id, failed, ending);
}

fn conclude(
    summary: &Summary,
    result: Result<(), RunError>,
    manifest: &Manifest,
    (form, is_alone): (OutputForm, bool),
    logged: Option<&LoggedRuns>,
) -> anyhow::Result<ExitCode> {
    let file = manifest.file().to_owned();
    let failed = result.map_err(|error| anyhow::Error::from(FailedRun { error, manifest: file }));
    let verdict = summary.decision.as_ref().map(|decision| decision.verdict);
    let ending = if matches!(verdict, Some(Verdict::Rejected | Verdict::Undecided)) {
        ExitCode::Rejected
    } else {
        ExitCode::Done
    };
    match form {
        OutputForm::Object => {
            let mut object = serde_json::to_value(summary)?;
            if let Some(logged) = logged {
                object["mlflow"] = logged.to_json();
            }
            if let Some(trace) = traces::id() {
                object["trace_id"] = trace.into();
            }
            if let Err(error) = &failed {
                object["error"] = classify::object(error);
            }
            print_json(&object)?;
        }
        OutputForm::Lines => write_end_event(summary, failed.as_ref().err(), ending),
        OutputForm::Tables if !summary.stages.is_empty() => terminal::show_summary(summary),
        OutputForm::Tables => {}
    }
    show_logged(form, logged);
    failed?;
    if form == OutputForm::Tables {
        for (position, command) in next_commands(summary, manifest, is_alone).iter().enumerate() {
            println!("{} stagewright {command}", if position == 0 { "next:" } else { "     " });
        }
    }
    Ok(ending)
}

/// Returns the commands to propose after a run that did not fail. After a single stage
/// (`is_alone`), the next stage is not known.
fn next_commands(summary: &Summary, manifest: &Manifest, is_alone: bool) -> Vec<String> {
    let last = summary.stages.last().map(|stage| stage.world);
    let is_there = |world: &World| manifest.graph.of(*world).next().is_some();
    let following = last.and_then(|last| World::all().filter(is_there).find(|world| *world > last));
    let decided = summary.decision.is_some() || summary.is_champion_already;
    let mut commands = Vec::new();
    if let Some(following) = following.filter(|_| !decided && !is_alone) {
        commands.push(format!("stage run {following}"));
    }
    if let Some(model) = &summary.model {
        let named = format!("{}/{}", model.name, model.version);
        let serves = model.aliases.iter().any(|alias| alias == CHAMPION);
        commands.push(format!("predict {} --input rows.csv", if serves { &model.name } else { &named }));
        if decided {
            commands.push(format!("models card {named} --output card.html"));
        }
    }
    // Each of several models has an evaluation of its own, and a stage may have another name.
    let candidate = summary.trained.iter().find(|model| model.is_candidate).map(|model| model.evaluation.to_string());
    let last = || summary.stages.iter().rfind(|stage| stage.world == World::Evaluation).map(|stage| stage.name.clone());
    if let Some(evaluation) = candidate.or_else(last).filter(|_| summary.metrics.is_some()) {
        commands.push(format!("artifacts export {evaluation}.report --output evaluation.html"));
    }
    commands
}
