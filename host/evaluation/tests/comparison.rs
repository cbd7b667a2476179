//! Models side by side, and when their metrics must not be compared.

mod pages;

use pages::{HOSTILE, assert_harmless, assert_stands_alone, by_lines};
use stagewright_evaluation::figure::{Figure, LinePlot, Plot, Series};
use stagewright_evaluation::report::comparison::{
    ComparisonRow, ComparisonSection, ModelComparison, Standing, Subject,
};
use stagewright_evaluation::report::{Dataset, StageComponent, WorkingTree};

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn table(name: &str, digit: char, rows: u64) -> Dataset {
    Dataset { name: name.to_owned(), digest: digest(digit), rows: Some(rows) }
}

fn curve(name: &str, model: &str, height: f64) -> Figure {
    let chance = Series { reference: true, ..Series::new("chance", vec![0.0, 1.0], vec![0.0, 1.0]) };
    let found = Series::new(model, vec![0.0, 0.2, 1.0], vec![0.0, height, 1.0]);
    let plot = LinePlot { unit_axes: true, ..LinePlot::new("x", "y", vec![chance, found]) };
    Figure { name: name.to_owned(), title: "ROC curve".to_owned(), plot: Plot::Lines(plot) }
}

fn subject(version: u32, training: &str, auc: f64) -> Subject {
    let rate = if version == 3 { "0.05" } else { "0.1" };
    Subject {
        title: format!("churn-classifier/{version}"),
        facts: pairs(&[("version", &version.to_string()), ("stage", "staging"), ("verdict", "approved")]),
        parameters: pairs(&[("training.max_depth", "3"), ("training.learning_rate", rate)]),
        metrics: [("roc_auc", auc), ("accuracy", 0.8), ("log_loss", 1.25 - auc), ("conversion", auc / 4.0)]
            .into_iter()
            .collect(),
        data: vec![table(Dataset::TRAINED_ON, 'a', 7_043), table(Dataset::MEASURED_ON, 'b', 1_409)],
        components: vec![StageComponent {
            stage: "training".to_owned(),
            name: training.to_owned(),
            digest: digest('c'),
        }],
        code: Some(WorkingTree {
            commit: Some("1a2b3c4d5e".repeat(4)),
            branch: Some("main".to_owned()),
            dirty: Some(version == 4),
        }),
        limits: pairs(&[("training.memory", "512 MiB")]),
        importance: vec![("tenure".to_owned(), 6.0), ("Contract".to_owned(), f64::from(version))],
        caveats: Vec::new(),
        curves: vec![curve("roc", &format!("candidate (AUC {auc})"), auc)],
    }
}

fn two() -> ModelComparison {
    ModelComparison { subjects: vec![subject(3, "train-logistic", 0.84), subject(4, "train-boosted", 0.847_6)] }
}

fn three() -> ModelComparison {
    let mut lacking = subject(5, "train-forest", 0.82);
    lacking.metrics = [("roc_auc", 0.82), ("accuracy", f64::NAN), ("f1", 0.6)].into_iter().collect();
    lacking.code = None;
    lacking.limits.clear();
    lacking.importance = vec![("TotalCharges".to_owned(), 1.0)];
    ModelComparison { subjects: two().subjects.into_iter().chain([lacking]).collect() }
}

fn as_text(rows: &[ComparisonRow]) -> String {
    rows.iter()
        .map(|row| {
            let values: Vec<&str> = row.values.iter().map(|value| value.as_deref().unwrap_or("-")).collect();
            let mark = if row.differs { '≠' } else { '=' };
            format!("{mark} {} | {} | {}\n", row.section.name(), row.key, values.join(" | "))
        })
        .collect()
}

#[test]
fn a_comparison_of_two_versions_matches_its_snapshots() {
    insta::assert_snapshot!("comparison_rows", as_text(&two().text_rows()));
    insta::assert_snapshot!("comparison_html", by_lines(&two().html()));
    insta::assert_snapshot!("comparison_json", two().json());
}

