//! Evaluation: the candidate and the champion are measured on the same test rows.
//!
//! The host computes the metrics that gates read, from predictions that it obtained itself. The
//! evaluation component runs after that, and its metrics stand in the report under its own name.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Float64Array, RecordBatch};
use stagewright_data::{Task, select};
use stagewright_evaluation::figure::{Figure, Importance, Predictions, importance_figure, prediction_figures};
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::{
    self, Champion, ComparisonDetails, ComponentReport, EvaluatedModel, EvaluationReport,
};
use stagewright_store::{DataType, Field, Role, Schema, Table};

use crate::artifact::{COMPARED, EVALUATION, EVALUATION_REPORT, IMPORTANCE, MODEL, PREDICTIONS, STATE, TASK, TEST};
use crate::execution::Execution;
use crate::fault::StageFault;
use crate::invocation::{CHAMPION_MODEL, CHAMPION_STATE, ChampionSpec, ChampionStatus, EvaluationWork};
use crate::judgement::{Judged, Measured, Predicted, Rules, judge, values_of};
use crate::model::width;
use crate::predict::view_for;
use crate::row_independence::predict_checked;
use crate::run_error::RunError;
use crate::sandbox::{ModelParts, View};
use crate::table_reading::{ReadError, all};
use crate::test_rows::TestRows;

/// A model with its predictions for the test rows.
struct ScoredModel<'a> {
    name: &'a str,
    parts: &'a ModelParts,
    scores: Vec<f64>,
}

/// Measures both models, calls the component, and judges the gates.
pub(crate) fn run(work: &EvaluationWork, execution: &mut Execution) -> Result<(), RunError> {
    let test = TestRows::new(execution.open(&TEST)?, execution.open(&TASK)?, execution.watch())?;
    let parts = candidate(work, execution, &test)?;
    let theirs = match &work.champion {
        ChampionStatus::Readable(champion) => Some(champion_parts(champion, execution)?),
        ChampionStatus::Absent | ChampionStatus::Itself { .. } | ChampionStatus::Unreadable { .. } => None,
    };
    let score = |name, parts| -> Result<ScoredModel<'_>, StageFault> {
        let view = view_for(parts, &test.table)?;
        let scores = execution.waiting(|| predict_checked(&*execution.session.sandbox, parts, &view))?;
        Ok(ScoredModel { name, parts, scores })
    };
    let candidate = score("candidate", &parts)?;
    let champion = theirs.as_ref().map(|parts| score("champion", parts)).transpose()?;
    let judged = judged(work, &test, &candidate, champion.as_ref())?;
    put_predictions(execution, &candidate, champion.as_ref(), &test.task)?;
    let reported = call_component(execution, &test, &judged, &parts, champion.as_ref())?;
    let report = report(work, execution, &test, &judged, (&candidate, champion.as_ref()), reported)?;
    execution.put_text(&EVALUATION, report.json())?;
    execution.put_text(&EVALUATION_REPORT, report.html())?;
    execution.put_results(results_of(&report));
    Ok(())
}

/// Returns the metrics of an evaluation that become the run's metrics.
pub(crate) fn results_of(evaluated: &EvaluationReport) -> Vec<(String, Option<f64>)> {
    let metrics = evaluated.candidate.metrics.iter().map(|(name, value)| (name.to_owned(), value));
    metrics.chain([("test_rows".to_owned(), Some(evaluated.test.rows as f64))]).collect()
}

fn judged(
    work: &EvaluationWork,
    test: &TestRows,
    candidate: &ScoredModel<'_>,
    champion: Option<&ScoredModel<'_>>,
) -> Result<Judged, StageFault> {
    let (gates, theirs) = match &work.champion {
        ChampionStatus::Absent => (work.gates.clone(), None),
        ChampionStatus::Readable(champion) => (work.gates.clone(), Some(&champion.overlap)),
        ChampionStatus::Itself { .. } | ChampionStatus::Unreadable { .. } => (work.gates.without_comparison(), None),
    };
    let rules = Rules { gates, refuse_overlap: work.refuse_overlap, rows_per_class: work.rows_per_class };
    let candidate = Predicted { scores: &candidate.scores, overlap: &work.candidate_overlap };
    let champion = champion.zip(theirs).map(|(scored, overlap)| Predicted { scores: &scored.scores, overlap });
    judge(test, candidate, champion, &rules)
}

