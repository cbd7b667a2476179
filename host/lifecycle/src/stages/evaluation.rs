//! Evaluation: candidate and champion on the same untouched rows.
//!
//! The host computes the figures that gates read, from predictions that it obtained itself. The
//! evaluation component comes after that and adds to the report under its own name.

use std::sync::Arc;

use arrow_array::{Float64Array, RecordBatch};
use stagewright_data::{Task, select};
use stagewright_evaluation::figure::{Figure, Importance, Predictions, importance_figure, prediction_figures};
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{self, Champion, Compared, EvaluatedModel, EvaluationReport, Reported};
use stagewright_manifest::{ChampionOverlap, ChampionUnreadable, World};
use stagewright_store::{CHAMPION, DataType, Digest, Field, Role, RowMemory, Schema, Table};

use crate::artifact::{
    COMPARED, EVALUATION, IMPORTANCE, MODEL, PREDICTIONS, REPORT, STATE, TABLE, TASK, TEST, TEST_ROWS,
};
use crate::candidate::Candidate;
use crate::fault::StageFault;
use crate::judgement::{Judged, Measured, Predicted, Rules, TestRows, judge, picked};
use crate::model::{RegisteredModel, width};
use crate::predict::view_for;
use crate::purity::predict_checked;
use crate::run::RunError;
use crate::sandbox::{ModelParts, View};
use crate::settings;
use crate::stage::Stage;
use crate::stages::transformation::{ReadError, all};
use crate::summary::MetricsSummary;

/// The champion as it stands before this run.
enum Standing {
    Absent,
    /// The candidate is the champion.
    Itself {
        version: u32,
    },
    Readable {
        version: u32,
        parts: Box<ModelParts>,
        memory: Option<RowMemory>,
    },
    Unreadable {
        version: u32,
        model: Digest,
        reason: String,
    },
}

/// A model that predicted the test rows.
struct Asked<'a> {
    name: &'a str,
    parts: &'a ModelParts,
    scores: Vec<f64>,
}

/// Measures both models, lets the component look at them, judges the gates.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let test = test_rows(stage)?;
    let parts = candidate(stage, &test)?;
    let standing = standing(stage, &test)?;
    let ask = |name, parts| -> Result<Asked<'_>, StageFault> {
        let view = view_for(parts, &test.table)?;
        let scores = stage.waiting(|| predict_checked(&*stage.run.sandbox, parts, &view))?;
        Ok(Asked { name, parts, scores })
    };
    let candidate = ask("candidate", &parts)?;
    let champion = match &standing {
        Standing::Readable { parts, .. } => Some(ask("champion", parts)?),
        Standing::Absent | Standing::Itself { .. } | Standing::Unreadable { .. } => None,
    };
    let judged = judged(stage, &test, &candidate, champion.as_ref(), &standing)?;
    put_predictions(stage, &candidate, champion.as_ref(), &test.task)?;
    let reported = component_looks(stage, &test, &judged, &parts, champion.as_ref())?;
    let report = report(stage, &test, &standing, &judged, (&candidate, champion.as_ref()), reported)?;
    stage.put_text(&EVALUATION, report.json())?;
    stage.put_text(&REPORT, report.html())?;
    let rows = ("test_rows".to_owned(), test.table.rows() as f64);
    stage.put_results(named(judged.metrics()).into_iter().chain([rows]));

    let champion = judged.champion.map(|champion| champion.metrics);
    stage.run.summary.metrics = Some(MetricsSummary { candidate: judged.candidate.metrics, champion });
    stage.run.summary.evaluation = Some(judged.rows);
    Ok(())
}

/// The rows to measure on, and by what they are recognised.
fn test_rows(stage: &mut Stage<'_>) -> Result<TestRows, RunError> {
    let table = stage.open(&TEST)?;
    let task = stage.open(&TASK)?;
    let ingested = stage.open(&TABLE)?;
    // Runs of before have no index: nobody knows then which rows a champion learnt from.
    let index = stage.open_if_there(&TEST_ROWS)?;
    let key = stage.run.request.home.registry.row_hash_key()?;
    let sources = index.as_ref().map(|index| (&ingested, index, &key));
    Ok(TestRows::new(table, task, sources, stage.watch())?)
}

