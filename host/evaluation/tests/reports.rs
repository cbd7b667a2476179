//! Reports and figures from small inputs, and what a hostile stage can do to them: nothing.

mod pages;

use pages::{HOSTILE, assert_harmless, assert_stands_alone, by_lines};
use stagewright_evaluation::difference::{Labels, Method, MetricDifference, difference};
use stagewright_evaluation::figure::{
    self, BarPlot, Figure, Importance, LinePlot, MatrixPlot, Plot, Predictions, Series, TextTable,
};
use stagewright_evaluation::gates::{self, ChampionComparison, Gate, GateRule, Gates, Policy};
use stagewright_evaluation::metrics;
use stagewright_evaluation::report::{
    Champion, Check, ColumnSummary, ComparisonDetails, ComponentReport, Confusion, EvaluatedModel, EvaluationReport,
    FailingCell, PromotionDecision, Reason, ReportArtifact, ReportComponent, ReportTable, Severity, ValidationReport,
    Verdict,
};

/// Returns a fixed pseudo-random sequence from 0 to 1 (a linear congruential generator; Knuth,
/// TAOCP 2, section 3.3.4).
fn noise(rows: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    (0..rows)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        })
        .collect()
}

fn labels(rows: usize) -> Vec<u8> {
    noise(rows, 1).into_iter().map(|value| u8::from(value < 0.265)).collect()
}

fn scores(labels: &[u8], strength: f64, seed: u64) -> Vec<f64> {
    labels
        .iter()
        .zip(noise(labels.len(), seed))
        .map(|(&label, value)| (value * (0.35 + strength * f64::from(label)) + 0.3 * f64::from(label) * value).min(1.0))
        .collect()
}

fn component(name: &str) -> ReportComponent {
    ReportComponent { name: name.to_owned(), version: "0.1.0".to_owned(), digest: "sha256:c0ffee".to_owned() }
}

fn test_table() -> ReportTable {
    ReportTable { name: "test".to_owned(), digest: "sha256:7e57".to_owned(), rows: 300 }
}

fn evaluated(labels: &[u8], scores: &[f64], version: Option<u64>, digest: &str) -> EvaluatedModel {
    let metrics = metrics::binary(labels, scores, 0.5).unwrap();
    EvaluatedModel {
        version,
        digest: digest.to_owned(),
        test_digest: test_table().digest,
        metrics: metrics.named(),
        confusion: Some(Confusion::binary(["No", "Yes"], &metrics.confusion)),
    }
}

fn importances(scale: f64) -> Vec<(String, f64)> {
    ["tenure", "MonthlyCharges", "Contract=Month-to-month", "OnlineSecurity=No", "PaymentMethod=Electronic check"]
        .iter()
        .enumerate()
        .map(|(rank, name)| ((*name).to_owned(), (8.0 / (rank as f64 + scale)).round()))
        .collect()
}

fn host_figures() -> Vec<Figure> {
    let labels = labels(300);
    let (candidate, champion) = (scores(&labels, 0.55, 2), scores(&labels, 0.4, 3));
    let models =
        [Predictions { name: "candidate", scores: &candidate }, Predictions { name: "champion v3", scores: &champion }];
    let mut figures = figure::prediction_figures(&labels, &models).unwrap();
    let confusion = metrics::binary(&labels, &candidate, 0.5).unwrap().confusion;
    figures.push(figure::confusion_figure("candidate", ["No", "Yes"], &confusion));
    let (ours, theirs) = (importances(1.0), importances(1.5));
    figures.extend(figure::importance_figure(&[
        Importance { name: "candidate", features: &ours },
        Importance { name: "champion v3", features: &theirs },
    ]));
    figures
}

/// Compares both models on the test rows after the first twelve, which the champion learnt from.
fn comparison(labels: &[u8], candidate: &[f64], champion: &[f64]) -> ChampionComparison {
    let (labels, candidate, champion) = (&labels[12..], &candidate[12..], &champion[12..]);
    let measured = |scores| metrics::binary(labels, scores, 0.5).unwrap().named();
    ChampionComparison {
        candidate: measured(candidate),
        champion: measured(champion),
        difference: difference(Labels::Binary(labels), candidate, champion, "roc_auc", 0.95, &|| false).unwrap(),
        rows: labels.len() as u64,
        undecided: None,
    }
}

