//! The schemas of rows and answers.

use serde_json::{Value, json};
use stagewright_data::{Task, UnknownFields};
use stagewright_store::{DataType, Field};

use super::example;
use crate::known_values::Known;
use crate::served_version::ServedVersion;

/// Returns the name of the schema of a model's rows. Names of models are identifiers.
pub(super) fn row_name(version: &ServedVersion) -> String {
    format!("{}.row", version.model)
}

/// Returns the name of the schema of a model's answers.
pub(super) fn answer_name(version: &ServedVersion) -> String {
    format!("{}.answer", version.model)
}

/// Returns the schema of a row of raw features, with an example that the model accepts.
pub(super) fn row(version: &ServedVersion) -> Value {
    let fields = version.decoder.features().fields();
    let properties: serde_json::Map<String, Value> =
        fields.iter().map(|field| (field.name.clone(), feature(field, version.known_values.of(&field.name)))).collect();
    let required: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    let mut schema = json!({
        "type": "object",
        "title": format!("A row for {}", version.model),
        "properties": properties,
        "required": required,
        "examples": [example::row(version)],
    });
    // Columns of the signature that are no features may always come. They are not read.
    if version.request.unknown_fields == UnknownFields::Refuse {
        let others =
            version.contents.signature.fields.fields().iter().filter(|field| !required.contains(&&*field.name));
        let mut all = schema["properties"].take();
        for field in others.filter(|field| Some(&field.name) != version.request.key.as_ref()) {
            all[&field.name] = json!({ "description": "Not read." });
        }
        if let Some(key) = &version.request.key
            && all.get(key).is_none()
        {
            all[key] = json!({ "description": "Decides which arm of a deployment answers." });
        }
        schema["properties"] = all;
        schema["additionalProperties"] = false.into();
    }
    schema
}

/// Returns the schema of a feature.
fn feature(field: &Field, known: Option<&Known>) -> Value {
    let (kind, format, note) = match field.data_type {
        DataType::Boolean => ("boolean", None, ""),
        DataType::Int64 => ("integer", Some("int64"), ""),
        DataType::Float64 => ("number", Some("double"), ""),
        DataType::Utf8 | DataType::Categorical => ("string", None, ""),
        DataType::Timestamp => ("string", Some("date-time"), "RFC 3339. "),
    };
    let null = if field.nullable { "May be null." } else { "Never null." };
    let mut schema = json!({ "type": kind, "description": format!("{note}{null}"), "x-type": field.data_type.name() });
    if field.nullable {
        schema["type"] = json!([kind, "null"]);
    }
    if let Some(format) = format {
        schema["format"] = format.into();
    }
    if let Some(Known::Categories { values, is_closed }) = known {
        let key = if *is_closed { "enum" } else { "examples" };
        let mut values: Vec<Value> = values.iter().map(|value| value.as_str().into()).collect();
        if *is_closed && field.nullable {
            values.push(Value::Null);
        }
        schema[key] = values.into();
        if !is_closed {
            schema["description"] = format!("{note}{null} Other values than those of training are accepted.").into();
        }
    }
    schema
}

/// Returns the schema of a prediction.
pub(super) fn prediction(task: &Task) -> Value {
    let probability =
        |description: &str| json!({ "type": "number", "minimum": 0, "maximum": 1, "description": description });
    match task {
        Task::Regression => json!({
            "type": "object",
            "properties": { "value": { "type": "number" } },
            "required": ["value"],
        }),
        Task::Binary { negative, positive } => json!({
            "type": "object",
            "properties": {
                "label": { "type": "string", "enum": [negative, positive] },
                "probability": probability(&format!("The probability of `{positive}`.")),
            },
            "required": ["label", "probability"],
        }),
        Task::MultiClass { classes } => json!({
            "type": "object",
            "properties": {
                "label": { "type": "string", "enum": classes },
                "probabilities": {
                    "type": "object",
                    "properties": classes.iter().map(|class| (class.clone(), probability(""))).collect::<serde_json::Map<_, _>>(),
                    "required": classes,
                },
            },
            "required": ["label", "probabilities"],
        }),
    }
}

/// Returns the schema of the answer to a prediction request.
pub(super) fn answer(version: &ServedVersion) -> Value {
    json!({
        "type": "object",
        "properties": {
            "predictions": {
                "type": "array",
                "description": "One for each row, in order.",
                "items": prediction(version.task()),
            },
            "model": { "type": "string" },
            "version": { "type": "integer" },
            "digest": { "type": "string", "description": "SHA-256 of the version's contents." },
            "request_id": { "type": "string", "description": "Names the request when an outcome is posted." },
        },
        "required": ["predictions", "model", "version", "digest", "request_id"],
    })
}

