//! Model cards, as a page and as Markdown.

mod pages;

use pages::{HOSTILE, assert_harmless, assert_stands_alone, by_lines};
use stagewright_evaluation::difference::{Method, MetricDifference};
use stagewright_evaluation::figure::{Figure, LinePlot, Plot, Series};
use stagewright_evaluation::gates::{self, ChampionComparison, Gate, GateRule, Gates, Policy};
use stagewright_evaluation::metrics::MetricSet;
use stagewright_evaluation::report::card::{
    Card, CardData, CardDetails, CardEvaluation, CardEvent, CardLimits, DataField, IntendedUse, JudgedAgainst,
    VersionVerdict,
};
use stagewright_evaluation::report::{
    Champion, ComparisonDetails, Confusion, Dataset, EvaluatedModel, Reason, StageComponent, Verdict, WorkingTree,
};

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn metrics(auc: f64) -> MetricSet {
    [("roc_auc", auc), ("accuracy", 0.801), ("log_loss", 0.42)].into_iter().collect()
}

fn table(name: &str, digest: &str, rows: u64) -> Dataset {
    Dataset { name: name.to_owned(), digest: format!("sha256:{digest}"), rows: Some(rows) }
}

fn details() -> CardDetails {
    let component = |stage: &str, name: &str| StageComponent {
        stage: stage.to_owned(),
        name: name.to_owned(),
        digest: "sha256:c0ffee".to_owned(),
    };
    CardDetails {
        model: "churn-classifier".to_owned(),
        version: 4,
        semantic_version: text("1.1.0"),
        version_reasons: vec!["feature `MonthlyCharges` is new".to_owned()],
        stage: text("staging"),
        aliases: vec!["champion".to_owned(), "blue".to_owned()],
        verdict: Some(Verdict::Approved),
        reason: text("roc_auc 0.8476 exceeds the champion's 0.84"),
        registered_at: text("2026-01-02 03:04 UTC"),
        registered_by: text("ana"),
        run: text("01JF"),
        task: text("binary, positive class Yes"),
        digest: text("sha256:b10b"),
        components: vec![component("transformation", "transform-table"), component("training", "train-boosted")],
        parameters: vec![
            ("training.max_depth".to_owned(), "3".to_owned()),
            ("validation.pattern".to_owned(), "^a|`b`$".to_owned()),
        ],
    }
}

fn evaluation() -> CardEvaluation {
    let gate = |rule, metric: &str, threshold| Gate::new(rule, metric, threshold);
    let gates = Gates {
        primary: "roc_auc".to_owned(),
        others: vec![gate(GateRule::Minimum, "roc_auc", 0.82)],
        ..Gates::default()
    };
    let comparison = ChampionComparison {
        candidate: metrics(0.8476),
        champion: metrics(0.84),
        difference: Some(MetricDifference {
            metric: "roc_auc".to_owned(),
            value: 0.0076,
            low: -0.0011,
            high: 0.0163,
            confidence: 0.95,
            p_value: Some(0.087),
            method: Method::Delong,
        }),
        rows: 1_409,
        undecided: None,
    };
    let chance = Series { reference: true, ..Series::new("chance", vec![0.0, 1.0], vec![0.0, 1.0]) };
    let found = Series::new("candidate (AUC 0.8476)", vec![0.0, 0.2, 1.0], vec![0.0, 0.7, 1.0]);
    let plot = LinePlot { unit_axes: true, ..LinePlot::new("x", "y", vec![chance, found]) };
    CardEvaluation {
        primary_metric: text("roc_auc"),
        metrics: metrics(0.8476),
        gates: gates::judge(&gates, &metrics(0.8476), Some(&comparison)).gates,
        test: Some(table(Dataset::MEASURED_ON, "7e57", 1_409)),
        champion: Some(Champion::Evaluated(EvaluatedModel {
            version: Some(3),
            digest: "sha256:c4a3".to_owned(),
            test_digest: "sha256:7e57".to_owned(),
            metrics: metrics(0.84),
            confusion: None,
        })),
        compared: ComparisonDetails {
            policy: Policy::Better,
            candidate_overlap_rows: Some(0),
            champion_overlap_rows: Some(0),
            equal_content_rows: None,
            comparison: Some(comparison),
        },
        confusion: Some(Confusion {
            classes: vec!["No".to_owned(), "Yes".to_owned()],
            counts: vec![940, 95, 180, 194],
        }),
        figures: vec![Figure { name: "roc".to_owned(), title: "ROC curve".to_owned(), plot: Plot::Lines(plot) }],
        importance: vec![("tenure".to_owned(), 3.0), ("Contract=Month-to-month".to_owned(), 5.0)],
    }
}