/// Lets the component evaluate both models on the compared rows.
fn call_component(
    execution: &mut Execution,
    test: &TestRows,
    judged: &Judged,
    candidate: &ModelParts,
    champion: Option<&ScoredModel<'_>>,
) -> Result<Vec<(String, f64)>, RunError> {
    let table = if judged.shown.len() == test.labels.len() {
        test.table.clone()
    } else {
        let table = rows_of(execution, &test.table, &judged.shown)?;
        execution.put_table(&COMPARED, &table);
        table
    };
    // The component gets no champion if too few rows are left to measure it on.
    let champion = champion.filter(|_| judged.champion.is_some());
    let view = View::of(table, |field| matches!(field.role, Role::Feature | Role::Target | Role::Weight));
    let context = execution.context(HashMap::new())?;
    let champion = champion.map(|champion| champion.parts.clone());
    Ok(execution.session.sandbox.evaluate(context, &view, candidate.clone(), champion, &test.task)?)
}

/// Returns some rows of a table as a table.
fn rows_of(execution: &Execution, table: &Table, rows: &[usize]) -> Result<Table, StageFault> {
    let mut writer = execution.create_table(table.schema())?;
    let rows: Vec<u64> = rows.iter().map(|&row| row as u64).collect();
    for batch in select(all(table, execution.watch()), &rows) {
        writer.write(&batch.map_err(|ReadError(fault)| fault)?)?;
    }
    writer.finish()
}

fn report(
    work: &EvaluationWork,
    execution: &Execution,
    test: &TestRows,
    judged: &Judged,
    (candidate, champion): (&ScoredModel<'_>, Option<&ScoredModel<'_>>),
    reported: Vec<(String, f64)>,
) -> Result<EvaluationReport, RunError> {
    let model = |scored: &ScoredModel<'_>, version: Option<u32>, measured: &Measured| EvaluatedModel {
        version: version.map(u64::from),
        digest: scored.parts.model.digest().to_string(),
        test_digest: test.table.digest().to_string(),
        metrics: measured.metrics.clone(),
        confusion: measured.confusion.as_ref().map(|(confusion, _)| confusion.clone()),
    };
    // If the champion was trained on most of the rows, it has no metrics. It is still the champion,
    // and the verdict is reached against it.
    let unmeasured = Measured { metrics: MetricSet::default(), confusion: None };
    let theirs = judged.champion.as_ref().unwrap_or(&unmeasured);
    let in_report = match &work.champion {
        ChampionStatus::Absent => Champion::None,
        ChampionStatus::Unreadable { version, model, reason } => {
            Champion::Unreadable { version: u64::from(*version), digest: model.to_string(), reason: reason.clone() }
        }
        ChampionStatus::Itself { version } => Champion::Evaluated(model(candidate, Some(*version), &judged.candidate)),
        ChampionStatus::Readable(spec) => {
            champion.map_or(Champion::None, |scored| Champion::Evaluated(model(scored, Some(spec.version), theirs)))
        }
    };
    Ok(EvaluationReport {
        model: work.model.clone(),
        task: task_text(&test.task),
        primary_metric: work.gates.primary.clone(),
        test: report::ReportTable {
            name: "test".into(),
            digest: test.table.digest().to_string(),
            rows: test.table.rows(),
        },
        candidate: model(candidate, work.candidate_version, &judged.candidate),
        champion: in_report,
        compared: ComparisonDetails {
            policy: judged.policy,
            candidate_overlap_rows: judged.rows.candidate_overlap_rows,
            champion_overlap_rows: judged.rows.champion_overlap_rows,
            equal_content_rows: judged.rows.equal_content_rows,
            comparison: judged.comparison.clone(),
        },
        gates: judged.judgement.gates.clone(),
        decision: None,
        figures: figures(test, judged, candidate, champion)?,
        reported: Some(ComponentReport {
            component: execution.report_component(),
            metrics: reported.into_iter().collect(),
            figures: execution.take_figures(),
        }),
        artifacts: work.ancestors.clone(),
    })
}

