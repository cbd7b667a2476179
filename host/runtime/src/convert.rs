//! Converts small values between the lifecycle and the contract: tasks, findings, metrics,
//! decisions. Texts of guests are cut and escaped, and their numbers are checked.

use std::collections::HashSet;

use stagewright_data::Task;
use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::gates::{GateResult, Verdict};
use stagewright_evaluation::report::{Check, ColumnSummary, FailingCell, Severity};
use stagewright_lifecycle::fault::guest_name;
use stagewright_lifecycle::sandbox::{DecisionInput, StageDecision};
use stagewright_store::Schema;

use crate::bindings::exports::stagewright::stage::{decide, validate};
use crate::bindings::stagewright::stage::types;

/// The most checks or columns that a validation may return: one of each kind for every column of
/// the widest table.
const MAX_ENTRIES: usize = 500_000;

/// The most metrics or reasons that a stage may return, which is more than anybody reads.
const MAX_METRICS: usize = 1_000;

/// The most example cells of one check, as the contract says.
const MAX_EXAMPLES: usize = 20;

/// Converts a task into the contract's.
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

/// Returns the first name that occurs a second time.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

/// Converts the findings of a validation stage. `warnings` are the indices of the checks that only
/// warn.
pub(crate) fn findings_in(
    findings: validate::Findings,
    warnings: &[u32],
) -> Result<(Vec<Check>, Vec<ColumnSummary>), String> {
    few("checks", &findings.checks, MAX_ENTRIES)?;
    few("columns", &findings.columns, MAX_ENTRIES)?;
    let cell = |cell: validate::Cell| FailingCell { row: cell.row, value: cell.value.as_deref().map(guest_name) };
    let check = |check: validate::Check| Check {
        name: guest_name(&check.name),
        column: check.column.as_deref().map(guest_name),
        passed: check.passed,
        severity: Severity::Error,
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
    let mut checks: Vec<Check> = findings.checks.into_iter().map(check).collect();
    for &place in warnings {
        let count = checks.len();
        let check = checks.get_mut(place as usize);
        check.ok_or_else(|| format!("check {place} warns, of {count} checks"))?.severity = Severity::Warn;
    }
    Ok((checks, findings.columns.into_iter().map(column).collect()))
}

/// Returns the bytes of findings that count against the output limit: their text and 64 bytes for
/// each entry.
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

/// Returns a model's importances by the names of its inputs, scaled to sum to 1. Inputs with
/// importance 0 are left out; the result is empty if the model reports none.
pub(crate) fn importance_in(importance: &[f64], inputs: &Schema) -> Result<Vec<(String, f64)>, String> {
    if importance.is_empty() {
        return Ok(Vec::new());
    }
    if importance.len() != inputs.len() {
        return Err(format!("{} numbers came back for {} inputs", importance.len(), inputs.len()));
    }
    let entries = || inputs.fields().iter().map(|field| field.name.as_str()).zip(importance.iter().copied());
    if let Some((name, bad)) = entries().find(|(_, number)| !number.is_finite() || *number < 0.0) {
        return Err(format!("the importance of `{}` is {bad}", guest_name(name)));
    }
    let total: f64 = importance.iter().sum();
    if !total.is_finite() {
        return Err("the importance of all features has no finite sum".to_owned());
    }
    if total <= 0.0 {
        return Ok(Vec::new());
    }
    Ok(entries().filter(|(_, number)| *number > 0.0).map(|(name, number)| (name.to_owned(), number / total)).collect())
}

/// The most outputs of a model, as the contract says.
const MAX_OUTPUTS: usize = 1_024;

/// Returns whether a name is an identifier of the contract: lower case, digits and `_`, at most 64
/// bytes.
fn is_identifier(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Checks the outputs that a model declares. Those that the task requires must come first.
///
/// # Errors
/// Returns what is wrong with the outputs, as text.
pub(crate) fn outputs_in(outputs: &[types::Output], task: &Task) -> Result<(), String> {
    few("outputs", outputs, MAX_OUTPUTS)?;
    let wanted: Vec<types::Output> = match task {
        Task::Binary { .. } => vec![types::Output::Probability(1)],
        Task::MultiClass { classes } => (0..classes.len() as u32).map(types::Output::Probability).collect(),
        Task::Regression => vec![types::Output::Value],
    };
    let starts =
        outputs.len() >= wanted.len() && wanted.iter().zip(outputs).all(|(a, b)| output_name(a) == output_name(b));
    if !starts {
        let listed = |outputs: &[types::Output]| {
            let names: Vec<String> = outputs.iter().take(8).map(output_name).collect();
            format!("`{}`", names.join("`, `"))
        };
        return Err(format!("it predicts {}, and the task wants {} first", listed(outputs), listed(&wanted)));
    }
    let mut seen = HashSet::new();
    let mut last = 0.0;
    for output in outputs {
        let name = output_name(output);
        match output {
            types::Output::Quantile(at) if !(*at > last && *at < 1.0) => {
                return Err(format!("{name}: quantiles lie between 0 and 1 and increase"));
            }
            types::Output::Quantile(at) => last = *at,
            types::Output::Other(word) if !is_identifier(word) => {
                return Err(format!("{name}: a name has lower case, digits and `_`, at most 64 bytes"));
            }
            types::Output::Probability(class) if *class >= classes(task) => {
                return Err(format!("{name}: the task has {} classes", classes(task)));
            }
            _ => {}
        }
        if !seen.insert(name.clone()) {
            return Err(format!("{name} is there twice"));
        }
    }
    Ok(())
}

fn classes(task: &Task) -> u32 {
    match task {
        Task::Binary { .. } => 2,
        Task::MultiClass { classes } => classes.len() as u32,
        Task::Regression => 0,
    }
}

/// Returns the name of an output, for messages and columns.
pub(crate) fn output_name(output: &types::Output) -> String {
    match output {
        types::Output::Probability(class) => format!("probability({class})"),
        types::Output::Value => "value".to_owned(),
        types::Output::Quantile(at) => format!("quantile({at})"),
        types::Output::Other(word) => format!("other({})", guest_name(word)),
    }
}

/// Converts the metrics that a stage reports under its own name.
pub(crate) fn metrics_in(metrics: Vec<types::Metric>) -> Result<Vec<(String, f64)>, String> {
    few("metrics", &metrics, MAX_METRICS)?;
    match metrics.iter().find(|metric| !is_identifier(&metric.name)) {
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

/// Converts the input of a promotion stage.
pub(crate) fn evaluation_out(input: &DecisionInput) -> decide::Evaluation {
    let gate = |result: &GateResult| decide::Gate {
        rule: result.gate.rule.name().to_owned(),
        metric: result.gate.metric.clone(),
        threshold: result.gate.threshold,
        actual: result.actual,
        baseline: result.baseline,
        passed: result.passed,
    };
    let difference = |difference: &MetricDifference| decide::Difference {
        metric: difference.metric.clone(),
        value: difference.value,
        low: difference.low,
        high: difference.high,
        confidence: difference.confidence,
        p_value: difference.p_value,
    };
    decide::Evaluation {
        candidate: metrics_out(&input.candidate),
        champion: input.champion.as_deref().map(metrics_out),
        rows: input.rows,
        difference: input.difference.as_ref().map(difference),
        reported: metrics_out(&input.reported),
        gates: input.gates.iter().map(gate).collect(),
        verdict: match input.verdict {
            Verdict::Approved => decide::Verdict::Approved,
            Verdict::Rejected => decide::Verdict::Rejected,
            Verdict::Undecided => decide::Verdict::Undecided,
        },
    }
}

/// Converts the decision of a promotion stage.
pub(crate) fn decision_in(decision: decide::Decision) -> Result<StageDecision, String> {
    few("reasons", &decision.reasons, MAX_METRICS)?;
    let reason = |reason: decide::Reason| (guest_name(&reason.gate), reason.passed, guest_name(&reason.message));
    Ok(StageDecision {
        approved: decision.verdict == decide::Verdict::Approved,
        reasons: decision.reasons.into_iter().map(reason).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_one_of_the_checks() {
        let check = |name: &str| validate::Check {
            name: name.to_owned(),
            column: None,
            passed: false,
            observed: String::new(),
            expected: String::new(),
            failures: 0,
            examples: Vec::new(),
        };
        let findings = || validate::Findings { checks: vec![check("a"), check("b")], columns: Vec::new() };
        let (checks, _) = findings_in(findings(), &[1, 1]).expect("a check");
        let meanings: Vec<_> = checks.iter().map(|check| (check.stops(), check.warns())).collect();
        assert_eq!(meanings, [(true, false), (false, true)]);
        for warnings in [vec![2], vec![0, u32::MAX]] {
            assert!(findings_in(findings(), &warnings).is_err(), "{warnings:?}");
        }
    }
}
