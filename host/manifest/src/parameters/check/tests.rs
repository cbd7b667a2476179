//! Tests of checking parameters: violations and steps.

use serde_json::{Value as Json, json};

use super::*;

/// Returns the number of violations; `None` if the steps ran out.
fn checked(schema: &Json, value: &Json) -> Option<usize> {
    let schema = Schema::new(schema).unwrap();
    let checked = check(&schema, value);
    assert!(checked.steps <= MAX_STEPS);
    (!checked.is_unfinished).then_some(checked.violations.len())
}

#[test]
fn each_keyword_says_what_json_schema_says() {
    let accepted_and_refused = [
        (json!({ "type": "integer" }), json!(3.0), json!(3.5)),
        (json!({ "type": ["string", "null"] }), json!(null), json!(1)),
        (json!({ "enum": [1, { "a": [2] }] }), json!({ "a": [2.0] }), json!({ "a": [2, 3] })),
        (json!({ "const": 1 }), json!(1.0), json!("1")),
        (json!({ "minimum": 2, "maximum": 4 }), json!(2), json!(4.1)),
        (json!({ "exclusiveMinimum": 2, "exclusiveMaximum": 4 }), json!(3), json!(2)),
        (json!({ "multipleOf": 0.1 }), json!(0.3), json!(0.35)),
        (json!({ "multipleOf": 3 }), json!(u64::MAX), json!(u64::MAX - 1)),
        (json!({ "minLength": 2, "maxLength": 3 }), json!("äöü"), json!("ä")),
        (json!({ "pattern": r"^\d{2}\w$" }), json!("12a"), json!("١٢a")),
        (json!({ "minItems": 1, "maxItems": 2 }), json!([1]), json!([])),
        (json!({ "uniqueItems": true }), json!([1, "1", true, [1]]), json!([1, 2, 1.0])),
        (json!({ "prefixItems": [{ "type": "string" }], "items": { "type": "integer" } }), json!(["a", 1]), json!([1])),
        (json!({ "contains": { "type": "integer" }, "maxContains": 1 }), json!(["a", 1]), json!([1, 2])),
        (json!({ "required": ["a"] }), json!({ "a": 1 }), json!({ "b": 1 })),
        (json!({ "minProperties": 1, "maxProperties": 2 }), json!({ "a": 1 }), json!({})),
        (json!({ "properties": { "a": false } }), json!({ "b": 1 }), json!({ "a": 1 })),
        (
            json!({ "properties": { "a": true }, "patternProperties": { "^x-": { "type": "string" } },
                "additionalProperties": false }),
            json!({ "a": 1, "x-a": "b" }),
            json!({ "b": 1 }),
        ),
        (json!({ "propertyNames": { "maxLength": 1 } }), json!({ "a": 1 }), json!({ "ab": 1 })),
        (json!({ "dependentRequired": { "a": ["b"] } }), json!({ "b": 1 }), json!({ "a": 1 })),
        (
            json!({ "dependentSchemas": { "a": { "maxProperties": 1 } } }),
            json!({ "b": 1, "c": 2 }),
            json!({ "a": 1, "b": 2 }),
        ),
        (json!({ "allOf": [{ "minimum": 1 }, { "maximum": 2 }] }), json!(1), json!(3)),
        (json!({ "anyOf": [{ "minimum": 3 }, { "maximum": 1 }] }), json!(1), json!(2)),
        (json!({ "oneOf": [{ "minimum": 3 }, { "maximum": 4 }] }), json!(1), json!(3)),
        (json!({ "not": { "type": "string" } }), json!(1), json!("a")),
        (json!({ "if": { "minimum": 5 }, "then": { "maximum": 6 }, "else": { "minimum": 1 } }), json!(6), json!(0)),
        (json!({ "$ref": "#/$defs/A.b-c_1", "$defs": { "A.b-c_1": { "type": "string" } } }), json!("a"), json!(1)),
        (
            json!({ "properties": { "a": {} }, "oneOf": [{ "properties": { "b": { "const": 1 } }, "required": ["b"] }, { "required": ["c"] }],
                "unevaluatedProperties": false }),
            json!({ "a": 1, "b": 1 }),
            json!({ "a": 1, "b": 1, "d": 1 }),
        ),
        // Values of `enum`, `const` and `default` are data, even if they look like schemas.
        (json!({ "enum": [{ "$ref": "#/nowhere" }] }), json!({ "$ref": "#/nowhere" }), json!({})),
        (
            json!({ "const": { "$id": "x" }, "default": { "$ref": "y" }, "title": { "type": 7 } }),
            json!({ "$id": "x" }),
            json!(1),
        ),
    ];
    for (schema, accepted, refused) in accepted_and_refused {
        assert_eq!(checked(&schema, &accepted), Some(0), "{schema} {accepted}");
        assert_ne!(checked(&schema, &refused), Some(0), "{schema} {refused}");
    }
}

#[test]
fn the_hundredth_violation_is_the_last() {
    let schema = json!({ "items": { "enum": ["x".repeat(500_000)] } });
    let value = Json::Array(vec![json!(1); 8000]);
    assert_eq!(checked(&schema, &value), Some(MAX_VIOLATIONS));
}

#[test]
fn exponential_work_ends() {
    // A choice at each level of nested lists doubles the work at each level.
    let nested = |levels: u32, leaf: Json| (0..levels).fold(leaf, |inner, _| json!([inner]));
    let twice = (0..12).fold(json!(false), |inner, _| json!({ "anyOf": [{ "items": inner }, { "items": inner }] }));
    let wide = Json::Array(vec![nested(13, json!([1])); 4000]);
    assert_eq!(checked(&json!({ "contains": twice, "minContains": 0 }), &wide), None);
    let choices: Vec<Json> = (0..20_000).map(|number| json!({ "const": number })).collect();
    let many = json!({ "contains": { "anyOf": choices }, "minContains": 0 });
    assert_eq!(checked(&many, &Json::Array(vec![json!(-1); 2000])), None);
    // A large automaton over a long text.
    let pattern = json!({ "pattern": "^([ab]{1,100}c?){1,20}$" });
    assert_eq!(checked(&pattern, &json!("ab".repeat(100_000))), None);
}

#[test]
fn unevaluated_properties_take_bounded_work() {
    let choice = |inner: Json| json!({ "anyOf": [inner.clone(), inner], "unevaluatedProperties": false });
    let schema = (0..12).fold(json!({ "properties": { "a": { "type": "string" } } }), |inner, _| choice(inner));
    let value = Json::Object((0..5000).map(|number| (format!("a{number}"), json!(1))).collect());
    assert_eq!(checked(&schema, &value), None);
}
