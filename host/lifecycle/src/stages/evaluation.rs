//! Evaluation: candidate and champion on the same untouched rows.
//!
//! What gates read is computed here, from predictions that the host obtained itself. The evaluation component comes after that and adds to the report
//! under its own name.

use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array, RecordBatch};
use stagewright_data::Task;
use stagewright_evaluation::difference::{Labels, difference};
use stagewright_evaluation::figure::{
    Figure, Importance, Predictions, confusion_figure, importance_figure, prediction_figures,
};
use stagewright_evaluation::gates::{Comparison, Gates, judge};
use stagewright_evaluation::metrics::{self, MetricSet};
use stagewright_evaluation::report::{self, Champion, Compared, Confusion, EvaluatedModel, EvaluationReport, Reported};
use stagewright_manifest::{ChampionUnreadable, World};
use stagewright_store::{CHAMPION, DataType, Field, Role, Schema, Table};

use crate::fault::StageFault;
use crate::model::{RegisteredModel, width};
use crate::purity::predict_checked;
use crate::run::RunError;
use crate::sandbox::{ModelParts, View};
use crate::settings;
use crate::stage::Stage;
use crate::stages::transformation::{ReadError, columns};
use crate::summary::MetricsSummary;

/// The probability from which a row counts as positive.
const THRESHOLD: f64 = 0.5;

/// The champion as it stands before this run.
enum Standing {
    Absent,
    Readable { version: u32, parts: Box<ModelParts> },
    Unreadable { version: u32, model: stagewright_store::Digest, reason: String },
}

/// One model's predictions and what they are worth.
struct Measured {
    scores: Vec<f64>,
    metrics: MetricSet,
    confusion: Option<(Confusion, Option<Figure>)>,
    model: EvaluatedModel,
    importance: Vec<(String, f64)>,
}

/// Measures both models, lets the component look at them, judges the gates.
pub(crate) fn run(stage: &mut Stage<'_>) -> Result<(), RunError> {
    let test = stage.table(World::Transformation, "test")?;
    let task: Task = stage.json(World::Transformation, "task")?;
    let labels = labels(&test)?;
    let candidate = candidate(stage, &test)?;
    let standing = standing(stage, &test, &task)?;

    let measured = measure(stage, "candidate", None, &candidate, &test, &task, &labels)?;
    let (champion_parts, champion) = match &standing {
        Standing::Readable { version, parts } => {
            let measured = measure(stage, "champion", Some(*version), parts, &test, &task, &labels)?;
            (Some((**parts).clone()), Some(measured))
        }
        Standing::Absent | Standing::Unreadable { .. } => (None, None),
    };
    put_predictions(stage, &measured, champion.as_ref(), &task)?;

    let view = View::of(test.clone(), |field| matches!(field.role, Role::Feature | Role::Target | Role::Weight));
    let context = stage.context(None);
    let reported = stage.run.sandbox.evaluate(context, &view, candidate, champion_parts, &task)?;

    let gates = settings::gates(&stage.run.manifest.gates);
    let comparison =
        champion.as_ref().map(|champion| compared(&gates, &task, &labels, &measured, champion)).transpose()?;
    let compared = Compared { policy: gates.policy, comparison, ..Compared::default() };
    let gates = match standing {
        Standing::Unreadable { .. } => gates.without_comparison(),
        Standing::Absent | Standing::Readable { .. } => gates,
    };
    let gates = judge(&gates, &measured.metrics, compared.comparison.as_ref()).gates;
    let report = EvaluationReport {
        model: stage.run.manifest.model.to_string(),
        task: task_text(&task),
        primary_metric: stage.run.manifest.gates.primary.clone(),
        test: report::Table { name: "test".into(), digest: test.digest().to_string(), rows: test.rows() },
        candidate: measured.model.clone(),
        champion: champion_in_report(&standing, champion.as_ref()),
        compared,
        gates,
        decision: None,
        figures: figures(&task, &labels, &measured, champion.as_ref())?,
        reported: Some(Reported {
            component: stage.report_component(),
            metrics: reported.iter().cloned().collect(),
            figures: stage.take_figures(),
        }),
        artifacts: lineage(stage),
    };
    stage.put_document("evaluation", "application/json", report.json())?;
    stage.put_document("report", "text/html", report.html())?;
    let rows = ("test_rows".to_owned(), test.rows() as f64);
    stage.put_results(named(&measured.metrics).into_iter().chain([rows]));

    let champion = champion.map(|champion| champion.metrics);
    stage.run.summary.metrics = Some(MetricsSummary { candidate: measured.metrics, champion });
    Ok(())
}