fn verdict(verdict: Verdict, judged_against: JudgedAgainst) -> VersionVerdict {
    VersionVerdict {
        verdict,
        policy: "better".to_owned(),
        judged_against,
        reason: "as it | was found".to_owned(),
        reasons: vec![Reason { gate: "margin roc_auc".to_owned(), passed: true, message: "as it was".to_owned() }],
        by: "ana".to_owned(),
        at: "2026-01-02 03:04 UTC".to_owned(),
        is_override: false,
    }
}

fn card() -> Card {
    let field = |name: &str, data_type: &str, role: &str, nullable| DataField {
        name: name.to_owned(),
        data_type: data_type.to_owned(),
        role: role.to_owned(),
        nullable,
    };
    Card {
        details: details(),
        intended_use: IntendedUse {
            business_objective: text("Keep customers who are about to leave"),
            success_metric: text("roc_auc of at least 0.82"),
            constraints: vec!["No automated refusals".to_owned(), "- GDPR *always*".to_owned()],
        },
        data: CardData {
            source: Some(table("customers", "7ab1e", 7_043)),
            features: Some(table("", "fea7", 5_634)),
            fields: vec![field("TotalCharges", "float64", "feature", true), field("Churn", "utf8", "target", false)],
            split: text("stratified, 20 % test, seed 42"),
        },
        evaluation: evaluation(),
        verdicts: vec![
            verdict(Verdict::Rejected, JudgedAgainst::Champion(2)),
            VersionVerdict { policy: "no-worse".to_owned(), ..verdict(Verdict::Approved, JudgedAgainst::Champion(3)) },
        ],
        limits: vec![CardLimits {
            stage: "training".to_owned(),
            memory: "512 MiB".to_owned(),
            cpu: "30 s".to_owned(),
            wall: String::new(),
        }],
        code: Some(WorkingTree { commit: text("1a2b3c4d"), branch: text("main"), dirty: Some(false) }),
        history: vec![CardEvent {
            at: "2026-01-02 03:05 UTC".to_owned(),
            who: "ana".to_owned(),
            what: "stage changed".to_owned(),
            from: text("none"),
            to: text("staging"),
            reason: text("for the trial | pilot"),
        }],
    }
}

#[test]
fn a_card_matches_its_snapshots() {
    insta::assert_snapshot!("card_html", by_lines(&card().html()));
    insta::assert_snapshot!("card_markdown", card().markdown());
    insta::assert_snapshot!("card_json", card().json());
}

#[test]
fn an_empty_card_says_that_nothing_is_known() {
    let mut bare = Card::default();
    bare.details.model = "m".to_owned();
    insta::assert_snapshot!("bare_card_markdown", bare.markdown());
    assert!(bare.html().contains("not judged"));
}

#[test]
fn a_card_has_every_section_in_both_forms() {
    let (page, markdown) = (card().html(), card().markdown());
    for section in [
        "Model details",
        "Intended use",
        "Training data",
        "Evaluation data",
        "Metrics",
        "Gates",
        "Quantitative analyses",
        "Feature importance",
        "Verdicts",
        "Limits",
        "Lineage",
        "History",
        "Caveats",
    ] {
        assert!(page.contains(&format!("<h2>{section}</h2>")), "{section}");
        assert!(markdown.contains(&format!("\n## {section}\n")), "{section}");
    }
    for form in [page, markdown] {
        assert!(form.contains("stagewright predict churn-classifier/4 --input rows.csv"));
    }
}

