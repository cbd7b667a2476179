use serde_json::json;
use stagewright_manifest::{Condition, Manifest, Overrides, Problem, World};

use crate::{WHOLE, parse};

const BUILT_IN: [&str; 7] = [
    "ingest-table",
    "validate-table",
    "transform-table",
    "train-boosted",
    "train-forest",
    "evaluate-classifier",
    "promote-gated",
];

fn with(settings: &[&str]) -> Manifest {
    let set = settings.iter().map(|it| (*it).to_owned()).collect();
    parse(WHOLE, &Overrides { set, ..Overrides::default() }).unwrap()
}

fn shown(manifest: &Manifest, problems: Vec<Problem>) -> String {
    manifest.error(problems).render()
}

/// Returns a schema in the form that schemars gives to an enumeration and a nested type.
fn schema() -> serde_json::Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": false,
        "required": ["n_estimators"],
        "properties": {
            "n_estimators": { "type": "integer", "minimum": 1, "maximum": 10000 },
            "learning_rate": { "type": "number", "exclusiveMinimum": 0, "maximum": 1 },
            "growth": { "$ref": "#/$defs/Growth" },
            "sampling": { "type": "string", "enum": ["uniform", "weighted"] },
            "depth": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
            "style": { "anyOf": [{ "$ref": "#/$defs/Growth" }, { "type": "null" }] },
            "categories": { "$ref": "#/$defs/Categories" }
        },
        "$defs": {
            "Growth": { "oneOf": [
                { "const": "depth-wise" },
                { "type": "string", "enum": ["leaf-wise"] },
                { "type": "object", "required": ["levels"], "properties": { "levels": { "type": "integer" } } }
            ] },
            "Categories": {
                "type": "object",
                "additionalProperties": false,
                "properties": {
                    "order": { "type": "array", "items": { "type": "string" } },
                    "unseen": { "type": "string" }
                }
            }
        }
    })
}

#[test]
fn parameters_that_fit_their_schema_are_no_problem() {
    let manifest = with(&[]);
    assert_eq!(manifest.check_parameters(manifest.stage(World::Training), &schema()), []);
}

#[test]
fn each_parameter_that_breaks_its_schema_is_cited_with_its_line() {
    let text = WHOLE
        .replacen("n_estimators = 300", "n_estimators = 0", 1)
        .replacen("learning_rate = 0.1", "learnin_rate = 0.1", 1)
        .replacen("growth = \"depth-wise\"", "growth = \"deep\"\nsampling = \"none\"\ndepth = \"3\"\nstyle = \"x\"", 1)
        .replacen("{ order = [\"low\", \"high\"] }", "{ order = [\"low\", 3], unsen = \"x\", other = 1 }", 1);
    let manifest = parse(&text, &Overrides::default()).unwrap();
    insta::assert_snapshot!(shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema())));
}

#[test]
fn a_parameter_set_by_an_argument_is_cited_as_the_argument() {
    let manifest = with(&["training.n_estimators=0"]);
    let text = shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema()));
    assert!(text.starts_with("--set training.n_estimators=0: "), "{text}");
    assert!(text.contains("must be at least 1"), "{text}");
}

#[test]
fn a_missing_parameter_cites_where_it_should_be() {
    let manifest = with(&["training.component=train-forest"]);
    let text = shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema()));
    assert!(text.starts_with("--set training.component=train-forest: "), "{text}");
    assert!(text.contains("needs the parameter `n_estimators`"), "{text}");
    assert!(text.contains("[components.train-forest.parameters]"), "{text}");
}

#[test]
fn a_schema_that_would_harm_the_host_is_the_components_fault() {
    let manifest = with(&[]);
    let deep = (0..90).fold(json!({}), |inner, _| json!({ "not": inner }));
    // Each definition refers twice to the one before it: 2^30 parts.
    let twice = |number: u32| {
        let before = json!({ "$ref": format!("#/$defs/{}", number - 1) });
        (number.to_string(), json!({ "allOf": [before.clone(), before] }))
    };
    let mut definitions: serde_json::Map<_, _> = (1..30).map(twice).collect();
    definitions.insert("0".to_owned(), json!({ "type": "integer" }));
    let wide = json!({ "$defs": definitions });
    for schema in [
        json!({ "$ref": "#" }),
        json!({ "properties": { "a": { "$ref": "#/properties/a" } } }),
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        json!({ "$ref": "http://example.org/schema.json" }),
        json!({ "$dynamicRef": "#meta" }),
        json!({ "type": 7 }),
        json!("not a schema"),
        json!({ "pattern": "(?=a)(a+)+$" , "patternProperties": { "(": {} } }),
        deep,
        wide,
        // A validator may decode what a size bound does not: `l%31` is `l1`.
        json!({ "$ref": "#/$defs/l%31", "$defs": { "l1": {}, "l%31": {} } }),
        json!({ "$ref": "#/$defs/a~1b", "$defs": { "a/b": {}, "a~1b": {} } }),
        json!({ "$ref": "#/$defs/a/b", "$defs": { "a": { "b": {} } } }),
        json!({ "$ref": "#a", "$defs": { "a": { "$anchor": "a" } } }),
        json!({ "$ref": "", "$defs": {} }),
        json!({ "$ref": "%23", "$defs": {} }),
        json!({ "$ref": "#/$defs/missing" }),
        json!({ "$ref": 7 }),
        json!({ "$id": "http://example.org/a", "type": "object" }),
        json!({ "items": { "id": "b" } }),
        json!({ "$dynamicAnchor": "a" }),
        json!({ "$recursiveRef": "#" }),
        json!({ "$schema": "http://json-schema.org/draft-04/schema#" }),
        json!({ "items": { "$schema": "https://json-schema.org/draft/2020-12/schema" } }),
        json!({ "properties": { "a": { "anyOf": [] } } }),
        json!({ "enum": "x" }),
        json!({ "enum": vec!["x"; 200_000] }),
        json!({ "multipleOf": 0 }),
        json!({ "minLength": -1 }),
        json!({ "pattern": "(a{1,1000}){1,1000}" }),
        json!({ "pattern": "a".repeat(5000) }),
        json!({ "items": { "$ref": "#/$defs/a" }, "$defs": { "a": { "items": { "$ref": "#/$defs/a" } } } }),
        json!({ "properties": { "a": { "x-column-types": vec!["int64"; 100_000] } } }),
        json!({ "unevaluatedItems": false }),
    ] {
        let text = shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema));
        assert!(
            text.contains("component `train-boosted` describes its parameters by a schema that cannot be used"),
            "{schema}: {text}"
        );
    }
}

