//! Gates: what passes, and the messages.

use super::*;
use crate::Error;
use crate::difference::MetricDifference;

fn gate(rule: GateRule, metric: &str, threshold: f64) -> Gate {
    Gate { rule, metric: metric.to_owned(), threshold, confidence: None }
}

/// Judges gates without a policy.
fn judge_all(gates: &[Gate], candidate: &MetricSet, champion: Option<&MetricSet>) -> Vec<GateResult> {
    let comparison = champion.map(|champion| ChampionComparison {
        candidate: candidate.clone(),
        champion: champion.clone(),
        difference: None,
        rows: 1_000,
        undecided: None,
    });
    gates.iter().map(|gate| rules::judge(gate, candidate, comparison.as_ref())).collect()
}

fn set(metrics: &[(&str, f64)]) -> MetricSet {
    metrics.iter().copied().collect()
}

fn one(rule: GateRule, metric: &str, threshold: f64, actual: f64, champion: Option<f64>) -> GateResult {
    let champion = champion.map(|value| set(&[(metric, value)]));
    judge_all(&[gate(rule, metric, threshold)], &set(&[(metric, actual)]), champion.as_ref()).remove(0)
}

#[test]
fn a_minimum_passes_at_equality() {
    assert!(one(GateRule::Minimum, "accuracy", 0.85, 0.85, None).passed);
    assert!(!one(GateRule::Minimum, "accuracy", 0.85, 0.85_f64.next_down(), None).passed);
}

#[test]
fn a_maximum_passes_at_equality() {
    assert!(one(GateRule::Maximum, "log_loss", 0.5, 0.5, None).passed);
    assert!(!one(GateRule::Maximum, "log_loss", 0.5, 0.5_f64.next_up(), None).passed);
}

// invariant: A gate on a missing metric fails.
#[test]
fn a_missing_or_undefined_metric_fails_every_rule_and_is_flagged() {
    let champion = set(&[("roc_auc", 0.5)]);
    for rule in [GateRule::Minimum, GateRule::Maximum, GateRule::Margin, GateRule::NoRegression] {
        for candidate in [set(&[]), set(&[("roc_auc", f64::NAN)])] {
            for champion in [None, Some(&champion)] {
                // A value of 0 would meet these thresholds.
                let threshold = if rule == GateRule::Minimum { -1.0 } else { 1.0 };
                let result = judge_all(&[gate(rule, "roc_auc", threshold)], &candidate, champion).remove(0);
                assert!(!result.passed && result.missing && result.actual.is_none(), "{result:?}");
                assert_eq!(GateSummary::new(&[result]).details.into_values().next().unwrap().actual, 0.0);
            }
        }
    }
}

#[test]
fn a_margin_must_be_exceeded_strictly() {
    assert!(one(GateRule::Margin, "roc_auc", 0.01, 0.8501, Some(0.84)).passed);
    assert!(!one(GateRule::Margin, "roc_auc", 0.01, 0.8499, Some(0.84)).passed);
    assert!(!one(GateRule::Margin, "roc_auc", 0.0, 0.84, Some(0.84)).passed);
    // Equality in four decimals fails, however binary floating point rounds it.
    for base in 5_000..9_000 {
        for step in [1, 10, 50, 100] {
            let (base, margin, actual) = (f64::from(base) / 1e4, f64::from(step) / 1e4, f64::from(base + step) / 1e4);
            assert!(!one(GateRule::Margin, "roc_auc", margin, actual, Some(base)).passed, "{actual} {base} {margin}");
        }
    }
}

#[test]
fn comparisons_pass_without_a_champion() {
    for rule in [GateRule::Margin, GateRule::NoRegression] {
        let result = one(rule, "roc_auc", 0.01, 0.3, None);
        assert!(result.passed && !result.missing && result.baseline.is_none(), "{result:?}");
    }
}

#[test]
fn a_champion_without_the_metric_cannot_be_compared_with() {
    let champion = set(&[("accuracy", 0.8)]);
    for rule in [GateRule::Margin, GateRule::NoRegression] {
        let result = judge_all(&[gate(rule, "roc_auc", 0.01)], &set(&[("roc_auc", 0.9)]), Some(&champion)).remove(0);
        assert!(!result.passed && result.missing, "{result:?}");
    }
}