#[test]
fn caveats_are_derived() {
    assert_eq!(card().caveats(), Vec::<String>::new());
    let mut doubtful = card();
    doubtful.details.verdict = Some(Verdict::Rejected);
    doubtful.code = Some(WorkingTree { dirty: Some(true), ..doubtful.code.unwrap() });
    doubtful.intended_use = IntendedUse::default();
    doubtful.evaluation.test = Some(table("test", "7e57", 499));
    doubtful.evaluation.confusion =
        Some(Confusion { classes: vec!["No".to_owned(), "Yes".to_owned()], counts: vec![400, 50, 40, 9] });
    doubtful.evaluation.metrics.set("f1", f64::NAN);
    let gates = Gates::absolute(vec![Gate::new(GateRule::Minimum, "roc_auc", 0.9)]);
    doubtful.evaluation.gates = gates::judge(&gates, &metrics(0.8476), None).gates;
    doubtful.evaluation.champion = Some(Champion::Unreadable {
        version: 3,
        digest: "sha256:c4a3".to_owned(),
        reason: "`tenure` is missing".to_owned(),
    });
    insta::assert_snapshot!(doubtful.caveats().join("\n"));
    let unknown = Card { code: None, evaluation: CardEvaluation::default(), ..card() };
    insta::assert_snapshot!(unknown.caveats().join("\n"), @"
    The commit that it was made with is not known: the run may not be repeatable from the repository.
    It is not known which rows its metrics were measured on.
    ");
}

#[test]
fn a_persons_decision_is_shown_as_one() {
    let mut decided = card();
    decided.details.verdict = Some(Verdict::Approved);
    decided.verdicts = vec![
        verdict(Verdict::Rejected, JudgedAgainst::Champion(3)),
        VersionVerdict {
            policy: "person".to_owned(),
            is_override: true,
            ..verdict(Verdict::Approved, JudgedAgainst::NoChampion)
        },
    ];
    assert_eq!(decided.caveats(), ["A person, ana, approved it by hand; the gates said: rejected."]);
    for form in [decided.html(), decided.markdown()] {
        assert!(form.contains("by a person") && form.contains("no champion"), "{form}");
        assert!(form.contains("a person's decision") || form.contains("a person&#39;s decision"), "{form}");
    }
    let json: serde_json::Value = serde_json::from_str(&decided.json()).unwrap();
    let verdicts = json["verdicts"].as_array().unwrap();
    assert_eq!((&verdicts[0]["judged_against"], &verdicts[0]["override"]), (&3.into(), &false.into()));
    assert_eq!((&verdicts[1]["judged_against"], &verdicts[1]["override"]), (&serde_json::Value::Null, &true.into()));
    decided.verdicts[1].judged_against = JudgedAgainst::Unknown;
    assert!(decided.json().contains(r#""judged_against": "unknown""#));
    assert_eq!(serde_json::from_str::<Card>(&decided.json()).unwrap(), decided);
}

#[test]
fn rows_that_the_champion_learnt_from_are_a_caveat_known_or_not() {
    let mut seen = card();
    seen.evaluation.compared.champion_overlap_rows = Some(21);
    assert_eq!(seen.caveats(), ["The champion learnt from 21 of the 1,409 test rows: the comparison leaves them out."]);
    seen.evaluation.compared.champion_overlap_rows = None;
    assert!(seen.caveats()[0].starts_with("It is not known how many of the test rows the champion learnt from"));
    assert!(seen.markdown().contains("not known"));
}

#[test]
fn a_card_survives_json() {
    let (json, page) = (card().json(), card().html());
    let read: Card = serde_json::from_str(&json).unwrap();
    assert_eq!(read, card());
    assert_eq!((read.json(), read.html()), (json, page));
    assert_eq!(serde_json::from_str::<Card>("{}").unwrap(), Card::default());
}

// invariant: as `hostile_text_in_an_evaluation_report_is_only_text`
#[test]
fn a_card_is_self_contained() {
    assert_stands_alone(&card().html());
}

#[test]
fn pipes_and_backticks_do_not_break_a_table() {
    let markdown = card().markdown();
    assert!(markdown.contains(r"| `validation.pattern` | ^a\|\`b\`\$ |"));
    assert!(markdown.contains(r"| for the trial \| pilot |"));
    assert!(markdown.contains("\n- \\- GDPR \\*always\\*\n"));
}

fn hostile_card() -> Card {
    let own = || HOSTILE.to_owned();
    let some = || Some(HOSTILE.to_owned());
    let table = || Some(Dataset { name: own(), digest: own(), rows: Some(1) });
    let model = || EvaluatedModel {
        version: None,
        digest: own(),
        test_digest: own(),
        metrics: [(own(), 1.0)].into_iter().collect(),
        confusion: None,
    };
    let gates = Gates::absolute(vec![Gate::new(GateRule::Minimum, &own(), 0.5)]);
    Card {
        details: CardDetails {
            model: own(),
            version: 1,
            semantic_version: some(),
            version_reasons: vec![own()],
            stage: some(),
            aliases: vec![own()],
            verdict: Some(Verdict::Approved),
            reason: some(),
            registered_at: some(),
            registered_by: some(),
            run: some(),
            task: some(),
            digest: some(),
            components: vec![StageComponent { stage: own(), name: own(), digest: own() }],
            parameters: vec![(own(), own())],
        },
        intended_use: IntendedUse { business_objective: some(), success_metric: some(), constraints: vec![own()] },
        data: CardData {
            source: table(),
            features: table(),
            fields: vec![DataField { name: own(), data_type: own(), role: own(), nullable: true }],
            split: some(),
        },
        evaluation: CardEvaluation {
            primary_metric: some(),
            gates: gates::judge(&gates, &model().metrics, None).gates,
            metrics: model().metrics,
            test: table(),
            champion: Some(Champion::Evaluated(model())),
            compared: ComparisonDetails {
                comparison: Some(ChampionComparison {
                    candidate: model().metrics,
                    champion: model().metrics,
                    difference: None,
                    rows: 1,
                    undecided: Some(own()),
                }),
                ..ComparisonDetails::default()
            },
            confusion: Some(Confusion { classes: vec![own()], counts: vec![1] }),
            figures: evaluation().figures.into_iter().map(|figure| Figure { title: own(), ..figure }).collect(),
            importance: vec![(own(), 1.0)],
        },
        verdicts: vec![VersionVerdict {
            policy: own(),
            reason: own(),
            by: own(),
            at: own(),
            is_override: true,
            ..verdict(Verdict::Approved, JudgedAgainst::Unknown)
        }],
        limits: vec![CardLimits { stage: own(), memory: own(), cpu: own(), wall: own() }],
        code: Some(WorkingTree { commit: some(), branch: some(), dirty: Some(true) }),
        history: vec![CardEvent { at: own(), who: own(), what: own(), from: some(), to: some(), reason: some() }],
    }
}

// invariant: as `hostile_text_in_an_evaluation_report_is_only_text`
#[test]
fn hostile_text_in_a_card_is_only_text() {
    let card = hostile_card();
    assert_harmless(&card.html());
    let markdown = card.markdown();
    assert!(!markdown.contains(['\u{1b}', '\u{202e}', '\0']));
    // Outside of code, no `<` may begin a tag.
    let code_starts = markdown.match_indices("<script").all(|(at, _)| {
        let line = &markdown[markdown[..at].rfind('\n').map_or(0, |end| end + 1)..at];
        line.ends_with('\\') || line.matches('`').count() % 2 == 1 || line.is_empty() || line.starts_with("stagewright")
    });
    assert!(code_starts, "{markdown}");
}