/// Returns the run's model, ready to predict.
fn candidate(work: &EvaluationWork, execution: &mut Execution, test: &TestRows) -> Result<ModelParts, RunError> {
    Ok(ModelParts {
        transformation: execution.nested(&work.candidate.transformation)?,
        state: execution.open(&STATE)?,
        training: execution.nested(&work.candidate.training)?,
        model: execution.open(&MODEL)?,
        features: features_of(test.table.schema()),
        task: test.task.clone(),
        importance: execution.open(&IMPORTANCE)?,
    })
}

fn champion_parts(champion: &ChampionSpec, execution: &mut Execution) -> Result<ModelParts, RunError> {
    Ok(ModelParts {
        transformation: execution.nested(&champion.guests.transformation)?,
        state: execution.blob(CHAMPION_STATE)?,
        training: execution.nested(&champion.guests.training)?,
        model: execution.blob(CHAMPION_MODEL)?,
        features: champion.features.clone(),
        task: champion.task.clone(),
        importance: champion.importance.clone(),
    })
}

fn features_of(schema: &Schema) -> Schema {
    schema.project(&schema.indices_with(Role::Feature))
}

/// Writes the predictions for the test rows as an artifact, from which anybody can compute other
/// metrics.
fn put_predictions(
    execution: &mut Execution,
    candidate: &ScoredModel<'_>,
    champion: Option<&ScoredModel<'_>>,
    task: &Task,
) -> Result<(), RunError> {
    let classes = width(task);
    let models = || [candidate].into_iter().chain(champion);
    let names = models().flat_map(|scored| {
        (0..classes).map(move |class| match classes {
            1 => scored.name.to_owned(),
            _ => format!("{}_{class}", scored.name),
        })
    });
    let fields = names.map(|name| Field::new(name, DataType::Float64).with_nullable(false)).collect();
    let schema = Schema::new(fields).map_err(StageFault::host)?;
    let columns = models().flat_map(|scored| {
        (0..classes).map(move |class| {
            let column: Vec<f64> = scored.scores.iter().skip(class).step_by(classes).copied().collect();
            Arc::new(Float64Array::from(column)) as arrow_array::ArrayRef
        })
    });
    let rows = RecordBatch::try_new(schema.to_arrow(), columns.collect()).map_err(StageFault::host)?;
    let mut writer = execution.create_table(&schema)?;
    writer.write(&rows)?;
    let table = writer.finish()?;
    execution.put_table(&PREDICTIONS, &table);
    Ok(())
}

/// Draws figures for the rows of the report's metrics: with a champion, these are the compared
/// rows.
fn figures(
    test: &TestRows,
    judged: &Judged,
    candidate: &ScoredModel<'_>,
    champion: Option<&ScoredModel<'_>>,
) -> Result<Vec<Figure>, StageFault> {
    // A figure of both models needs compared rows.
    let champion = champion.filter(|_| judged.champion.is_some());
    let rows = &judged.shown;
    let scored = || [candidate].into_iter().chain(champion);
    let mut figures = Vec::new();
    if matches!(test.task, Task::Binary { .. }) {
        let classes: Vec<u8> = rows.iter().map(|&row| test.labels[row] as u8).collect();
        let scores: Vec<(&str, Vec<f64>)> =
            scored().map(|scored| (scored.name, values_of(&scored.scores, 1, rows))).collect();
        let predictions: Vec<Predictions<'_>> =
            scores.iter().map(|(name, scores)| Predictions { name, scores }).collect();
        figures.extend(prediction_figures(&classes, &predictions).map_err(StageFault::host)?);
    }
    let measured = [Some(&judged.candidate), judged.champion.as_ref()].into_iter().flatten();
    figures.extend(measured.filter_map(|it| it.confusion.as_ref().and_then(|(_, figure)| figure.clone())));
    let importance: Vec<Importance<'_>> =
        scored().map(|scored| Importance { name: scored.name, features: &scored.parts.importance }).collect();
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