fn evaluation() -> EvaluationReport {
    let labels = labels(300);
    let (ours, theirs) = (scores(&labels, 0.55, 2), scores(&labels, 0.4, 3));
    let comparison = comparison(&labels, &ours, &theirs);
    let candidate = evaluated(&labels, &ours, None, "sha256:ca11d1da7e");
    let champion = EvaluatedModel {
        metrics: comparison.champion.clone(),
        ..evaluated(&labels, &theirs, Some(3), "sha256:c4a3b1")
    };
    let gate = |rule, metric: &str, threshold| Gate::new(rule, metric, threshold);
    let gates = Gates {
        policy: Policy::Better,
        primary: "roc_auc".to_owned(),
        margin: 0.001,
        confidence: None,
        others: vec![
            gate(GateRule::Minimum, "roc_auc", 0.82),
            gate(GateRule::NoRegression, "log_loss", 0.01),
            gate(GateRule::Minimum, "conversion", 0.1),
        ],
    };
    let gates = gates::judge(&gates, &candidate.metrics, Some(&comparison)).gates;
    EvaluationReport {
        model: "churn-classifier".to_owned(),
        task: "binary, positive class Yes".to_owned(),
        primary_metric: "roc_auc".to_owned(),
        test: test_table(),
        candidate,
        champion: Champion::Evaluated(champion),
        compared: ComparisonDetails {
            policy: Policy::Better,
            candidate_overlap_rows: Some(0),
            champion_overlap_rows: Some(12),
            equal_content_rows: Some(2),
            comparison: Some(comparison),
        },
        decision: Some(PromotionDecision {
            verdict: Verdict::Rejected,
            component: Some(component("promote-gated")),
            reasons: gates
                .iter()
                .map(|result| Reason { gate: result.name(), passed: result.passed, message: result.message.clone() })
                .collect(),
        }),
        gates,
        figures: host_figures(),
        reported: Some(ComponentReport {
            component: component("evaluate-classifier"),
            metrics: [("expected_calibration_error", 0.0312), ("undefined", f64::NAN)].into_iter().collect(),
            figures: vec![guest_table()],
        }),
        artifacts: vec![ReportArtifact {
            stage: "training".to_owned(),
            name: "model".to_owned(),
            kind: "blob".to_owned(),
            digest: "sha256:b10b".to_owned(),
        }],
    }
}

fn validation() -> ValidationReport {
    let check = |name: &str, column: Option<&str>, passed, observed: &str, expected: &str| Check {
        name: name.to_owned(),
        column: column.map(str::to_owned),
        passed,
        severity: Severity::Error,
        observed: observed.to_owned(),
        expected: expected.to_owned(),
        failures: 0,
        examples: Vec::new(),
    };
    ValidationReport {
        component: component("validate-table"),
        table: ReportTable { name: "table".to_owned(), digest: "sha256:7ab1e".to_owned(), rows: 7_043 },
        checks: vec![
            check("schema_match", None, true, "21 columns", "21 columns"),
            check("null_ratio", Some("TotalCharges"), true, "11 nulls, 0.16 %", "less than 10 %"),
            Check {
                failures: 2,
                examples: vec![
                    FailingCell { row: 1_204, value: Some("-5".to_owned()) },
                    FailingCell { row: 6_001, value: None },
                ],
                ..check("value_range", Some("tenure"), false, "2 values out of range", "0 to 120")
            },
        ],
        columns: vec![
            ColumnSummary {
                column: "tenure".to_owned(),
                nulls: 0,
                distinct: Some(73),
                minimum: Some(-5.0),
                maximum: Some(72.0),
                mean: Some(32.371_149),
            },
            ColumnSummary {
                column: "customerID".to_owned(),
                nulls: 0,
                distinct: None,
                minimum: None,
                maximum: None,
                mean: None,
            },
        ],
        figures: Vec::new(),
    }
}