/// The rules by which the manifest judges.
fn rules(stage: &Stage<'_>, standing: &Standing) -> Rules {
    let section = &stage.run.manifest.gates;
    let gates = settings::gates(section);
    let gates = match standing {
        Standing::Absent | Standing::Readable { .. } => gates,
        Standing::Itself { .. } | Standing::Unreadable { .. } => gates.without_comparison(),
    };
    Rules {
        gates,
        refuse_overlap: section.champion_overlap == ChampionOverlap::Error,
        rows_per_class: section.overlap_rows_per_class,
    }
}

fn judged(
    stage: &Stage<'_>,
    test: &TestRows,
    candidate: &Asked<'_>,
    champion: Option<&Asked<'_>>,
    standing: &Standing,
) -> Result<Judged, StageFault> {
    let own = stage.run.candidate.as_ref().map(|candidate: &Candidate| &candidate.memory);
    let theirs = match standing {
        Standing::Readable { memory, .. } => memory.as_ref(),
        _ => None,
    };
    let champion = champion.map(|champion| Predicted { scores: &champion.scores, memory: theirs });
    let candidate = Predicted { scores: &candidate.scores, memory: own };
    judge(test, candidate, champion, &rules(stage, standing))
}

/// Lets the component evaluate both models on the rows that they are compared on.
fn component_looks(
    stage: &mut Stage<'_>,
    test: &TestRows,
    judged: &Judged,
    candidate: &ModelParts,
    champion: Option<&Asked<'_>>,
) -> Result<Vec<(String, f64)>, RunError> {
    let table = if judged.shown.len() == test.labels.len() {
        test.table.clone()
    } else {
        let table = rows_of(stage, &test.table, &judged.shown)?;
        stage.put_table(&COMPARED, &table);
        table
    };
    // It sees no champion where too few rows are left to measure it on.
    let champion = champion.filter(|_| judged.champion.is_some());
    let view = View::of(table, |field| matches!(field.role, Role::Feature | Role::Target | Role::Weight));
    let context = stage.context(None);
    let champion = champion.map(|champion| champion.parts.clone());
    Ok(stage.run.sandbox.evaluate(context, &view, candidate.clone(), champion, &test.task)?)
}

/// Some rows of a table, as a table of their own.
fn rows_of(stage: &Stage<'_>, table: &Table, rows: &[usize]) -> Result<Table, StageFault> {
    let mut writer = stage.create_table(table.schema())?;
    let rows: Vec<u64> = rows.iter().map(|&row| row as u64).collect();
    for batch in select(all(table, stage.watch()), &rows) {
        writer.write(&batch.map_err(|ReadError(fault)| fault)?)?;
    }
    writer.finish()
}

fn report(
    stage: &Stage<'_>,
    test: &TestRows,
    standing: &Standing,
    judged: &Judged,
    (candidate, champion): (&Asked<'_>, Option<&Asked<'_>>),
    reported: Vec<(String, f64)>,
) -> Result<EvaluationReport, RunError> {
    let model = |asked: &Asked<'_>, version: Option<u32>, measured: &Measured| EvaluatedModel {
        version: version.map(u64::from),
        digest: asked.parts.model.digest().to_string(),
        test_digest: test.table.digest().to_string(),
        metrics: measured.metrics.clone(),
        confusion: measured.confusion.as_ref().map(|(confusion, _)| confusion.clone()),
    };
    let version = stage.run.candidate.as_ref().and_then(|candidate| candidate.version);
    let in_report = match (standing, champion.zip(judged.champion.as_ref())) {
        (Standing::Unreadable { version, model, reason }, _) => {
            Champion::Unreadable { version: u64::from(*version), digest: model.to_string(), reason: reason.clone() }
        }
        (Standing::Itself { version }, _) => Champion::Evaluated(model(candidate, Some(*version), &judged.candidate)),
        (Standing::Readable { version, .. }, Some((asked, measured))) => {
            Champion::Evaluated(model(asked, Some(*version), measured))
        }
        _ => Champion::None,
    };
    Ok(EvaluationReport {
        model: stage.run.manifest.model.to_string(),
        task: task_text(&test.task),
        primary_metric: stage.run.manifest.gates.primary.clone(),
        test: report::Table { name: "test".into(), digest: test.table.digest().to_string(), rows: test.table.rows() },
        candidate: model(candidate, version, &judged.candidate),
        champion: in_report,
        compared: Compared {
            policy: judged.policy,
            candidate_overlap_rows: judged.rows.candidate_overlap_rows,
            champion_overlap_rows: judged.rows.champion_overlap_rows,
            equal_content_rows: judged.rows.equal_content_rows,
            comparison: judged.comparison.clone(),
        },
        gates: judged.judgement.gates.clone(),
        decision: None,
        figures: figures(test, judged, candidate, champion)?,
        reported: Some(Reported {
            component: stage.report_component(),
            metrics: reported.into_iter().collect(),
            figures: stage.take_figures(),
        }),
        artifacts: lineage(stage),
    })
}