#[test]
fn overlap_with_training_rows_is_noted_first() {
    let mut seen = two();
    seen.subjects[1].caveats = vec!["The champion learnt from 12 of the 300 test rows.".to_owned()];
    let note = seen.notes().into_iter().find(|note| note.text.contains("learnt from")).unwrap();
    assert!(note.warning);
    assert_eq!(note.text, "churn-classifier/4: The champion learnt from 12 of the 300 test rows.");
    assert!(seen.html().contains("12 of the 300 test rows") && seen.markdown().contains("12 of the 300 test rows"));
}

#[test]
fn a_comparison_of_three_versions_matches_its_snapshots() {
    insta::assert_snapshot!("comparison_of_three_rows", as_text(&three().text_rows()));
    insta::assert_snapshot!("comparison_of_three_markdown", three().markdown());
}

#[test]
fn rows_that_differ_come_first_and_a_missing_value_is_a_difference() {
    let rows = three().text_rows();
    for section in [
        ComparisonSection::Facts,
        ComparisonSection::Metrics,
        ComparisonSection::Parameters,
        ComparisonSection::Limits,
        ComparisonSection::Code,
    ] {
        let marks = rows.iter().filter(|row| row.section == section).map(|row| !row.differs);
        assert!(marks.is_sorted(), "{section:?}");
    }
    let limits: Vec<&ComparisonRow> = rows.iter().filter(|row| row.section == ComparisonSection::Limits).collect();
    assert!(limits.len() == 1 && limits[0].differs && limits[0].values[2].is_none());
}

#[test]
fn a_metric_is_compared_with_the_first_subject_in_its_own_direction() {
    let rows = two().metric_rows();
    let of = |metric: &str| rows.iter().find(|row| row.metric == metric).unwrap();
    let auc = of("roc_auc").cells[1];
    assert!((auc.difference.unwrap() - 0.0076).abs() < 1e-12 && (auc.percent.unwrap() - 0.904_76).abs() < 1e-4);
    assert_eq!((auc.standing, auc.best), (Some(Standing::Better), true));
    assert_eq!(of("roc_auc").cells[0].standing, None);
    assert_eq!(of("log_loss").cells[1].standing, Some(Standing::Better));
    assert_eq!(of("accuracy").cells[1].standing, Some(Standing::Same));
    // The direction of this metric is unknown.
    let conversion = of("conversion").cells[1];
    assert!(conversion.difference.is_some() && conversion.standing.is_none() && !conversion.best);
}

#[test]
fn the_best_of_several_is_marked_only_where_two_differ() {
    let rows = three().metric_rows();
    let best = |metric: &str| -> Vec<bool> {
        rows.iter().find(|row| row.metric == metric).unwrap().cells.iter().map(|cell| cell.best).collect()
    };
    assert_eq!(best("roc_auc"), [false, true, false]);
    assert_eq!(best("log_loss"), [false, true, false]);
    // Two values are equal and one is missing; then only one is known.
    assert_eq!(best("accuracy"), [false; 3]);
    assert_eq!(best("f1"), [false; 3]);
}

#[test]
fn a_first_figure_of_zero_gives_no_per_cent() {
    let mut comparison = two();
    comparison.subjects[0].metrics = [("f1", 0.0)].into_iter().collect();
    comparison.subjects[1].metrics = [("f1", 0.5)].into_iter().collect();
    let cell = comparison.metric_rows()[0].cells[1];
    assert_eq!((cell.difference, cell.percent), (Some(0.5), None));
}

// invariant: Metrics on different test rows are never compared as better or worse.
#[test]
fn different_test_tables_are_noted_first_and_no_value_is_called_better() {
    let mut comparison = two();
    assert!(comparison.comparable() && comparison.html().contains("same test table"));
    comparison.subjects[1].data[1].digest = digest('d');
    assert!(!comparison.comparable());
    let notes = comparison.notes();
    insta::assert_snapshot!(notes[0].text, @"The test tables differ, so the metrics cannot be compared: measured were churn-classifier/3 on sha256:bbbbbbbbbbbb…; churn-classifier/4 on sha256:dddddddddddd….");
    assert!(notes[0].warning);
    let page = comparison.html();
    assert!(page.contains("different test tables") && page.find("cannot be compared") < page.find("roc_auc"));
    let cells = comparison.metric_rows().into_iter().flat_map(|row| row.cells);
    assert!(cells.into_iter().all(|cell| cell.standing.is_none_or(|it| it == Standing::Same) && !cell.best));
    assert!(!page.contains("better") && !page.contains("worse"));
}