/// Metrics by name; NaN where one is undefined.
pub(crate) fn named(set: &MetricSet) -> Vec<(String, f64)> {
    set.iter().map(|(name, value)| (name.to_owned(), value.unwrap_or(f64::NAN))).collect()
}

/// The model of this run.
fn candidate(stage: &mut Stage<'_>, test: &Table) -> Result<ModelParts, RunError> {
    let state = stage.blob(World::Transformation, "state")?;
    let model = stage.blob(World::Training, "model")?;
    let importance = stage.json(World::Training, "importance")?;
    let task: Task = stage.json(World::Transformation, "task")?;
    let transformation = stage.run.request.components[&World::Transformation].clone();
    let training = stage.run.request.components[&World::Training].clone();
    Ok(ModelParts {
        transformation: stage.nested_context(World::Transformation, transformation),
        state,
        training: stage.nested_context(World::Training, training),
        model,
        features: features_of(test.schema()),
        task,
        importance,
    })
}

fn features_of(schema: &Schema) -> Schema {
    schema.project(&schema.indices_with(Role::Feature))
}

/// The champion, if there is one. One that cannot be loaded is an error, never "no champion".
fn standing(stage: &mut Stage<'_>, test: &Table, task: &Task) -> Result<Standing, RunError> {
    let home = stage.run.request.home.clone();
    let name = stage.run.manifest.model.to_string();
    let Some(version) = home.registry.alias(&name, CHAMPION)? else { return Ok(Standing::Absent) };
    let contents = home.registry.version(&name, version)?.contents;
    let model: RegisteredModel = serde_json::from_value(contents).map_err(|reason| {
        StageFault::host(format!("cannot read the champion, version {version} of `{name}`: {reason}"))
    })?;
    if let Some(reason) = model.cannot_read(test.schema(), task) {
        if stage.run.manifest.gates.champion_unreadable == ChampionUnreadable::Error {
            let message = format!(
                "the champion (version {version} of `{name}`) cannot read today's table: {reason}; with `champion-unreadable = \"absolute-gates\"` under [gates] the absolute gates decide"
            );
            return Err(StageFault::Data {
                stage: stage.world.as_str(),
                message,
                column: None,
                row: None,
                value: None,
            }
            .into());
        }
        return Ok(Standing::Unreadable { version, model: model.model, reason });
    }
    let (state, blob) = model.blobs(&home.artifacts)?;
    let (transformation, training) = model.components(&*stage.run.sandbox, &home.artifacts)?;
    let parts = ModelParts {
        transformation: stage.registered_context(World::Transformation, transformation, &model),
        state,
        training: stage.registered_context(World::Training, training, &model),
        model: blob,
        features: model.features(),
        task: model.task.clone(),
        importance: model.importance.clone(),
    };
    Ok(Standing::Readable { version, parts: Box::new(parts) })
}

/// The target of every test row.
fn labels(test: &Table) -> Result<Vec<f64>, StageFault> {
    let target = test.schema().indices_with(Role::Target);
    let mut labels = Vec::with_capacity(test.rows() as usize);
    for rows in columns(test, target) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        let column = rows.column(0).as_any();
        if let Some(codes) = column.downcast_ref::<Int64Array>() {
            labels.extend(codes.values().iter().map(|&code| code as f64));
        } else if let Some(values) = column.downcast_ref::<Float64Array>() {
            labels.extend(values.values());
        } else {
            return Err(StageFault::host("an encoded target is neither int64 nor float64"));
        }
    }
    Ok(labels)
}

/// The columns that a model reads, wherever they stand in today's table.
fn view_for(parts: &ModelParts, test: &Table) -> Result<View, StageFault> {
    let place = |field: &Field| {
        test.schema()
            .index_of(&field.name)
            .ok_or_else(|| StageFault::host(format!("the test table lost `{}`", field.name)))
    };
    let columns = parts.features.fields().iter().map(place).collect::<Result<Vec<_>, _>>()?;
    Ok(View { table: test.clone(), schema: test.schema().project(&columns), columns })
}