fn guest_table() -> Figure {
    let rows = [["0-12", "0.47"], ["13-48", "0.25"], ["49-72", "0.09"]];
    Figure {
        name: "segments".to_owned(),
        title: "Churn by tenure".to_owned(),
        plot: Plot::Text(TextTable {
            columns: vec!["months".to_owned(), "share".to_owned()],
            rows: rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect(),
        }),
    }
}

/// Returns a figure of each kind, with hostile text wherever text may be.
fn hostile_figures() -> Vec<Figure> {
    let text = || HOSTILE.to_owned();
    let plots = [
        Plot::Lines(LinePlot::new(text(), text(), vec![Series::new(text(), vec![0.0, 1.0], vec![5.0, 6.0])])),
        Plot::Bars(BarPlot::new(text(), vec![text()], vec![-1.0])),
        Plot::Matrix(MatrixPlot { rows: vec![text()], columns: vec![text()], values: vec![1.0] }),
        Plot::Text(TextTable { columns: vec![text()], rows: vec![vec![text()]] }),
    ];
    plots.into_iter().map(|plot| Figure { name: "n".to_owned(), title: text(), plot }).collect()
}

#[test]
fn figures_of_the_host_match_their_snapshots() {
    for figure in host_figures() {
        assert_eq!(figure.check(), Ok(()));
        insta::assert_snapshot!(figure.name.clone(), by_lines(&figure::svg(&figure)));
    }
    insta::assert_snapshot!("text_table", by_lines(&figure::svg(&guest_table())));
}

#[test]
fn the_validation_report_matches_its_snapshot() {
    insta::assert_snapshot!("validation_html", by_lines(&validation().html()));
    insta::assert_snapshot!("validation_json", validation().json());
}

#[test]
fn the_evaluation_report_matches_its_snapshot() {
    let report = EvaluationReport { figures: Vec::new(), ..evaluation() };
    insta::assert_snapshot!("evaluation_html", by_lines(&report.html()));
    insta::assert_snapshot!("evaluation_json", report.json());
}

#[test]
fn reports_survive_json() {
    let (validation, evaluation) = (validation(), evaluation());
    assert_eq!(serde_json::from_str::<ValidationReport>(&validation.json()).unwrap(), validation);
    assert_eq!(serde_json::from_str::<EvaluationReport>(&evaluation.json()).unwrap(), evaluation);
}

// invariant: The same report data gives the same bytes.
#[test]
fn the_same_report_gives_the_same_bytes() {
    assert_eq!(evaluation().html(), evaluation().html());
    assert_eq!(evaluation().json(), evaluation().json());
    assert_eq!(validation().html(), validation().html());
}

// invariant: as `hostile_text_in_an_evaluation_report_is_only_text`
#[test]
fn a_report_is_self_contained() {
    for page in [evaluation().html(), validation().html()] {
        assert_stands_alone(&page);
    }
}

#[test]
fn both_models_and_their_common_test_table_are_named() {
    let report = evaluation();
    assert!(report.same_test_rows() && !report.passed());
    let page = report.html();
    for text in ["sha256:ca11d1da7e", "sha256:c4a3b1", "version 3", "sha256:7e57", "sha256:b10b", "churn-classifier"] {
        assert!(page.contains(text), "{text} is missing");
    }
    let mut mixed = evaluation();
    mixed.candidate.test_digest = "sha256:07e4".to_owned();
    assert!(!mixed.same_test_rows() && mixed.html().contains("different test rows"));
}