/// Metrics by name; NaN where one is undefined.
pub(crate) fn named(set: &MetricSet) -> Vec<(String, f64)> {
    set.iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect()
}

/// The model of this run.
fn candidate(stage: &mut Stage<'_>, test: &TestRows) -> Result<ModelParts, RunError> {
    let state = stage.open(&STATE)?;
    let model = stage.open(&MODEL)?;
    let importance = stage.open(&IMPORTANCE)?;
    let transformation = stage.run.request.components[&World::Transformation].clone();
    let training = stage.run.request.components[&World::Training].clone();
    Ok(ModelParts {
        transformation: stage.nested_context(World::Transformation, transformation),
        state,
        training: stage.nested_context(World::Training, training),
        model,
        features: features_of(test.table.schema()),
        task: test.task.clone(),
        importance,
    })
}

fn features_of(schema: &Schema) -> Schema {
    schema.project(&schema.indices_with(Role::Feature))
}

/// A champion that cannot be asked is an error, unless the manifest lets the absolute gates decide.
fn unreadable(
    stage: &Stage<'_>,
    name: &str,
    version: u32,
    model: &RegisteredModel,
    reason: String,
) -> Result<Standing, RunError> {
    if stage.run.manifest.gates.champion_unreadable == ChampionUnreadable::AbsoluteGates {
        return Ok(Standing::Unreadable { version, model: model.model, reason });
    }
    let message = format!(
        "the champion (version {version} of `{name}`) cannot read today's table: {reason}; with `champion-unreadable = \"absolute-gates\"` under [gates] the absolute gates decide"
    );
    let stage = stage.world.into();
    Err(StageFault::Data { stage, message, column: None, row: None, value: None }.into())
}

/// The champion, if there is one. One that cannot be loaded is an error, never "no champion".
fn standing(stage: &mut Stage<'_>, test: &TestRows) -> Result<Standing, RunError> {
    let home = stage.run.request.home.clone();
    let name = stage.run.manifest.model.to_string();
    let Some(version) = home.registry.alias(&name, CHAMPION)? else { return Ok(Standing::Absent) };
    if stage.run.candidate.as_ref().is_some_and(|candidate| candidate.version == Some(version)) {
        return Ok(Standing::Itself { version });
    }
    let contents = home.registry.version(&name, version)?.contents;
    let model: RegisteredModel = serde_json::from_value(contents).map_err(|reason| {
        StageFault::host(format!("cannot read the champion, version {version} of `{name}`: {reason}"))
    })?;
    let components = match model.cannot_read(test.table.schema(), &test.task) {
        Some(reason) => Err(reason),
        None => match model.components(&*stage.run.sandbox, &home.artifacts) {
            // A model of an older contract cannot be asked, however well it fits the table.
            Err(fault @ StageFault::Outdated { .. }) => Err(fault.to_string()),
            components => Ok(components?),
        },
    };
    let (transformation, training) = match components {
        Ok(components) => components,
        Err(reason) => return unreadable(stage, &name, version, &model, reason),
    };
    let (state, blob) = model.blobs(&home.artifacts)?;
    let parts = ModelParts {
        transformation: stage.registered_context(World::Transformation, transformation, &model),
        state,
        training: stage.registered_context(World::Training, training, &model),
        model: blob,
        features: model.features(),
        task: model.task.clone(),
        importance: model.importance.clone(),
    };
    let memory = home.registry.row_memory(&name, version)?;
    Ok(Standing::Readable { version, parts: Box::new(parts), memory })
}

