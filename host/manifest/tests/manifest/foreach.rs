//! `[foreach]`: one run for each of several values or segments.

use serde_json::{Value, json};
use stagewright_manifest::{Manifest, ManifestError, Overrides, child_name, child_names};

use crate::{WHOLE, parse};

/// Returns the whole example with a column `contract` and with this text at its end.
fn text(end: &str) -> String {
    let column = "tenure = \"int64\"\n";
    assert!(WHOLE.contains(column), "the example no longer contains {column:?}");
    format!("{}\n{end}\n", WHOLE.replacen(column, &format!("{column}Contract = \"utf8\"\n"), 1))
}

fn with(section: &str) -> Result<Manifest, ManifestError> {
    parse(&text(&format!("[foreach]\n{section}")), &Overrides::default())
}

fn said(section: &str) -> String {
    with(section).expect_err("the section is a fault").render()
}

/// Returns the line of the file for a line of the section.
fn line(number: usize) -> String {
    format!("config/pipeline.toml:{}:", text("[foreach]").lines().count() + number)
}

#[test]
fn values_are_children_that_differ_in_one_key_and_have_models_of_their_own() {
    let manifest = with("set = \"training.n_estimators\"\nvalues = [50, 200]\nmodel = \"churn-{value}\"").unwrap();
    let children: Vec<(&str, &Value, String)> =
        manifest.children.iter().map(|it| (it.name.as_str(), &it.value, it.manifest.model.to_string())).collect();
    assert_eq!(children, [("50", &json!(50), "churn-50".to_owned()), ("200", &json!(200), "churn-200".to_owned())]);
    for child in &manifest.children {
        let training = child.manifest.stage(stagewright_manifest::World::Training);
        assert_eq!(child.manifest.parameters_of(training)["n_estimators"], child.value);
        assert!(child.manifest.foreach.is_none() && child.manifest.children.is_empty());
        assert_eq!(child.manifest.pipeline, manifest.pipeline);
    }
    assert_eq!(
        manifest.effective()["foreach"],
        json!({
            "set": "training.n_estimators", "model": "churn-{value}", "on-failure": "continue"
        })
    );
}

#[test]
fn a_table_names_its_values_and_an_argument_replaces_them() {
    let section = "set = \"split.seed\"\nvalues = { first = 1, second = 2 }";
    let manifest = with(section).unwrap();
    let model = manifest.model.to_string();
    let models: Vec<String> = manifest.children.iter().map(|it| it.manifest.model.to_string()).collect();
    assert_eq!(models, [format!("{model}-first"), format!("{model}-second")]);
    let set = vec!["foreach.values=[7]".to_owned(), "foreach.model=m-{value}".to_owned()];
    let manifest = parse(&text(&format!("[foreach]\n{section}")), &Overrides { set, ..Overrides::default() }).unwrap();
    assert_eq!(manifest.children.len(), 1);
    assert_eq!(manifest.children[0].manifest.model.as_str(), "m-7");
    assert_eq!(manifest.children[0].manifest.split.seed, 7);
}

#[test]
fn segments_are_known_later_and_the_template_may_name_the_column() {
    let manifest = with("column = \"Contract\"\nmodel = \"churn-{Contract}\"").unwrap();
    assert!(manifest.children.is_empty());
    let foreach = manifest.foreach.clone().unwrap();
    assert_eq!(manifest.of_child(&foreach, "Two-year").unwrap().model.as_str(), "churn-Two-year");
    assert_eq!(manifest.effective()["foreach"]["min-rows"], 50);
    assert_eq!(manifest.effective()["foreach"]["nulls"], "error");
    // A segment becomes the name of a model, so it must be a valid one.
    assert!(manifest.of_child(&foreach, "a/../b").is_err());
    assert!(manifest.of_child(&foreach, &"x".repeat(200)).is_err());
}

// invariant: A segment's value becomes a plain name, or an error.
#[test]
fn names_of_values_are_plain_and_collisions_are_reported() {
    for (value, name) in [
        (json!("Month-to-month"), "Month-to-month"),
        (json!("Two year"), "Two-year"),
        (json!("../../etc/passwd"), "etc-passwd"),
        (json!("a\"; DROP TABLE runs; --"), "a-DROP-TABLE-runs"),
        (json!("{value}\u{1b}[31m\n"), "value-31m"),
        (json!("  "), ""),
        (json!(-3), "minus-3"),
        (json!(0.5), "0.5"),
        (json!(true), "true"),
        (Value::Null, "null"),
    ] {
        let made = child_name(&value);
        assert!(made.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it)), "{made}");
        if value == json!("  ") {
            assert!(made.starts_with("value-") && made.len() == 14, "{made}");
        } else {
            assert_eq!(made, name);
        }
    }
    let long = |last: char| json!(format!("{}{last}", "n".repeat(1000)));
    let (one, other) = (child_name(&long('a')), child_name(&long('b')));
    assert!(one != other && one.len() == 64, "{one} {other}");
    let collision = child_names(&[json!("a b"), json!("c"), json!("A-B")]).unwrap_err();
    assert_eq!(collision.values, ["\"a b\"", "\"A-B\""]);
}