#[test]
fn a_degradation_within_the_tolerance_is_no_regression() {
    let degraded = |percent: f64| one(GateRule::NoRegression, "f1", 0.01, 0.8 * (1.0 - percent / 100.0), Some(0.8));
    assert!(degraded(0.9).passed);
    assert!(degraded(1.0).passed);
    assert!(!degraded(1.1).passed);
    assert!(degraded(-5.0).passed);
    let result = degraded(1.1);
    assert!((result.improvement_percent.unwrap() + 1.1).abs() < 1e-9);
    assert_eq!(one(GateRule::NoRegression, "f1", 0.01, 0.3, Some(0.0)).improvement_percent, Some(0.0));
}

#[test]
fn losses_are_compared_the_other_way_round() {
    assert!(one(GateRule::Margin, "log_loss", 0.01, 0.40, Some(0.42)).passed);
    assert!(!one(GateRule::Margin, "log_loss", 0.01, 0.44, Some(0.42)).passed);
    assert!(!one(GateRule::Margin, "log_loss", 0.02, 0.40, Some(0.42)).passed);
    assert!(one(GateRule::NoRegression, "log_loss", 0.01, 0.30, Some(0.42)).passed);
    assert!(!one(GateRule::NoRegression, "log_loss", 0.01, 0.43, Some(0.42)).passed);
}

#[test]
fn an_equal_negative_figure_is_no_regression() {
    assert!(one(GateRule::NoRegression, "r2", 0.01, -0.5, Some(-0.5)).passed);
    assert!(!one(GateRule::NoRegression, "r2", 0.01, -0.6, Some(-0.5)).passed);
}

#[test]
fn a_comparison_lists_every_metric_and_the_verdict() {
    let champion = set(&[("roc_auc", 0.80), ("f1", 0.50), ("log_loss", 0.40)]);
    let better = compare(&set(&[("roc_auc", 0.81), ("f1", 0.497), ("log_loss", 0.40)]), &champion, 0.01);
    assert!(better.improved, "{better:?}");
    assert!((better.metrics["roc_auc"].improvement_percent.unwrap() - 1.25).abs() < 1e-9);
    let worse = compare(&set(&[("roc_auc", 0.81), ("f1", 0.494), ("log_loss", 0.40)]), &champion, 0.01);
    assert!(!worse.improved && worse.metrics["f1"].regressed && !worse.metrics["roc_auc"].regressed);
    let lost = compare(&set(&[("roc_auc", 0.81), ("log_loss", 0.40)]), &champion, 0.01);
    assert!(!lost.improved && lost.metrics["f1"].regressed);
}

#[test]
fn gates_on_one_metric_do_not_hide_each_other() {
    let gates = [
        gate(GateRule::Minimum, "f1", 0.4),
        gate(GateRule::Maximum, "f1", 0.9),
        gate(GateRule::Minimum, "f1", 0.99),
        gate(GateRule::Minimum, "f1", 0.98),
        gate(GateRule::Margin, "f1", 0.01),
        gate(GateRule::NoRegression, "f1", 0.01),
    ];
    let summary = GateSummary::new(&judge_all(&gates, &set(&[("f1", 0.5)]), None));
    let keys: Vec<&str> = summary.details.keys().map(String::as_str).collect();
    assert_eq!(keys, ["f1", "f1.margin", "f1.maximum", "f1.minimum", "f1.minimum.2", "f1.no-regression"]);
    assert!(!summary.passed && !summary.details["f1.minimum"].passed && summary.details["f1"].passed);
}