fn measure(
    stage: &Stage<'_>,
    name: &str,
    version: Option<u32>,
    parts: &ModelParts,
    test: &Table,
    task: &Task,
    labels: &[f64],
) -> Result<Measured, StageFault> {
    let view = view_for(parts, test)?;
    let scores = stage.waiting(|| predict_checked(&*stage.run.sandbox, parts, &view))?;
    let failed = |error: stagewright_evaluation::Error| StageFault::host(format!("cannot measure the {name}: {error}"));
    let classes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
    let (metrics, confusion) = match task {
        Task::Binary { negative, positive } => {
            let measured = metrics::binary(&classes, &scores, THRESHOLD).map_err(failed)?;
            let names = [negative.as_str(), positive.as_str()];
            let figure = confusion_figure(name, names, &measured.confusion);
            (measured.named(), Some((Confusion::binary(names, &measured.confusion), Some(figure))))
        }
        Task::MultiClass { classes } => {
            let labels: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
            (metrics::multi_class(&labels, &scores, classes.len()).map_err(failed)?.named(), None)
        }
        Task::Regression => (metrics::regression(labels, &scores).map_err(failed)?.named(), None),
    };
    let model = EvaluatedModel {
        version: version.map(u64::from),
        digest: parts.model.digest().to_string(),
        test_digest: test.digest().to_string(),
        metrics: metrics.clone(),
        confusion: confusion.as_ref().map(|(confusion, _)| confusion.clone()),
    };
    Ok(Measured { scores, metrics, confusion, model, importance: parts.importance.clone() })
}

/// Candidate and champion side by side, with the difference in the primary metric.
fn compared(
    gates: &Gates,
    task: &Task,
    labels: &[f64],
    candidate: &Measured,
    champion: &Measured,
) -> Result<Comparison, StageFault> {
    let classes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
    let codes: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    let known = match task {
        Task::Binary { .. } => Labels::Binary(&classes),
        Task::MultiClass { classes } => Labels::MultiClass { labels: &codes, classes: classes.len() },
        Task::Regression => Labels::Regression(labels),
    };
    let confidence = gates.interval_confidence();
    let difference = difference(known, &candidate.scores, &champion.scores, &gates.primary, confidence);
    Ok(Comparison {
        candidate: candidate.metrics.clone(),
        champion: champion.metrics.clone(),
        difference: difference.map_err(StageFault::host)?,
        rows: labels.len() as u64,
        undecided: None,
    })
}

/// Scores of the test rows as an artifact of their own, so that anybody can compute other metrics.
fn put_predictions(
    stage: &mut Stage<'_>,
    candidate: &Measured,
    champion: Option<&Measured>,
    task: &Task,
) -> Result<(), RunError> {
    let classes = width(task);
    let models: Vec<(&str, &Measured)> =
        [("candidate", candidate)].into_iter().chain(champion.map(|champion| ("champion", champion))).collect();
    let names = models.iter().flat_map(|(name, _)| {
        (0..classes).map(move |class| if classes == 1 { (*name).to_owned() } else { format!("{name}_{class}") })
    });
    let fields = names.map(|name| Field::new(name, DataType::Float64).with_nullable(false)).collect();
    let schema = Schema::new(fields).map_err(StageFault::host)?;
    let columns = models.iter().flat_map(|(_, measured)| {
        (0..classes).map(move |class| {
            let column: Vec<f64> = measured.scores.iter().skip(class).step_by(classes).copied().collect();
            Arc::new(Float64Array::from(column)) as arrow_array::ArrayRef
        })
    });
    let rows = RecordBatch::try_new(schema.to_arrow(), columns.collect()).map_err(StageFault::host)?;
    let mut writer = stage.create_table(&schema)?;
    writer.write(&rows)?;
    let table = writer.finish()?;
    stage.put_table("predictions", &table);
    Ok(())
}

fn figures(
    task: &Task,
    labels: &[f64],
    candidate: &Measured,
    champion: Option<&Measured>,
) -> Result<Vec<Figure>, StageFault> {
    let models: Vec<(&str, &Measured)> =
        [("candidate", candidate)].into_iter().chain(champion.map(|champion| ("champion", champion))).collect();
    let mut figures = Vec::new();
    if matches!(task, Task::Binary { .. }) {
        let classes: Vec<u8> = labels.iter().map(|&label| label as u8).collect();
        let predictions: Vec<Predictions<'_>> =
            models.iter().map(|(name, measured)| Predictions { name, scores: &measured.scores }).collect();
        figures.extend(prediction_figures(&classes, &predictions).map_err(StageFault::host)?);
    }
    figures.extend(
        models.iter().filter_map(|(_, measured)| measured.confusion.as_ref().and_then(|(_, figure)| figure.clone())),
    );
    let importance: Vec<Importance<'_>> =
        models.iter().map(|(name, measured)| Importance { name, features: &measured.importance }).collect();
    figures.extend(importance_figure(&importance));
    Ok(figures)
}

fn champion_in_report(standing: &Standing, measured: Option<&Measured>) -> Champion {
    match (standing, measured) {
        (Standing::Unreadable { version, model, reason }, _) => {
            Champion::Unreadable { version: u64::from(*version), digest: model.to_string(), reason: reason.clone() }
        }
        (_, Some(measured)) => Champion::Evaluated(measured.model.clone()),
        _ => Champion::None,
    }
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
