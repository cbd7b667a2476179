use miette::Diagnostic as _;
use proptest::prelude::*;
use stagewright_manifest::{Overrides, ProblemLocation};

use crate::{WHOLE, changed, parse, said};

const BROKEN: &str = include_str!("../fixtures/broken.toml");

// invariant: All errors of a manifest are reported at once.
#[test]
fn all_problems_of_a_file_are_reported_at_once() {
    let error = parse(BROKEN, &Overrides::default()).unwrap_err();
    insta::assert_snapshot!(error.render());
}

#[test]
fn every_line_that_is_marked_as_wrong_is_cited() {
    let error = parse(BROKEN, &Overrides::default()).unwrap_err();
    let cited: Vec<usize> = error.problems().iter().filter_map(|problem| problem.line()).collect();
    for (index, text) in BROKEN.lines().enumerate().skip(1).filter(|(_, text)| text.contains(" # ")) {
        assert!(cited.contains(&(index + 1)), "line {} is not cited: {text}", index + 1);
    }
}

#[test]
fn all_syntax_errors_are_reported_at_once() {
    let error =
        parse("a = \n[b]\nc = 1 1\nd = 1\nd = 2\ne = 99999999999999999999\n[b]\n", &Overrides::default()).unwrap_err();
    insta::assert_snapshot!(error.render());
}

#[test]
fn a_problem_knows_its_place_and_key() {
    let error = changed("test = 0.25", "test = 1.5").unwrap_err();
    assert_eq!(error.total(), 1);
    let problem = &error.problems()[0];
    assert_eq!(problem.key, "split.test");
    let ProblemLocation::File { span, line, column } = &problem.place else { panic!("it is in the file") };
    let text = WHOLE.replacen("test = 0.25", "test = 1.5", 1);
    assert_eq!(&text[span.clone()], "1.5");
    assert_eq!(text.lines().nth(line - 1), Some("test = 1.5"));
    assert_eq!(*column, 8);
}

#[test]
fn a_terminal_gets_the_source_and_a_label_for_each_problem() {
    let error = changed("test = 0.25", "test = 1.5").unwrap_err();
    assert!(error.source_code().is_some());
    let related: Vec<_> = error.related().unwrap().collect();
    assert_eq!(related.len(), 1);
    assert_eq!(related[0].labels().unwrap().count(), 1);
    assert!(related[0].help().is_some());
    assert_eq!(error.to_string(), "`config/pipeline.toml` has a problem");
}

#[test]
fn a_stage_out_of_order_is_refused_with_the_order() {
    let first = "[stages.validation]\ncomponent = \"validate-table\"\n";
    let swapped = WHOLE.replacen(first, "", 1) + first;
    let text = parse(&swapped, &Overrides::default()).unwrap_err().render();
    assert!(text.contains("stage `validation` stands after `promotion`"), "{text}");
    assert!(text.contains("ingestion, validation, transformation, training, evaluation, promotion"), "{text}");
}

#[test]
fn a_missing_stage_is_named_with_the_order() {
    let text = said("[stages.evaluation]\ncomponent = \"evaluate-classifier\"\n", "");
    assert!(text.contains("missing stage `evaluation`"), "{text}");
    assert!(text.contains("ingestion, validation, transformation, training, evaluation, promotion"), "{text}");
}

#[test]
fn two_targets_are_a_contradiction() {
    let text = said("tenure = \"int64\"", "tenure = { type = \"int64\", role = \"target\" }");
    assert!(text.contains("`signature.fields.tenure` has the role `target`, but is not the task's target"), "{text}");
    assert!(text.contains("`task.target` is `Churn`"), "{text}");
}

#[test]
fn a_target_that_is_no_field_is_named() {
    let text = said("target = \"Churn\"", "target = \"Chrun\"");
    assert!(text.contains("`Chrun`, is not a field of the signature"), "{text}");
    assert!(text.contains("did you mean `Churn`?"), "{text}");
}

#[test]
fn classes_have_no_meaning_in_a_regression() {
    let text = said("kind = \"binary\"", "kind = \"regression\"");
    assert!(text.contains("a stratified split needs classes, and the task is a regression"), "{text}");
    assert!(text.contains("`task.positive` has no meaning in a regression task"), "{text}");
}

#[test]
fn a_database_needs_a_table_or_a_query_and_not_both() {
    let text = said("uri = \"sqlite:shop.db\"", "uri = \"sqlite:shop.db#t\"");
    assert!(text.contains("names a table, but there is a query too"), "{text}");
    let text = said("uri = \"csv:telco.csv\"\ndelimiter = \";\"\nheader = true", "uri = \"sqlite:x.db\"");
    assert!(text.contains("names no table"), "{text}");
}

#[test]
fn problems_beyond_a_hundred_are_counted() {
    let many: String = (0..500).map(|number| format!("unknown-{number} = 1\n")).collect();
    let error = parse(&(many + WHOLE), &Overrides::default()).unwrap_err();
    assert_eq!((error.total(), error.problems().len()), (500, 100));
    assert!(error.render().ends_with("and 400 more\n"));
}

#[test]
fn deep_nesting_is_an_error_and_not_a_crash() {
    let arrays = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    let tables = format!("a = {}1{}", "{b=".repeat(100_000), "}".repeat(100_000));
    let keys = format!("{}a = 1", "a.".repeat(100_000));
    for text in [&arrays, &tables, &keys, &format!("[{}a]", "a.".repeat(100_000))] {
        assert!(parse(text, &Overrides::default()).is_err());
    }
    for set in [format!("gates.{keys}"), format!("gates.{arrays}"), format!("training.x={}", "[".repeat(100_000))] {
        assert!(parse(WHOLE, &Overrides { set: vec![set], ..Overrides::default() }).is_err());
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in ".*") {
        let _ = parse(&text, &Overrides::default());
    }

    #[test]
    fn no_damage_to_a_good_file_makes_the_loader_panic(
        at in 0..WHOLE.len(), length in 0..40_usize,
        text in "[-\\[\\]{}=.,\"'a-z0-9 \n#é]{0,8}",
    ) {
        let end = (at + length).min(WHOLE.len());
        let damaged = format!("{}{text}{}", &WHOLE[..at], &WHOLE[end..]);
        if let Err(error) = parse(&damaged, &Overrides::default()) {
            prop_assert!(!error.render().is_empty());
        }
    }

    #[test]
    fn no_override_makes_the_loader_panic(
        text in ".*",
        key in "(training|gates|stages|sources|signature)(\\.[a-z\"=.-]{0,12}){0,3}",
        value in ".{0,12}",
    ) {
        for set in [text, format!("{key}={value}")] {
            let overrides = Overrides { set: vec![set.clone()], sources: vec![set], ..Overrides::default() };
            let _ = parse(WHOLE, &overrides);
        }
    }
}