#[test]
fn the_summary_has_the_shape_that_programs_expect() {
    let summary =
        GateSummary::new(&judge_all(&[gate(GateRule::Minimum, "accuracy", 0.78)], &set(&[("accuracy", 0.78)]), None));
    insta::assert_snapshot!(serde_json::to_string_pretty(&summary).unwrap(), @r#"
    {
      "passed": true,
      "details": {
        "accuracy": {
          "rule": "minimum",
          "threshold": 0.78,
          "actual": 0.78,
          "passed": true,
          "missing": false
        }
      }
    }
    "#);
}

#[test]
fn every_gate_reports_its_finding() {
    let candidate = set(&[("roc_auc", 0.8123), ("accuracy", 0.849_996), ("log_loss", 0.431), ("f1", 0.52)]);
    let champion = set(&[("roc_auc", 0.8100), ("accuracy", 0.87), ("log_loss", 0.43), ("f1", 0.52)]);
    let gates = [
        gate(GateRule::Minimum, "roc_auc", 0.85),
        gate(GateRule::Minimum, "roc_auc", 0.8),
        gate(GateRule::Minimum, "accuracy", 0.85),
        gate(GateRule::Minimum, "precision", 0.8),
        gate(GateRule::Maximum, "log_loss", 0.5),
        gate(GateRule::Maximum, "log_loss", 0.4),
        gate(GateRule::Margin, "roc_auc", 0.005),
        gate(GateRule::Margin, "roc_auc", 0.001),
        gate(GateRule::Margin, "f1", 0.0),
        gate(GateRule::Margin, "log_loss", 0.01),
        gate(GateRule::NoRegression, "accuracy", 0.01),
        gate(GateRule::NoRegression, "roc_auc", 0.01),
        gate(GateRule::NoRegression, "log_loss", 0.01),
    ];
    let results = judge_all(&gates, &candidate, Some(&champion));
    let lines: Vec<String> = results.iter().map(|result| format!("{:5} {}", result.passed, result.message)).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_rejection_lists_each_miss() {
    let gates = [
        gate(GateRule::Minimum, "roc_auc", 0.85),
        gate(GateRule::Minimum, "accuracy", 0.78),
        gate(GateRule::Minimum, "precision", 0.8),
    ];
    let results = judge_all(&gates, &set(&[("roc_auc", 0.8123), ("accuracy", 0.8)]), None);
    insta::assert_snapshot!(
        failure_text(&results).unwrap(),
        @"Model failed quality gates: roc_auc 0.8123 is below 0.85, precision is missing or undefined (counts as 0, minimum 0.8)"
    );
    assert_eq!(failure_text(&results[1..2]), None);
}

#[test]
fn a_gate_is_read_from_a_command_line() {
    assert_eq!(Gate::parse(GateRule::Minimum, "accuracy=0.78"), Ok(gate(GateRule::Minimum, "accuracy", 0.78)));
    assert_eq!(Gate::parse(GateRule::Maximum, " log_loss = 4e-1 "), Ok(gate(GateRule::Maximum, "log_loss", 0.4)));
    for text in ["", "accuracy", "accuracy=", "=0.5", "accuracy=high", "accuracy=NaN", "accuracy=inf", "a=0.5=0.6"] {
        assert_eq!(Gate::parse(GateRule::Minimum, text), Err(Error::Gate { text: text.to_owned() }));
    }
}

#[test]
fn auc_is_another_name_of_roc_auc() {
    assert_eq!(Gate::new(GateRule::Minimum, "auc", 0.82), gate(GateRule::Minimum, "roc_auc", 0.82));
    let parsed = Gate::parse(GateRule::Minimum, "auc=0.82").unwrap();
    let summary = GateSummary::new(&judge_all(&[parsed], &set(&[("roc_auc", 0.82)]), None));
    assert!(summary.passed && summary.details["roc_auc"].passed);
}

#[test]
fn a_missing_metric_counts_as_zero_fails_and_is_flagged_in_the_summary() {
    let results = judge_all(&[gate(GateRule::Minimum, "recall", 0.0)], &set(&[("roc_auc", 0.9)]), None);
    insta::assert_snapshot!(serde_json::to_string(&GateSummary::new(&results)).unwrap(), @r#"{"passed":false,"details":{"recall":{"rule":"minimum","threshold":0.0,"actual":0.0,"passed":false,"missing":true}}}"#);
}

#[test]
fn a_degradation_of_1_1_percent_is_no_improvement_and_one_of_0_9_percent_is() {
    for base in [0.5, 0.78, 0.846] {
        let compared = |percent: f64| {
            let new = set(&[("roc_auc", base * (1.0 - percent / 100.0)), ("accuracy", 0.9)]);
            compare(&new, &set(&[("roc_auc", base), ("accuracy", 0.8)]), DEGRADATION_TOLERANCE)
        };
        assert!(!compared(1.1).improved && compared(1.1).metrics["roc_auc"].regressed);
        assert!(compared(0.9).improved && compared(0.0).improved && compared(-5.0).improved);
        let accuracy = compared(1.1).metrics["accuracy"];
        assert_eq!((accuracy.new, accuracy.baseline, accuracy.regressed), (Some(0.9), Some(0.8), false));
        assert!((accuracy.improvement_percent.unwrap() - 12.5).abs() < 1e-9);
    }
}

#[test]
fn an_improvement_over_a_baseline_of_zero_is_zero() {
    let compared = compare(&set(&[("f1", 0.4)]), &set(&[("f1", 0.0)]), DEGRADATION_TOLERANCE);
    assert!(compared.improved);
    assert_eq!(compared.metrics["f1"].improvement_percent, Some(0.0));
}

#[test]
fn a_comparison_has_the_shape_that_programs_expect() {
    let compared = compare(&set(&[("f1", 0.5)]), &set(&[("f1", 0.4)]), DEGRADATION_TOLERANCE);
    insta::assert_snapshot!(serde_json::to_string(&compared).unwrap(), @r#"{"improved":true,"metrics":{"f1":{"new":0.5,"baseline":0.4,"improvement_percent":24.999999999999993,"regressed":false}}}"#);
}

fn policy(policy: Policy, margin: f64, confidence: Option<f64>) -> Gates {
    Gates { policy, primary: "roc_auc".to_owned(), margin, confidence, others: Vec::new() }
}

fn compared(actual: f64, base: f64, interval: Option<(f64, f64)>) -> ChampionComparison {
    ChampionComparison {
        candidate: set(&[("roc_auc", actual)]),
        champion: set(&[("roc_auc", base)]),
        difference: interval.map(|(low, high)| MetricDifference {
            metric: "roc_auc".to_owned(),
            value: actual - base,
            low,
            high,
            confidence: 0.95,
            p_value: None,
            method: crate::difference::Method::Delong,
        }),
        rows: 1_000,
        undecided: None,
    }
}

fn verdict(gates: &Gates, comparison: &ChampionComparison) -> Verdict {
    judge(gates, &comparison.candidate, Some(comparison)).verdict
}

#[test]
fn each_policy_has_its_side_of_the_margin_and_equality_is_decimal() {
    for base in 5_000..9_000 {
        for step in [0, 1, 10, 50, 100] {
            let (figure, margin) = (f64::from(base) / 1e4, f64::from(step) / 1e4);
            let (above, below) = (f64::from(base + step) / 1e4, f64::from(base - step) / 1e4);
            let (better, no_worse) = (policy(Policy::Better, margin, None), policy(Policy::NoWorse, margin, None));
            // At the margin, `better` fails and `no-worse` passes; one ten-thousandth beyond it,
            // the reverse.
            assert_eq!(verdict(&better, &compared(above, figure, None)), Verdict::Rejected, "{above} {figure}");
            assert_eq!(verdict(&better, &compared(above + 1e-4, figure, None)), Verdict::Approved);
            assert_eq!(verdict(&no_worse, &compared(below, figure, None)), Verdict::Approved, "{below} {figure}");
            assert_eq!(verdict(&no_worse, &compared(below - 1e-4, figure, None)), Verdict::Rejected);
        }
    }
}

#[test]
fn the_absolute_policy_compares_nothing() {
    let others = vec![gate(GateRule::NoRegression, "roc_auc", 0.01), gate(GateRule::Minimum, "roc_auc", 0.82)];
    let gates = Gates { others, ..policy(Policy::Absolute, 0.01, Some(0.95)) };
    let judged = |actual| judge(&gates, &set(&[("roc_auc", actual)]), Some(&compared(actual, 0.99, None)));
    assert_eq!(judged(0.83).verdict, Verdict::Approved);
    assert_eq!(judged(0.81).verdict, Verdict::Rejected);
    assert_eq!(judged(0.83).gates.iter().map(GateResult::name).collect::<Vec<_>>(), ["minimum roc_auc"]);
}

#[test]
fn a_confidence_applies_to_the_interval_and_not_to_the_difference() {
    let better = policy(Policy::Better, 0.0, Some(0.95));
    assert_eq!(verdict(&better, &compared(0.86, 0.84, Some((-0.001, 0.041)))), Verdict::Rejected);
    assert_eq!(verdict(&better, &compared(0.86, 0.84, Some((0.0, 0.04)))), Verdict::Rejected);
    assert_eq!(verdict(&better, &compared(0.86, 0.84, Some((0.001, 0.039)))), Verdict::Approved);
    let no_worse = policy(Policy::NoWorse, 0.01, Some(0.95));
    assert_eq!(verdict(&no_worse, &compared(0.84, 0.84, Some((-0.011, 0.011)))), Verdict::Rejected);
    assert_eq!(verdict(&no_worse, &compared(0.84, 0.84, Some((-0.01, 0.01)))), Verdict::Approved);
    // An interval that is missing or of another confidence does not suffice.
    assert_eq!(verdict(&better, &compared(0.99, 0.5, None)), Verdict::Rejected);
    let other = policy(Policy::Better, 0.0, Some(0.99));
    let judged = judge(&other, &set(&[("roc_auc", 0.99)]), Some(&compared(0.99, 0.5, Some((0.4, 0.6)))));
    assert!(judged.gates[0].missing && judged.gates[0].message.contains("no interval of 99 %"), "{judged:?}");
}

#[test]
fn a_loss_is_surely_better_where_its_interval_lies_below_zero() {
    let gates = Gates { primary: "log_loss".to_owned(), ..policy(Policy::Better, 0.01, Some(0.95)) };
    let comparison = |low, high| ChampionComparison {
        candidate: set(&[("log_loss", 0.40)]),
        champion: set(&[("log_loss", 0.43)]),
        difference: compared(0.40, 0.43, Some((low, high)))
            .difference
            .map(|it| MetricDifference { metric: "log_loss".to_owned(), ..it }),
        rows: 1_000,
        undecided: None,
    };
    assert_eq!(verdict(&gates, &comparison(-0.045, -0.015)), Verdict::Approved);
    assert_eq!(verdict(&gates, &comparison(-0.055, -0.005)), Verdict::Rejected);
}

#[test]
fn too_few_rows_are_undecided_unless_a_gate_of_its_own_rejects() {
    let few = ChampionComparison {
        undecided: Some("only 3 rows of class `Yes` are left".to_owned()),
        ..compared(0.9, 0.8, None)
    };
    let gates = |least| Gates {
        others: vec![gate(GateRule::Minimum, "roc_auc", least), gate(GateRule::NoRegression, "roc_auc", 0.01)],
        ..policy(Policy::Better, 0.0, None)
    };
    let judged = judge(&gates(0.8), &set(&[("roc_auc", 0.85)]), Some(&few));
    assert_eq!(judged.verdict, Verdict::Undecided);
    let undecided: Vec<bool> = judged.gates.iter().map(|gate| gate.undecided).collect();
    assert_eq!(undecided, [true, false, true]);
    assert!(judged.gates.iter().all(|gate| gate.passed != gate.undecided && !gate.missing));
    assert!(!GateSummary::new(&judged.gates).passed);
    let text = failure_text(&judged.gates).unwrap();
    assert!(text.starts_with("Undecided: roc_auc cannot be compared with the champion's: only 3 rows"), "{text}");
    assert_eq!(judge(&gates(0.9), &set(&[("roc_auc", 0.85)]), Some(&few)).verdict, Verdict::Rejected);
    // No policy that compares approves with so few rows. One that does not compare is not affected.
    assert_eq!(verdict(&policy(Policy::NoWorse, 0.5, Some(0.5)), &few), Verdict::Undecided);
    assert_eq!(verdict(&policy(Policy::Absolute, 0.0, None), &few), Verdict::Approved);
}

#[test]
fn absolute_gates_read_all_test_rows_and_comparisons_the_compared_ones() {
    let gates = Gates { others: vec![gate(GateRule::Minimum, "roc_auc", 0.82)], ..policy(Policy::Better, 0.0, None) };
    // 0.81 on all rows, 0.9 on those that neither learnt from.
    let judged = judge(&gates, &set(&[("roc_auc", 0.81)]), Some(&compared(0.9, 0.85, None)));
    assert_eq!(judged.gates.iter().map(|gate| gate.actual).collect::<Vec<_>>(), [Some(0.9), Some(0.81)]);
    assert_eq!(judged.gates.iter().map(|gate| gate.passed).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn every_policy_passes_without_a_champion() {
    for rule in [Policy::Better, Policy::NoWorse, Policy::Absolute] {
        let gates = policy(rule, 0.01, Some(0.95));
        assert_eq!(judge(&gates, &set(&[("roc_auc", 0.3)]), None).verdict, Verdict::Approved);
        // Nor with an undefined metric, unless the policy compares nothing.
        let undefined = judge(&gates, &set(&[("roc_auc", f64::NAN)]), None).verdict;
        assert_eq!(undefined == Verdict::Approved, rule == Policy::Absolute);
    }
}

#[test]
fn the_gate_of_a_policy_reports_its_finding_and_confidence() {
    let lines: Vec<String> = [
        (policy(Policy::Better, 0.0, None), compared(0.8554, 0.8546, Some((-0.0031, 0.0047)))),
        (policy(Policy::Better, 0.0, Some(0.95)), compared(0.8554, 0.8546, Some((-0.0031, 0.0047)))),
        (policy(Policy::Better, 0.0, Some(0.95)), compared(0.8654, 0.8546, Some((0.0031, 0.0185)))),
        (policy(Policy::NoWorse, 0.0, None), compared(0.8546, 0.8554, None)),
        (policy(Policy::NoWorse, 0.005, None), compared(0.8546, 0.8554, Some((-0.0047, 0.0031)))),
        (policy(Policy::NoWorse, 0.005, Some(0.95)), compared(0.8546, 0.8554, Some((-0.0047, 0.0031)))),
        (policy(Policy::NoWorse, 0.001, Some(0.95)), compared(0.8546, 0.8554, Some((-0.0047, 0.0031)))),
    ]
    .iter()
    .map(|(gates, comparison)| judge(gates, &comparison.candidate, Some(comparison)).gates.remove(0).message)
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn gates_without_comparison_keep_the_absolute_gates() {
    let minimum = Gate::new(GateRule::Minimum, "accuracy", 0.8);
    let gates = Gates {
        policy: Policy::NoWorse,
        primary: "roc_auc".to_owned(),
        margin: 0.1,
        confidence: Some(0.9),
        others: vec![minimum.clone(), Gate::new(GateRule::NoRegression, "f1", 0.01)],
    };
    assert_eq!(gates.all().len(), 3);
    let left = gates.without_comparison();
    assert_eq!((left.policy, left.all()), (Policy::Absolute, vec![minimum.clone()]));
    let absolute = Gates::absolute(vec![minimum.clone()]);
    assert_eq!((absolute.policy, absolute.all()), (Policy::Absolute, vec![minimum]));
}

#[test]
fn an_interval_has_the_requested_confidence_or_the_default() {
    let asked = Gates { confidence: Some(0.9), ..Gates::default() };
    assert_eq!(asked.interval_confidence().to_bits(), 0.9_f64.to_bits());
    assert_eq!(Gates::default().interval_confidence().to_bits(), 0.95_f64.to_bits());
}

#[test]
fn names_in_records_are_those_of_the_manifest_and_of_json() {
    let json = |value: serde_json::Value| value.as_str().map(str::to_owned).expect("a word");
    for policy in [Policy::Better, Policy::NoWorse, Policy::Absolute] {
        assert_eq!(policy.name(), json(serde_json::to_value(policy).expect("JSON")));
    }
    for verdict in [Verdict::Approved, Verdict::Rejected, Verdict::Undecided] {
        assert_eq!(verdict.name(), json(serde_json::to_value(verdict).expect("JSON")));
    }
}

#[test]
fn a_loss_is_no_worse_as_long_as_it_grows_by_no_more_than_the_margin() {
    let no_worse = |actual| one(GateRule::NoWorse, "log_loss", 0.1, actual, Some(0.5)).passed;
    assert!(no_worse(0.4) && no_worse(0.6));
    assert!(!no_worse(0.65));
    let better = |actual| one(GateRule::Margin, "log_loss", 0.1, actual, Some(0.5)).passed;
    assert!(better(0.35));
    assert!(!better(0.4) && !better(0.45) && !better(0.65));
}