/// Scores of the test rows as an artifact of their own, so that anybody can compute other metrics.
fn put_predictions(
    stage: &mut Stage<'_>,
    candidate: &Asked<'_>,
    champion: Option<&Asked<'_>>,
    task: &Task,
) -> Result<(), RunError> {
    let classes = width(task);
    let models = || [candidate].into_iter().chain(champion);
    let names = models().flat_map(|asked| {
        (0..classes).map(move |class| match classes {
            1 => asked.name.to_owned(),
            _ => format!("{}_{class}", asked.name),
        })
    });
    let fields = names.map(|name| Field::new(name, DataType::Float64).with_nullable(false)).collect();
    let schema = Schema::new(fields).map_err(StageFault::host)?;
    let columns = models().flat_map(|asked| {
        (0..classes).map(move |class| {
            let column: Vec<f64> = asked.scores.iter().skip(class).step_by(classes).copied().collect();
            Arc::new(Float64Array::from(column)) as arrow_array::ArrayRef
        })
    });
    let rows = RecordBatch::try_new(schema.to_arrow(), columns.collect()).map_err(StageFault::host)?;
    let mut writer = stage.create_table(&schema)?;
    writer.write(&rows)?;
    let table = writer.finish()?;
    stage.put_table(&PREDICTIONS, &table);
    Ok(())
}

/// Figures of the rows that the report's metrics are of: the compared ones, if there is a champion.
fn figures(
    test: &TestRows,
    judged: &Judged,
    candidate: &Asked<'_>,
    champion: Option<&Asked<'_>>,
) -> Result<Vec<Figure>, StageFault> {
    // No figure of both where nothing is left to compare.
    let champion = champion.filter(|_| judged.champion.is_some());
    let rows = &judged.shown;
    let asked = || [candidate].into_iter().chain(champion);
    let mut figures = Vec::new();
    if matches!(test.task, Task::Binary { .. }) {
        let classes: Vec<u8> = rows.iter().map(|&row| test.labels[row] as u8).collect();
        let scores: Vec<(&str, Vec<f64>)> = asked().map(|asked| (asked.name, picked(&asked.scores, 1, rows))).collect();
        let predictions: Vec<Predictions<'_>> =
            scores.iter().map(|(name, scores)| Predictions { name, scores }).collect();
        figures.extend(prediction_figures(&classes, &predictions).map_err(StageFault::host)?);
    }
    let measured = [Some(&judged.candidate), judged.champion.as_ref()].into_iter().flatten();
    figures.extend(measured.filter_map(|it| it.confusion.as_ref().and_then(|(_, figure)| figure.clone())));
    let importance: Vec<Importance<'_>> =
        asked().map(|asked| Importance { name: asked.name, features: &asked.parts.importance }).collect();
    figures.extend(importance_figure(&importance));
    Ok(figures)
}

fn task_text(task: &Task) -> String {
    match task {
        Task::Binary { positive, .. } => format!("binary, positive class {positive}"),
        Task::MultiClass { classes } => format!("multi-class, {} classes", classes.len()),
        Task::Regression => "regression".into(),
    }
}

/// Everything that the candidate comes from.
fn lineage(stage: &Stage<'_>) -> Vec<report::Artifact> {
    let artifact = |((world, name), record): (&(World, String), &stagewright_store::ArtifactRecord)| report::Artifact {
        stage: world.to_string(),
        name: name.clone(),
        kind: record.kind.to_string(),
        digest: record.digest.to_string(),
    };
    stage.run.artifacts.iter().map(artifact).collect()
}