#[test]
fn a_first_model_says_that_there_is_no_champion() {
    let report = EvaluationReport { champion: Champion::None, decision: None, gates: Vec::new(), ..evaluation() };
    assert!(report.passed() && report.html().contains("no champion") && report.json().contains(r#""state": "none""#));
}

#[test]
fn hostile_text_in_a_figure_is_only_text() {
    for figure in hostile_figures() {
        assert_eq!(figure.check(), Ok(()));
        assert_harmless(&figure::svg(&figure));
    }
}

#[test]
fn hostile_text_in_a_validation_report_is_only_text() {
    let text = || HOSTILE.to_owned();
    let hostile = |passed| Check {
        name: text(),
        column: Some(text()),
        passed,
        severity: Severity::Error,
        observed: text(),
        expected: text(),
        failures: u64::MAX,
        examples: vec![FailingCell { row: u64::MAX, value: Some(text()) }],
    };
    let report = ValidationReport {
        component: ReportComponent { name: text(), version: text(), digest: text() },
        table: ReportTable { name: text(), digest: text(), rows: 0 },
        checks: vec![hostile(true), hostile(false)],
        columns: vec![ColumnSummary {
            column: text(),
            nulls: 1,
            distinct: None,
            minimum: Some(f64::MAX),
            maximum: Some(f64::MIN_POSITIVE),
            mean: Some(f64::NAN),
        }],
        figures: hostile_figures(),
    };
    assert_harmless(&report.html());
}

#[test]
fn a_report_without_a_decision_says_where_to_find_it() {
    let report = EvaluationReport { decision: None, ..evaluation() };
    let page = report.html();
    assert!(page.contains("stagewright models show churn-classifier"));
    assert!(!page.contains("ot decided yet"));
}

#[test]
fn unknown_row_counts_are_null_with_a_caveat_and_never_zero() {
    let mut report = evaluation();
    report.compared.champion_overlap_rows = None;
    report.compared.candidate_overlap_rows = None;
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    for key in ["champion_overlap_rows", "candidate_overlap_rows"] {
        assert_eq!(json[key], serde_json::Value::Null);
    }
    assert_eq!((&json["test_rows"], &json["compared_rows"]), (&300.into(), &288.into()));
    assert_eq!((&json["policy"], &json["judged_against"]), (&"better".into(), &3.into()));
    assert_eq!(json["difference"]["method"], "delong");
    let caveats = report.caveats().join(" ");
    assert!(caveats.contains("how many of the test rows the champion learnt from"), "{caveats}");
    assert!(caveats.contains("how many of the test rows the candidate learnt from"), "{caveats}");
    assert!(report.html().contains("not known"));
    // Without a champion there are no caveats.
    report.champion = Champion::None;
    report.compared.comparison = None;
    assert!(!report.caveats().join(" ").contains("champion"));
}

#[test]
fn the_facts_of_a_report_say_how_it_was_judged() {
    let facts: Vec<String> = evaluation().facts().iter().map(|(name, fact)| format!("{name}: {fact}")).collect();
    insta::assert_snapshot!(facts.join("\n"), @r"
    policy: better
    judged against: version 3
    learnt from by the candidate: 0 rows
    learnt from by the champion: 12 rows
    compared on: 288 rows
    equal to rows learnt from: 2 rows
    difference: roc_auc -0.0109, 95 % interval -0.0915 to +0.0697 (DeLong, p 0.7911)
    ");
}

#[test]
fn an_undecided_comparison_is_neither_passed_nor_failed() {
    let mut report = evaluation();
    let why = "only 3 rows of class `Yes` are left, and 10 are needed";
    let comparison = report.compared.comparison.as_mut().unwrap();
    comparison.undecided = Some(why.to_owned());
    let gates = Gates { primary: "roc_auc".to_owned(), ..Gates::default() };
    report.gates = gates::judge(&gates, &report.candidate.metrics, report.compared.comparison.as_ref()).gates;
    report.decision = None;
    assert_eq!((report.verdict(), report.passed()), (Verdict::Undecided, false));
    let page = report.html();
    assert!(page.contains("? undecided") && page.contains(why), "{page}");
    assert!(!page.contains("✗"), "{page}");
}

#[test]
fn a_report_survives_json_and_older_reports_are_read() {
    let report = evaluation();
    let json = report.json();
    assert_eq!(serde_json::from_str::<EvaluationReport>(&json).unwrap(), report);
    let mut before: serde_json::Value = serde_json::from_str(&json).unwrap();
    let fields = before.as_object_mut().unwrap();
    let new = ["policy", "candidate_overlap_rows", "champion_overlap_rows", "equal_content_rows", "comparison"];
    new.iter().for_each(|field| drop(fields.remove(*field)));
    fields["gates"].as_array_mut().unwrap().iter_mut().for_each(|gate| {
        gate.as_object_mut().unwrap().remove("undecided");
    });
    let read: EvaluationReport = serde_json::from_value(before).unwrap();
    assert_eq!(read.compared, ComparisonDetails::default());
    assert!(read.html().contains("not known"));
}

// invariant: A stage's text appears in a report as text only, and a report loads nothing from the
// network.
#[test]
fn hostile_text_in_an_evaluation_report_is_only_text() {
    let text = || HOSTILE.to_owned();
    let model = || EvaluatedModel {
        version: Some(1),
        digest: text(),
        test_digest: text(),
        metrics: [(text(), 1.0)].into_iter().collect(),
        confusion: Some(Confusion { classes: vec![text()], counts: vec![1] }),
    };
    let hostile_component = || ReportComponent { name: text(), version: text(), digest: text() };
    let gates = Gates::absolute(vec![Gate::new(GateRule::Minimum, &text(), 0.5)]);
    let comparison = || ChampionComparison {
        candidate: model().metrics,
        champion: model().metrics,
        difference: Some(MetricDifference {
            metric: text(),
            value: 0.0,
            low: 0.0,
            high: 0.0,
            confidence: 0.95,
            p_value: None,
            method: Method::Bootstrap,
        }),
        rows: 1,
        undecided: Some(text()),
    };
    let report = |champion| EvaluationReport {
        model: text(),
        task: text(),
        primary_metric: text(),
        test: ReportTable { name: text(), digest: text(), rows: 1 },
        candidate: model(),
        champion,
        compared: ComparisonDetails { comparison: Some(comparison()), ..ComparisonDetails::default() },
        gates: gates::judge(&gates, &model().metrics, None).gates,
        decision: Some(PromotionDecision {
            verdict: Verdict::Approved,
            component: Some(hostile_component()),
            reasons: vec![Reason { gate: text(), passed: true, message: text() }],
        }),
        figures: hostile_figures(),
        reported: Some(ComponentReport {
            component: hostile_component(),
            metrics: [(text(), 1.0)].into_iter().collect(),
            figures: hostile_figures(),
        }),
        artifacts: vec![ReportArtifact { stage: text(), name: text(), kind: text(), digest: text() }],
    };
    assert_harmless(&report(Champion::Evaluated(model())).html());
    assert_harmless(&report(Champion::Unreadable { version: 1, digest: text(), reason: text() }).html());
}

#[test]
fn a_figure_of_extreme_numbers_is_drawn() {
    let extremes = vec![f64::MAX, -f64::MAX, f64::MIN_POSITIVE, -0.0, 1e-320];
    let labels: Vec<String> = (0..extremes.len()).map(|label| label.to_string()).collect();
    let plots = [
        Plot::Lines(LinePlot::new("x", "y", vec![Series::new("s", extremes.clone(), extremes.clone())])),
        Plot::Lines(LinePlot::new("x", "y", vec![Series::new("s", vec![], vec![])])),
        Plot::Lines(LinePlot::new("x", "y", vec![])),
        Plot::Bars(BarPlot::new("v", labels.clone(), extremes.clone())),
        Plot::Bars(BarPlot::new("v", vec![], vec![])),
        Plot::Matrix(MatrixPlot { rows: vec!["r".to_owned()], columns: labels, values: extremes }),
        Plot::Matrix(MatrixPlot { rows: vec![], columns: vec![], values: vec![] }),
        Plot::Text(TextTable { columns: vec![], rows: vec![vec![]; 1_000] }),
    ];
    for plot in plots {
        let figure = Figure { name: "n".to_owned(), title: "t".to_owned(), plot };
        assert_eq!(figure.check(), Ok(()));
        let svg = figure::svg(&figure);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
