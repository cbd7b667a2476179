//! `gate`: any registered version against gates of the command line.

use stagewright_evaluation::gates::{
    DEGRADATION_TOLERANCE, Gate, GateResult, GateRule, GateSummary, Gates, compare, failure_text, judge,
};
use stagewright_store::{CHAMPION, Home, JudgedAgainst, ModelVersion, NewVerdict, Verdict, VerdictReason};

use crate::arguments::GateArguments;
use crate::commands::models::{carried_out, contents, find};
use crate::commands::print_json;
use crate::commands::side_by_side::metric_set;
use crate::ending::{Ending, UsageError};
use crate::location::Location;
use crate::production;
use crate::terminal::table;

/// Judges a version.
pub(crate) fn gate(location: &Location, arguments: &GateArguments) -> anyhow::Result<Ending> {
    let home = location.existing()?;
    let gates = gates(arguments)?;
    if gates.is_empty() && arguments.baseline.is_none() {
        return Err(UsageError::error("no gate was named", "name some: --min-auc 0.82 --min-accuracy 0.78"));
    }
    let version = find(&home, &arguments.model, CHAMPION)?;
    let metrics = metric_set(&version);
    let results = judge(&Gates::absolute(gates), &metrics, None).gates;
    let baseline = arguments.baseline.as_ref().map(|baseline| find(&home, baseline, CHAMPION)).transpose()?;
    if let Some(other) = &baseline
        && contents(&version)?.test_digest != contents(other)?.test_digest
    {
        return Err(UsageError::error(
            format!(
                "{}/{} and {}/{} were measured on different test rows: their metrics cannot be compared",
                version.model, version.version, other.model, other.version
            ),
            "name a baseline of the same data, split and seed, or gates of fixed values",
        ));
    }
    let compared = baseline.as_ref().map(|it| compare(&metrics, &metric_set(it), DEGRADATION_TOLERANCE));
    let summary = GateSummary::new(&results);
    let passed = summary.passed && compared.as_ref().is_none_or(|compared| compared.improved);
    let mut problems: Vec<String> = failure_text(&results).into_iter().collect();
    if let (Some(compared), Some(baseline)) = (&compared, &baseline) {
        let worse: Vec<&str> =
            compared.metrics.iter().filter(|(_, it)| it.regressed).map(|(name, _)| name.as_str()).collect();
        if !compared.improved {
            problems.push(format!("behind {}/{} in {}", baseline.model, baseline.version, worse.join(", ")));
        }
    }
    let reason = if passed { "every gate passed".to_owned() } else { problems.join("; ") };
    if arguments.json.json {
        let mut object = serde_json::to_value(&summary)?;
        object["passed"] = passed.into();
        object["model"] = version.model.clone().into();
        object["version"] = version.version.into();
        object["baseline"] = serde_json::to_value(&compared)?;
        print_json(&object)?;
    } else {
        let mut shown = table(&["gate", "metric", "threshold", "actual", "passed"]);
        for result in &results {
            shown.add_row(vec![
                result.gate.rule.name().to_owned(),
                result.gate.metric.clone(),
                result.gate.threshold.to_string(),
                result.actual.map_or_else(|| "missing".to_owned(), |actual| format!("{actual:.6}")),
                if result.passed { "yes" } else { "no" }.to_owned(),
            ]);
        }
        println!("{shown}");
        if passed {
            println!("{}/{}: {reason}", version.model, version.version);
        }
    }
    if arguments.record || arguments.promote {
        // A name that was mistyped must not reject a version for good.
        if let Some(missing) = results.iter().find(|result| result.missing) {
            let known: Vec<&str> = version.metrics.iter().map(|(name, _)| name.as_str()).collect();
            return Err(UsageError::error(
                format!(
                    "{}/{} has no metric `{}`; nothing was recorded",
                    version.model, version.version, missing.gate.metric
                ),
                format!("it has {}", known.join(", ")),
            ));
        }
        record(&home, &version, passed, &reason, &results)?;
    }
    if passed && arguments.promote {
        let destination = production::to_write(&home, Some(&version.model), &arguments.destination)?;
        carried_out(&home, &version, None, &reason, &destination, arguments.json.json)?;
        if !arguments.json.json {
            println!("version {} of `{}` is champion", version.version, version.model);
        }
    }
    if !passed && !arguments.json.json {
        eprintln!("error: {reason}");
    }
    Ok(if passed { Ending::Done } else { Ending::Rejected })
}

/// Records the verdict. The champion is judged by nobody against itself: its verdict may only be confirmed.
fn record(
    home: &Home,
    version: &ModelVersion,
    passed: bool,
    reason: &str,
    results: &[GateResult],
) -> anyhow::Result<()> {
    let verdict = if passed { Verdict::Approved } else { Verdict::Rejected };
    let champion = home.registry.alias(&version.model, CHAMPION)?;
    if champion == Some(version.version) && version.verdict == Some(verdict) {
        return Ok(());
    }
    let reasons = results.iter().map(|result| VerdictReason {
        gate: format!("{} {}", result.gate.rule.name(), result.gate.metric),
        passed: result.passed,
        message: result.message.clone(),
    });
    let verdict = NewVerdict {
        verdict,
        policy: "absolute".to_owned(),
        judged_against: JudgedAgainst::from(champion),
        reason: reason.to_owned(),
        reasons: reasons.collect(),
        evaluation: serde_json::Value::Null,
        metrics: version.metrics.clone(),
        references: Vec::new(),
        run_id: None,
        is_override: false,
    };
    Ok(home.registry.record_verdict(&home.artifacts, &version.model, version.version, &verdict)?)
}

fn gates(arguments: &GateArguments) -> anyhow::Result<Vec<Gate>> {
    let least = |metric: &str, value: Option<f64>| value.map(|value| Gate::new(GateRule::Minimum, metric, value));
    let mut gates: Vec<Gate> =
        least("roc_auc", arguments.min_auc).into_iter().chain(least("accuracy", arguments.min_accuracy)).collect();
    let usage = |error: stagewright_evaluation::Error| UsageError::error(error.to_string(), "write METRIC=VALUE");
    for (rule, texts) in [(GateRule::Minimum, &arguments.minimum), (GateRule::Maximum, &arguments.maximum)] {
        for text in texts {
            gates.push(Gate::parse(rule, text).map_err(usage)?);
        }
    }
    Ok(gates)
}
