//! Requirements of an ingestion, and the tables that a validation compares with.

use std::time::Duration;

use stagewright_manifest::{Overrides, Requirements, World};

use crate::graphs::{step, with};
use crate::{WHOLE, changed, parse, said};

const AT: &str = "[stages.validation]";

fn required(keys: &str) -> String {
    format!("[stages.ingestion.requirements]\n{keys}\n{AT}")
}

#[test]
fn requirements_are_rows_a_span_and_an_age() {
    let manifest = changed(AT, &required("min-rows = 100000\nmin-span = \"730 days\"\ntime = \"at\"")).unwrap();
    let day = Duration::from_secs(86_400);
    let expected =
        Requirements { min_rows: Some(100_000), min_span: Some(day * 730), max_age: None, time: Some("at".to_owned()) };
    assert_eq!(manifest.stage(World::Ingestion).requirements.as_ref(), Some(&expected));
    let effective = manifest.effective();
    let shown = &effective["stages"]["ingestion"]["requirements"];
    assert_eq!(shown["min-span"], "730 days");
    let again: Requirements = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(again, expected);
    assert_eq!(changed(AT, &required("")).unwrap().stage(World::Ingestion).requirements, Some(Requirements::default()));
}

#[test]
fn requirements_that_are_none_are_refused_with_the_fix() {
    for (keys, words) in [
        ("min-rows = 0", "choose from 1"),
        ("min-span = \"2 years\"", "days), such as"),
        ("min-span = \"1 day\"", "did you mean `1 days`"),
        ("max-age = \"1.5 h\"", "whole number"),
        ("min-row = 5", "did you mean `min-rows`"),
    ] {
        let said = said(AT, &required(keys));
        assert!(said.contains(words), "{keys}: {said}");
    }
    let said = said(AT, &format!("{AT}\nrequirements = {{ min-rows = 5 }}"));
    assert!(said.contains("`validation` has no requirements"), "{said}");
}

#[test]
fn an_age_needs_the_time() {
    let asks = required("max-age = \"2 days\"");
    let without: String =
        WHOLE.lines().filter(|line| !line.starts_with("as-of")).map(|line| format!("{line}\n")).collect();
    let asking = without.replacen(AT, &asks, 1);
    let said = parse(&asking, &Overrides::default()).unwrap_err().render();
    assert!(said.contains("`max-age` needs `as-of`"), "{said}");
    let told = format!("as-of = \"2026-01-01T00:00:00Z\"\n{asking}");
    parse(&told, &Overrides::default()).unwrap_or_else(|error| panic!("{}", error.render()));
}

const STAGES: &str = r#"
[stages.customers]
world = "ingestion"
component = "ingest-table"
source = "customers"

[stages.others]
world = "ingestion"
component = "ingest-synthetic"

[stages.validation]
component = "validate-table"
inputs = { table = "customers", people = "others" }

[stages.transformation]
component = "engineered"
inputs = { table = "customers" }

[stages.training]
component = "train-forest"

[stages.evaluation]
component = "evaluate-classifier"

[stages.promotion]
component = "promote-gated"
"#;

#[test]
fn a_validation_reads_other_tables_under_names_of_the_manifest() {
    let manifest = with(STAGES).unwrap();
    let validation = step(&manifest, "validation");
    let inputs: Vec<_> = validation.inputs.iter().map(|input| (input.name.as_str(), input.step.as_str())).collect();
    assert_eq!(inputs, [("table", "customers"), ("people", "others")]);
    assert_eq!(
        validation.line.get(&World::Ingestion).map(stagewright_manifest::StepId::as_str),
        Some("customers"),
        "the table that is checked, and not the one that it is compared with"
    );
    // A table is not checked because another one is compared with it.
    let said = with(&STAGES.replacen(
        "table = \"customers\", people = \"others\"",
        "table = \"others\", people = \"customers\"",
        1,
    ));
    let said = said.expect_err("the table is not checked").render();
    assert!(said.contains("no validation checks the table of `customers`"), "{said}");
}