#[test]
fn all_problems_of_foreach_are_reported_at_once_with_their_lines() {
    let text = said("column = \"Contrat\"\nmodel = \"churn\"\nmin-rows = 0\nnull = \"skip\"\non-failure = \"halt\"");
    for (at, part) in [
        (1, "`[signature.fields]` has no column `Contrat`"),
        (2, "`churn` would be the model of every child"),
        (3, "`foreach.min-rows` is out of range"),
        (4, "unknown key `null` in `foreach`"),
        (5, "`halt` is not a value of `foreach.on-failure`"),
    ] {
        assert!(text.contains(&format!("{} {part}", line(at))), "{part}: {text}");
    }
    assert!(text.contains("did you mean `Contract`?") && text.contains("did you mean `nulls`?"), "{text}");
}

#[test]
fn problems_of_values_are_reported_at_their_places() {
    let text = said("set = \"training.n_estimators\"\nvalues = [1, 2.5, 1, [3]]");
    assert!(text.contains(&line(2)) && text.contains("an array has no name"), "{text}");
    assert!(text.contains("`1` stands twice in `values`"), "{text}");
    let text = said("set = \"gates.margin\"\nvalues = [0.0, \"much\"]");
    assert!(text.contains(&format!("{} `gates.margin` must be a number", line(2))), "{text}");
    for (section, part) in [
        ("set = \"split.seed\"\nvalues = []", "`values` is empty"),
        ("set = \"split.seed\"", "missing key `values` in `foreach`"),
        ("values = [1]", "`foreach` does not say over what"),
        ("set = \"split.seed\"\ncolumn = \"Contract\"", "two ways to differ"),
        ("set = \"split.sed\"\nvalues = [1]", "unknown key `sed` in `split`"),
        ("set = \"training.component\"\nvalues = [\"train-forest\"]", "is one for all children"),
        ("set = \"stages.training.inputs.left\"\nvalues = [\"a\"]", "is one for all children"),
        ("set = \"sources.customers.uri\"\nvalues = [\"https://a.example/x?key=s\"]", "an address with a query"),
        ("set = \"model\"\nvalues = [\"m\"]", "`model` is one for all children"),
        ("set = \"foreach.min-rows\"\nvalues = [1]", "is one for all children"),
        ("set = \"a b\"\nvalues = [1]", "`a b` is not a key"),
        ("set = \"split.seed\"\nvalues = [1]\nmodel = \"{region}\"", "would be the model of every child"),
        ("set = \"split.seed\"\nvalues = [1]\nmodel = \"{value}-{region}\"", "placeholder that stands for nothing"),
        ("set = \"split.seed\"\nvalues = [1]\nmodel = \"a/{value}\"", "makes no names of models"),
        ("set = \"split.seed\"\nvalues = [1]\nmin-rows = 3", "unknown key `min-rows`"),
        ("set = \"split.seed\"\nvalues = { a-b = 1, \"a b\" = 2 }", "would both be the child `a-b`"),
        ("column = \"Total Charges\"", "it has no segments"),
        ("column = \"Churn\"", "`Churn` is the target"),
    ] {
        let text = said(section);
        assert!(text.contains(part), "{section}: {text}");
    }
}

#[test]
fn files_of_children_need_a_placeholder_for_their_names() {
    let with = |path: &str, artifact: &str| {
        let section = format!("[outputs]\n{path:?} = {artifact:?}\n[foreach]\ncolumn = \"Contract\"\n");
        parse(&text(&section), &Overrides::default())
    };
    let manifest = with("reports/{value}.html", "evaluation.report").unwrap();
    let child = manifest.of_child(manifest.foreach.as_ref().unwrap(), "One-year").unwrap();
    assert!(child.outputs[0].path.ends_with("reports/One-year.html"), "{:?}", child.outputs);
    assert_eq!(child.outputs[0].below.to_str(), Some("reports/One-year.html"), "this is where it is written");
    assert!(manifest.before_segments().outputs.is_empty());
    let text = with("report.html", "evaluation.report").unwrap_err().render();
    assert!(text.contains("every child would write `report.html`"), "{text}");
    let text = with("{value}.arrow", "ingestion.table").unwrap_err().render();
    assert!(text.contains("`{value}.arrow` is written once"), "{text}");
    let manifest = with("table.arrow", "ingestion.table").unwrap();
    assert_eq!(manifest.before_segments().outputs.len(), 1);
}

#[test]
fn an_imported_split_does_not_fit_segments() {
    let set = vec!["split.file=split.csv".to_owned()];
    let error = parse(&text("[foreach]\ncolumn = \"Contract\""), &Overrides { set, ..Overrides::default() })
        .unwrap_err()
        .render();
    assert!(error.contains("is of the whole table, not of a segment"), "{error}");
}

#[test]
fn a_diagram_frames_the_steps_of_each_child() {
    let drawn = with("column = \"Contract\"").unwrap().mermaid();
    for part in [
        "subgraph each[\"for each Contract\"]",
        "s_ingestion --> s_segments",
        "s_segments --> s_validation",
        "s_training --> s_evaluation",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    assert!(!drawn.contains("s_ingestion --> s_validation"), "{drawn}");
    let drawn = with("set = \"split.seed\"\nvalues = [1, 2]").unwrap().mermaid();
    assert!(drawn.contains("for each of 2 values of split.seed") && !drawn.contains("s_segments"), "{drawn}");
}