#[test]
fn messages_about_large_schemas_are_cut() {
    let long = "x".repeat(400_000);
    let names: serde_json::Map<_, _> = (0..2000).map(|number| (format!("p{number}"), json!({}))).collect();
    for schema in [
        json!({ "properties": { "n_estimators": { "enum": [long.clone(), 1] } } }),
        json!({ "properties": { "n_estimators": { "const": long.clone() } } }),
        json!({ "properties": { "n_estimators": { "type": "string", "pattern": "^a$" } } }),
        json!({ "properties": { "n_estimators": { "anyOf": [{ "const": long.clone() }, { "enum": vec!["y"; 9000] }] } } }),
        json!({ "required": (0..2000).map(|number| format!("{number}{}", "r".repeat(300))).collect::<Vec<_>>() }),
        json!({ "properties": names, "additionalProperties": false }),
        json!({ "properties": { long: {} }, "additionalProperties": false }),
    ] {
        let manifest = with(&[]);
        let problems = manifest.check_parameters(manifest.stage(World::Training), &schema);
        assert!((1..=100).contains(&problems.len()), "{}", problems.len());
        for problem in problems {
            let hint = problem.hint.unwrap_or_default();
            assert!(problem.message.len() < 1000 && hint.len() < 6000, "{} {}", problem.message.len(), hint.len());
        }
    }
}

#[test]
fn parameters_that_cost_too_many_steps_are_the_components_fault() {
    let schema = json!({ "properties": { "rows": { "minContains": 0, "contains": { "anyOf": vec![json!({ "const": "y" }); 20_000] } } } });
    let manifest = with(&[&format!("training.rows=[{}]", vec!["\"x\""; 2000].join(","))]);
    let text = shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema));
    assert!(text.contains("schema that cannot be used: to check these parameters by it takes more than"), "{text}");
}

#[test]
fn a_parameter_that_is_not_for_a_columns_type_is_cited_with_its_line() {
    let schema = json!({ "type": "object", "properties": {
        "ranges": { "type": "object", "x-column-types": ["int64", "float64"] },
        "sorted": { "type": "array", "items": { "type": "string" }, "x-column-types": ["int64"] },
    } });
    let text = WHOLE.replacen(
        "[components.train-boosted.parameters]\n",
        "[components.train-boosted.parameters]\nranges = { tenure = { min = 0 }, Churn = { min = 0 }, unknown = {} }\nsorted = [\"tenure\", \"Total Charges\"]\n",
        1,
    );
    let manifest = parse(&text, &Overrides::default()).unwrap();
    insta::assert_snapshot!(shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema)));
}

#[test]
fn a_parameter_in_a_table_of_parameters_is_held_to_the_columns_type_too() {
    let schema = json!({
        "properties": { "warn": { "$ref": "#/$defs/Warnings" } },
        "$defs": { "Warnings": { "properties": { "ranges": { "type": "object", "x-column-types": ["int64"] } } } },
    });
    let manifest = with(&["training.warn.ranges.Churn.min=0", "training.warn.ranges.tenure.min=0"]);
    let text = shown(&manifest, manifest.check_parameters(manifest.stage(World::Training), &schema));
    assert!(text.contains("`ranges` cannot be checked in column `Churn`"), "{text}");
    assert!(!text.contains("`tenure`"), "{text}");
}

#[test]
fn components_that_do_not_exist_are_cited_where_they_are_named() {
    let manifest = with(&["training.component=train-bosted", "components.train-forst.parameters.n_estimators=3"]);
    assert_eq!(with(&[]).check_components(&BUILT_IN), []);
    insta::assert_snapshot!(shown(&manifest, manifest.check_components(&BUILT_IN)));
}

#[test]
fn a_problem_found_elsewhere_is_cited_at_its_key() {
    let manifest = with(&[]);
    let problem =
        manifest.problem(Condition::Task, &["stages", "training", "component"], "it implements `validation`", None);
    let line = WHOLE.lines().position(|line| line == "component = \"train-boosted\"").unwrap() + 1;
    assert_eq!((problem.line(), problem.key.as_str()), (Some(line), "stages.training.component"));
    let absent = manifest.problem(Condition::Task, &["stages", "training", "limits", "cpu"], "too short", None);
    assert_eq!(absent.line(), Some(line - 1));
}