#[test]
fn an_unknown_test_table_is_no_common_one() {
    let mut comparison = two();
    for subject in &mut comparison.subjects {
        subject.data.clear();
    }
    assert!(!comparison.comparable() && comparison.html().contains("test tables not known"));
    insta::assert_snapshot!(comparison.notes()[0].text, @"It is not known which test table was used for churn-classifier/3 and churn-classifier/4.");
}

#[test]
fn common_training_data_are_noted() {
    insta::assert_snapshot!(two().notes()[0].text, @"Trained on the same data (sha256:aaaaaaaaaaaa…): churn-classifier/3 and churn-classifier/4.");
    let mut comparison = two();
    comparison.subjects[1].data[0].digest = digest('e');
    assert_eq!(comparison.notes(), []);
}

#[test]
fn curves_of_one_name_share_a_plot_under_the_subjects_titles() {
    let page = two().html();
    assert_eq!(page.matches("ROC curve</text>").count(), 1);
    assert_eq!(page.matches(">chance</text>").count(), 1);
    assert!(page.contains("churn-classifier/3 (AUC 0.84)") && page.contains("churn-classifier/4 (AUC 0.8476)"));
}

#[test]
fn a_comparison_survives_json() {
    let (json, page) = (two().json(), two().html());
    let read: ModelComparison = serde_json::from_str(&json).unwrap();
    assert_eq!(read, two());
    assert_eq!((read.json(), read.html()), (json, page));
    let bare: ModelComparison = serde_json::from_str(r#"{"subjects": [{"title": "a"}]}"#).unwrap();
    assert_eq!(bare.subjects[0], Subject { title: "a".to_owned(), ..Subject::default() });
}

// invariant: as `hostile_text_in_an_evaluation_report_is_only_text`
#[test]
fn a_comparison_is_self_contained() {
    assert_stands_alone(&two().html());
    assert_stands_alone(&three().html());
}

#[test]
fn empty_subjects_make_a_page() {
    let bare = || Subject { title: "a".to_owned(), ..Subject::default() };
    for subjects in [vec![], vec![bare()], vec![bare(), bare()]] {
        let comparison = ModelComparison { subjects };
        assert!(comparison.html().contains("Comparison of") && comparison.text_rows().is_empty());
    }
}

// invariant: as `hostile_text_in_an_evaluation_report_is_only_text`
#[test]
fn hostile_text_in_a_comparison_is_only_text() {
    let text = || HOSTILE.to_owned();
    let pairs = || vec![(text(), text())];
    let table = || Dataset { name: text(), digest: text(), rows: Some(u64::MAX) };
    let measured = || Dataset { name: Dataset::MEASURED_ON.to_owned(), digest: text(), rows: None };
    let hostile = |dirty| Subject {
        caveats: vec![HOSTILE.to_owned()],
        title: text(),
        facts: pairs(),
        parameters: pairs(),
        metrics: [(text(), f64::MAX)].into_iter().collect(),
        data: vec![table(), measured()],
        components: vec![StageComponent { stage: text(), name: text(), digest: text() }],
        code: Some(WorkingTree { commit: Some(text()), branch: Some(text()), dirty: Some(dirty) }),
        limits: pairs(),
        importance: vec![(text(), f64::MAX)],
        curves: vec![curve(&text(), &text(), 0.5)],
    };
    let comparison = ModelComparison { subjects: vec![hostile(true), hostile(false)] };
    assert_harmless(&comparison.html());
    let markdown = comparison.markdown();
    assert!(!markdown.contains(['\u{1b}', '\u{202e}', '\0']));
}
