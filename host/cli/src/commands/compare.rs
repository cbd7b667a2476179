//! `models compare` and `runs compare`: the differences between versions or runs, and whether they
//! can be compared.

use std::path::Path;

use stagewright_data::Task;
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::comparison::{ModelComparison, Subject};
use stagewright_evaluation::report::{Dataset, EvaluationReport, StageComponent, WorkingTree};
use stagewright_lifecycle::artifact_names;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{ArtifactKind, CHAMPION, Digest, ForeignSource, Home, ModelVersion, Run, StoreError};

use crate::commands::models::version::{contents, find_version};
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::terminal::{bytes, milliseconds, moment, table};

pub(crate) fn models(home: &Home, names: &[String], html: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let subject = |name: &String| of_version(home, &find_version(home, name, CHAMPION)?);
    let subjects = names.iter().map(subject).collect::<anyhow::Result<_>>()?;
    show(&ModelComparison { subjects }, html, json)
}

pub(crate) fn runs(
    location: &HomeLocation,
    names: &[String],
    html: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let subject = |name: &String| of_run(&home, &home.registry.run(name)?);
    let subjects = names.iter().map(subject).collect::<anyhow::Result<_>>()?;
    show(&ModelComparison { subjects }, html, json)
}

fn show(comparison: &ModelComparison, html: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    if let Some(path) = html {
        crate::output::file(path, &comparison.html())?;
    }
    if json {
        print_json(&serde_json::from_str::<serde_json::Value>(&comparison.json())?)?;
        return Ok(ExitCode::Done);
    }
    for note in comparison.notes() {
        println!("{}{}", if note.warning { "warning: " } else { "" }, note.text);
    }
    let titles = comparison.subjects.iter().map(|subject| subject.title.as_str());
    let head: Vec<&str> = ["", "section", "name"].into_iter().chain(titles).collect();
    let mut shown = table(&head);
    for row in comparison.text_rows() {
        let values = row.values.into_iter().map(|value| value.unwrap_or_else(|| "-".to_owned()));
        let differs = if row.differs { "≠" } else { "" };
        let first = [differs.to_owned(), row.section.name().to_owned(), row.key];
        shown.add_row(first.into_iter().chain(values).collect::<Vec<_>>());
    }
    println!("{shown}");
    if let Some(path) = html {
        println!("{}", path.display());
    }
    Ok(ExitCode::Done)
}

/// Returns a version as a subject of a comparison.
pub(crate) fn of_version(home: &Home, version: &ModelVersion) -> anyhow::Result<Subject> {
    if let Some(foreign) = &version.foreign {
        return of_foreign(home, version, foreign);
    }
    let model = contents(version)?;
    let mut facts = vec![
        ("version".to_owned(), version.version.to_string()),
        ("stage".to_owned(), version.stage.to_string()),
        ("aliases".to_owned(), version.aliases.join(", ")),
        ("registered".to_owned(), format!("{} UTC", moment(version.created_ms))),
        ("run".to_owned(), model.run_id.clone()),
        ("task".to_owned(), task_text(&model.task)),
    ];
    facts.extend(version.semantic_version.iter().map(|it| ("semantic version".to_owned(), it.clone())));
    facts.extend(version.verdict.iter().map(|it| ("verdict".to_owned(), it.to_string())));
    facts.extend(version.reason.iter().map(|it| ("reason".to_owned(), it.clone())));
    facts.extend(version.tags.iter().map(|(name, value)| (format!("tag {name}"), value.clone())));
    let dataset = |name: &str, digest: &Digest| Dataset {
        name: name.to_owned(),
        digest: digest.to_string(),
        rows: rows_of(home, digest),
    };
    let mut data =
        vec![dataset(Dataset::TRAINED_ON, &model.data_digest), dataset(Dataset::MEASURED_ON, &model.test_digest)];
    data.extend(model.features_digest.as_ref().map(|digest| dataset(Dataset::FEATURES, digest)));
    let limits = model.limits.iter().flat_map(|it| {
        [
            (format!("{}.memory", it.stage), bytes(it.memory)),
            (format!("{}.cpu", it.stage), milliseconds(it.cpu_ms as f64)),
            (format!("{}.wall", it.stage), milliseconds(it.wall_ms as f64)),
        ]
    });
    let report = evaluation_of(home, version);
    facts.extend(report.iter().flat_map(EvaluationReport::facts));
    let caveats = report.as_ref().map(EvaluationReport::caveats).unwrap_or_default();
    Ok(Subject {
        title: format!("{}/{}", version.model, version.version),
        facts,
        parameters: version.parameters.clone(),
        metrics: version.metrics.iter().cloned().collect(),
        data,
        components: components(&model),
        code: code(&model),
        limits: limits.collect(),
        importance: model.importance.clone(),
        curves: report.map(|report| report.figures).unwrap_or_default(),
        caveats,
    })
}