/// Returns the schemas that do not depend on a model, by name.
pub(super) fn common() -> Value {
    json!({
        "RowErrors": {
            "type": "object",
            "properties": {
                "errors": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "row": { "type": "integer", "description": "Counted from 0." },
                            "field": { "type": ["string", "null"] },
                            "message": { "type": "string" },
                        },
                        "required": ["row", "message"],
                    },
                },
                "more_errors": { "type": "boolean", "description": "Whether there are more." },
                "request_id": { "type": "string" },
            },
            "required": ["errors", "request_id"],
        },
        "Error": {
            "type": "object",
            "properties": {
                "error": {
                    "type": "object",
                    "properties": {
                        "code": { "type": "string" },
                        "message": { "type": "string" },
                        "hint": { "type": "string" },
                    },
                    "required": ["code", "message"],
                },
                "request_id": { "type": "string" },
            },
            "required": ["error"],
        },
        "Outcome": {
            "type": "object",
            "properties": {
                "request_id": { "type": "string", "description": "The identifier that the prediction had." },
                "label": { "type": ["string", "number", "boolean", "null"], "description": "The true class." },
                "value": { "type": ["number", "null"], "description": "The true value, or another number." },
                "time": { "type": ["string", "null"], "format": "date-time", "description": "When. Now unless given." },
            },
            "required": ["request_id"],
            "additionalProperties": false,
        },
        "OutcomeResults": {
            "type": "object",
            "properties": {
                "outcomes": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "request_id": { "type": ["string", "null"] },
                            "result": {
                                "enum": [
                                    "recorded", "duplicate", "unknown_version", "malformed_id", "unknown_label",
                                    "invalid",
                                ],
                            },
                            "message": { "type": "string" },
                        },
                        "required": ["request_id", "result"],
                    },
                },
                "recorded": { "type": "integer" },
                "model": { "type": "string" },
            },
            "required": ["outcomes", "recorded", "model"],
        },
        "Health": {
            "type": "object",
            "properties": {
                "status": { "type": "string" },
                "model": { "type": "string" },
                "version": { "type": "integer" },
                "digest": { "type": "string" },
            },
            "required": ["status"],
        },
        "InferenceError": {
            "type": "object",
            "properties": { "error": { "type": "string" } },
            "required": ["error"],
        },
        "InferenceTensor": {
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "shape": { "type": "array", "items": { "type": "integer" } },
                "datatype": { "type": "string" },
                "parameters": { "type": "object" },
                "data": { "type": "array", "items": true },
            },
            "required": ["name", "shape", "datatype"],
        },
        "InferenceRequest": {
            "type": "object",
            "properties": {
                "id": { "type": "string" },
                "parameters": { "type": "object" },
                "inputs": { "type": "array", "items": { "$ref": "#/components/schemas/InferenceTensor" } },
                "outputs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": { "name": { "type": "string" }, "parameters": { "type": "object" } },
                        "required": ["name"],
                    },
                },
            },
            "required": ["inputs"],
        },
        "InferenceResponse": {
            "type": "object",
            "properties": {
                "model_name": { "type": "string" },
                "model_version": { "type": "string" },
                "id": { "type": "string" },
                "parameters": { "type": "object" },
                "outputs": { "type": "array", "items": { "$ref": "#/components/schemas/InferenceTensor" } },
            },
            "required": ["model_name", "outputs"],
        },
        "MlflowError": {
            "type": "object",
            "properties": { "error_code": { "type": "string" }, "message": { "type": "string" } },
            "required": ["error_code", "message"],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_described_by_its_type_and_by_what_the_model_knows() {
        let of = |data_type, nullable, known: Option<&Known>| {
            let schema = feature(&Field::new("f", data_type).with_nullable(nullable), known);
            (schema["type"].clone(), schema["enum"].clone(), schema["examples"].clone())
        };
        assert_eq!(of(DataType::Int64, false, None), (json!("integer"), Value::Null, Value::Null));
        assert_eq!(of(DataType::Boolean, true, None).0, json!(["boolean", "null"]));
        let known = |is_closed| Known::Categories { values: vec!["a".into(), "b".into()], is_closed };
        let texts = json!(["a", "b"]);
        assert_eq!(of(DataType::Utf8, false, Some(&known(false))), (json!("string"), Value::Null, texts.clone()));
        assert_eq!(of(DataType::Utf8, false, Some(&known(true))), (json!("string"), texts, Value::Null));
        assert_eq!(of(DataType::Categorical, true, Some(&known(true))).1, json!(["a", "b", null]));
    }

    #[test]
    fn a_prediction_is_described_by_the_task() {
        let required = |task: &Task| prediction(task)["required"].clone();
        assert_eq!(required(&Task::Regression), json!(["value"]));
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        assert_eq!(required(&binary), json!(["label", "probability"]));
        let schema = prediction(&Task::MultiClass { classes: vec!["a".into(), "b".into()] });
        assert_eq!(schema["required"], json!(["label", "probabilities"]));
        assert_eq!(schema["properties"]["probabilities"]["required"], json!(["a", "b"]));
    }
}
