//! Small values across the boundary: tasks, findings, metrics, decisions. Guest text is cut and escaped on its way in; numbers that
//! people will read as figures are checked.

use std::collections::HashSet;

use stagewright_data::Task;
use stagewright_evaluation::gates::GateRule;
use stagewright_evaluation::report::{Cell, Check, ColumnSummary};
use stagewright_lifecycle::fault::guest_name;
use stagewright_lifecycle::sandbox::{DecisionInput, StageDecision};

use crate::bindings::exports::stagewright::stage::{decide, validate};
use crate::bindings::stagewright::stage::types;

/// Checks or columns that a validation may return: one of each kind for every column of the widest table.
const MAX_ENTRIES: usize = 500_000;

/// Metrics or reasons that a stage may return: more than anybody reads.
const MAX_METRICS: usize = 1_000;

/// Example cells of one check, as the contract says.
const MAX_EXAMPLES: usize = 20;

/// How a task is told to a stage.
pub(crate) fn task_out(task: &Task) -> types::Task {
    match task {
        Task::Binary { negative, positive } => {
            types::Task::Binary(types::BinaryClasses { negative: negative.clone(), positive: positive.clone() })
        }
        Task::MultiClass { classes } => types::Task::MultiClass(classes.clone()),
        Task::Regression => types::Task::Regression,
    }
}

fn few<T>(what: &str, list: &[T], most: usize) -> Result<(), String> {
    if list.len() > most { Err(format!("{} {what}; at most {most}", list.len())) } else { Ok(()) }
}

/// The first name that stands in a list twice.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// What a validation stage found.
pub(crate) fn findings_in(findings: validate::Findings) -> Result<(Vec<Check>, Vec<ColumnSummary>), String> {
    few("checks", &findings.checks, MAX_ENTRIES)?;
    few("columns", &findings.columns, MAX_ENTRIES)?;
    let cell = |cell: validate::Cell| Cell { row: cell.row, value: cell.value.as_deref().map(guest_name) };
    let check = |check: validate::Check| Check {
        name: guest_name(&check.name),
        column: check.column.as_deref().map(guest_name),
        passed: check.passed,
        observed: guest_name(&check.observed),
        expected: guest_name(&check.expected),
        failures: check.failures,
        examples: check.examples.into_iter().take(MAX_EXAMPLES).map(cell).collect(),
    };
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    let column = |column: validate::ColumnSummary| ColumnSummary {
        column: guest_name(&column.column),
        nulls: column.nulls,
        distinct: column.distinct,
        minimum: finite(column.minimum),
        maximum: finite(column.maximum),
        mean: finite(column.mean),
    };
    Ok((findings.checks.into_iter().map(check).collect(), findings.columns.into_iter().map(column).collect()))
}

/// Bytes of findings as they count against the output limit: their text, and a little for each.
pub(crate) fn findings_bytes(checks: &[Check], columns: &[ColumnSummary]) -> u64 {
    const ENTRY: usize = 64;
    let text = |text: &Option<String>| text.as_deref().map_or(0, str::len);
    let of_check = |check: &Check| {
        let cells: usize = check.examples.iter().map(|cell| ENTRY + text(&cell.value)).sum();
        ENTRY + check.name.len() + text(&check.column) + check.observed.len() + check.expected.len() + cells
    };
    let checks: usize = checks.iter().map(of_check).sum();
    let columns: usize = columns.iter().map(|column| ENTRY + column.column.len()).sum();
    (checks + columns) as u64
}

/// A model's importance, scaled to sum to 1; empty if all are 0.
pub(crate) fn importance_in(importance: Vec<types::FeatureImportance>) -> Result<Vec<(String, f64)>, String> {
    few("features", &importance, MAX_ENTRIES)?;
    if let Some(bad) = importance.iter().find(|entry| !entry.importance.is_finite() || entry.importance < 0.0) {
        return Err(format!("the importance of `{}` is {}", guest_name(&bad.feature), bad.importance));
    }
    if let Some(name) = repeated(importance.iter().map(|entry| entry.feature.as_str())) {
        return Err(format!("the importance of `{}` is there twice", guest_name(name)));
    }
    let total: f64 = importance.iter().map(|entry| entry.importance).sum();
    if !total.is_finite() {
        return Err("the importance of all features has no finite sum".to_owned());
    }
    if total <= 0.0 {
        return Ok(Vec::new());
    }
    // As the guest wrote them: whoever asked holds them to the names of the features.
    Ok(importance.into_iter().map(|entry| (entry.feature, entry.importance / total)).collect())
}

/// Metrics that a stage reports under its own name.
pub(crate) fn metrics_in(metrics: Vec<types::Metric>) -> Result<Vec<(String, f64)>, String> {
    few("metrics", &metrics, MAX_METRICS)?;
    let is_name = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    match metrics.iter().find(|metric| !is_name(&metric.name)) {
        Some(bad) => Err(format!(
            "`{}` is not a metric's name: lower case, digits and `_`, at most 64 bytes",
            guest_name(&bad.name)
        )),
        None => match repeated(metrics.iter().map(|metric| metric.name.as_str())) {
            Some(name) => Err(format!("the metric `{name}` is there twice")),
            None => Ok(metrics.into_iter().map(|metric| (metric.name, metric.value)).collect()),
        },
    }
}

fn metrics_out(metrics: &[(String, f64)]) -> Vec<types::Metric> {
    metrics.iter().map(|(name, value)| types::Metric { name: name.clone(), value: *value }).collect()
}

/// What a promotion stage is told.
pub(crate) fn decision_out(input: &DecisionInput) -> (decide::Evaluation, Vec<decide::Gate>) {
    let evaluation = decide::Evaluation {
        candidate: metrics_out(&input.candidate),
        champion: input.champion.as_deref().map(metrics_out),
        reported: metrics_out(&input.reported),
    };
    let gates = input.gates.iter().map(|result| decide::Gate {
        rule: match result.gate.rule {
            GateRule::Minimum => decide::GateRule::Minimum,
            GateRule::Maximum => decide::GateRule::Maximum,
            GateRule::Margin => decide::GateRule::Margin,
            // The contract has no such rule: a stage is told the same limit as a share of the
            // champion's figure.
            GateRule::NoWorse | GateRule::NoRegression => decide::GateRule::NoRegression,
        },
        metric: result.gate.metric.clone(),
        threshold: match (result.gate.rule, result.baseline.map(f64::abs)) {
            (GateRule::NoWorse, Some(baseline)) if baseline > 0.0 => result.gate.threshold / baseline,
            _ => result.gate.threshold,
        },
        actual: result.actual,
        baseline: result.baseline,
        passed: result.passed,
    });
    (evaluation, gates.collect())
}

/// What a promotion stage decided.
pub(crate) fn decision_in(decision: decide::Decision) -> Result<StageDecision, String> {
    few("reasons", &decision.reasons, MAX_METRICS)?;
    let reason = |reason: decide::Reason| (guest_name(&reason.gate), reason.passed, guest_name(&reason.message));
    Ok(StageDecision {
        approved: decision.verdict == decide::Verdict::Approved,
        reasons: decision.reasons.into_iter().map(reason).collect(),
    })
}