/// Describes a version that a client registered. What its run logged is all that is known of it.
fn of_foreign(home: &Home, version: &ModelVersion, foreign: &ForeignSource) -> anyhow::Result<Subject> {
    let run = match &version.run_id {
        Some(run_id) => match home.registry.run(run_id.as_str()) {
            Ok(run) => Some(run),
            // The run of another server, or one that is gone.
            Err(StoreError::NoRun { .. }) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let files = foreign.digest.as_ref().map_or_else(|| "unverified".to_owned(), Digest::to_string);
    let mut facts = vec![
        ("version".to_owned(), version.version.to_string()),
        ("stage".to_owned(), version.stage.to_string()),
        ("aliases".to_owned(), version.aliases.join(", ")),
        ("registered".to_owned(), format!("{} UTC", moment(version.created_ms))),
        ("source".to_owned(), foreign.source.clone()),
        ("files".to_owned(), files),
    ];
    facts.extend(version.run_id.iter().map(|run_id| ("run".to_owned(), run_id.to_string())));
    facts.extend(version.tags.iter().map(|(name, value)| (format!("tag {name}"), value.clone())));
    let title = format!("{}/{}", version.model, version.version);
    let Some(run) = run else { return Ok(Subject { title, facts, ..Subject::default() }) };
    Ok(Subject { title, facts, ..of_run(home, &run)? })
}

fn of_run(home: &Home, run: &Run) -> anyhow::Result<Subject> {
    let stages = home.registry.stages(&run.run_id)?;
    let components = stages.iter().map(|stage| StageComponent {
        stage: stage.name.clone(),
        name: stage.component.clone(),
        digest: stage.digest.to_string(),
    });
    let mut data = Vec::new();
    for (artifact, name) in [
        (artifact_names::TABLE, Dataset::TRAINED_ON),
        (artifact_names::TEST, Dataset::MEASURED_ON),
        (artifact_names::FEATURES_TRAIN, Dataset::FEATURES),
    ] {
        let outputs = stages.iter().filter(|it| it.name == artifact.world.as_str()).flat_map(|it| &it.outputs);
        data.extend(outputs.filter(|it| it.name == artifact.name).map(|it| Dataset {
            name: name.to_owned(),
            digest: it.digest.to_string(),
            rows: it.rows,
        }));
    }
    let tag = |name: &str| run.tags.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.clone());
    let code = tag("mlflow.source.git.commit").map(|commit| WorkingTree {
        commit: Some(commit),
        branch: tag("mlflow.source.git.branch"),
        dirty: tag("mlflow.source.git.dirty").and_then(|dirty| dirty.parse().ok()),
    });
    Ok(Subject {
        title: run.run_id.as_str()[..8].to_owned(),
        facts: vec![
            ("run".to_owned(), run.run_id.to_string()),
            ("pipeline".to_owned(), run.pipeline.clone()),
            ("experiment".to_owned(), run.experiment.clone()),
            ("status".to_owned(), run.status.to_string()),
            ("began".to_owned(), format!("{} UTC", moment(run.started_ms))),
            ("seed".to_owned(), run.seed.to_string()),
        ],
        parameters: run.parameters.clone(),
        metrics: run.metrics.iter().map(|metric| (metric.name.clone(), metric.value)).collect(),
        data,
        components: components.collect(),
        code,
        ..Subject::default()
    })
}

/// Returns the components of a model.
pub(crate) fn components(model: &RegisteredModel) -> Vec<StageComponent> {
    let component = |stage: &str, it: &stagewright_lifecycle::model::ModelComponent| StageComponent {
        stage: stage.to_owned(),
        name: it.name.clone(),
        digest: it.digest.to_string(),
    };
    vec![component("transformation", &model.transformation), component("training", &model.training)]
}

/// Returns the git commit that a model was made from.
pub(crate) fn code(model: &RegisteredModel) -> Option<WorkingTree> {
    model.code.as_ref().map(|code| WorkingTree {
        commit: Some(code.commit.clone()),
        branch: code.branch.clone(),
        dirty: code.dirty,
    })
}

/// Returns the number of a table's rows, if the table still exists.
pub(crate) fn rows_of(home: &Home, digest: &Digest) -> Option<u64> {
    home.artifacts.open_table(digest).ok().map(|table| table.rows())
}

/// Returns the evaluation report of the run that made a version, if it still exists.
pub(crate) fn evaluation_of(home: &Home, version: &ModelVersion) -> Option<EvaluationReport> {
    let kept = |it: &&stagewright_store::Reference| {
        it.role == artifact_names::EVALUATION.role() && it.kind == ArtifactKind::Document
    };
    let reference = version.references.iter().find(kept)?;
    let document = home.artifacts.open_document(&reference.digest, "application/json").ok()?;
    serde_json::from_slice(document.bytes()).ok()
}

/// Describes a task for people.
pub(crate) fn task_text(task: &Task) -> String {
    match task {
        Task::Binary { positive, .. } => format!("binary, positive class {positive}"),
        Task::MultiClass { classes } => format!("multi-class, {} classes", classes.len()),
        Task::Regression => "regression".into(),
    }
}

/// Returns the metrics of a version in the form that gates take.
pub(crate) fn metric_set(version: &ModelVersion) -> MetricSet {
    version.metrics.iter().cloned().collect()
}
