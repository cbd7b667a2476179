//! The routes, with their answers and errors.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::example;
use super::schemas::{answer_name, row_name};
use crate::served_version::ServedVersion;

/// Returns all paths. `default` is the version that answers where no model is named.
pub(super) fn paths(default: Option<&ServedVersion>, versions: &[Arc<ServedVersion>]) -> Value {
    let mut paths = Map::new();
    let mut add = |path: String, method: &str, operation: Value| {
        paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
    };
    for (path, operation) in own() {
        add(path.to_owned(), "get", operation);
    }
    for path in ["/outcomes", "/models/{model}/outcomes"] {
        add(path.to_owned(), "post", outcomes(path));
    }
    if let Some(version) = default {
        add("/predict".to_owned(), "post", predict(version, "predict"));
        add("/invocations".to_owned(), "post", invocations(version));
    }
    for version in versions {
        let id = format!("predict.{}", version.model);
        add(format!("/models/{}/predict", version.model), "post", predict(version, &id));
    }
    for (path, method, operation) in deployments() {
        add(path.to_owned(), method, operation);
    }
    for (path, operation) in mlflow() {
        add(path.to_owned(), "get", operation);
    }
    for (path, operation) in inference() {
        add(path.to_owned(), "get", operation);
    }
    for path in ["/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"] {
        add(path.to_owned(), "post", infer(path));
    }
    Value::Object(paths)
}

/// Returns an answer of JSON.
fn of_schema(description: &str, schema: &str) -> Value {
    let schema = format!("#/components/schemas/{schema}");
    json!({ "description": description, "content": { "application/json": { "schema": { "$ref": schema } } } })
}

fn empty(description: &str) -> Value {
    json!({ "description": description })
}

/// Returns a `GET` operation with its answers.
fn get(tag: &str, id: &str, summary: &str, responses: Value) -> Value {
    json!({ "tags": [tag], "operationId": id, "summary": summary, "responses": responses })
}

/// Adds the errors that every route has which predicts, in the schema of the route's protocol.
fn with_errors(mut responses: Value, schema: &str) -> Value {
    let errors = [
        ("400", "The body cannot be read."),
        ("401", "The token is missing or unknown."),
        ("403", "The token's role does not include this."),
        ("404", "No such model is served."),
        ("413", "The body has too many rows or bytes."),
        ("415", "The content type is not supported."),
        ("429", "Too many requests wait. Try again after the time in `Retry-After`."),
        ("500", "The model or the server failed."),
        ("503", "The server is shutting down, or the model cannot answer now."),
        ("504", "The model took too long."),
    ];
    for (status, description) in errors {
        responses[status] = of_schema(description, schema);
    }
    for status in ["429", "503"] {
        let wait = json!({ "description": "Seconds to wait.", "schema": { "type": "integer" } });
        responses[status]["headers"] = json!({ "Retry-After": wait });
    }
    responses
}

/// Returns the routes that are neither predictions nor of another protocol.
fn own() -> [(&'static str, Value); 8] {
    let health = of_schema("The models that are served.", "Health");
    let html = json!({ "description": "The page.", "content": { "text/html": { "schema": { "type": "string" } } } });
    let document = json!({
        "description": "This document.",
        "content": { "application/json": { "schema": { "type": "object" } } },
    });
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    let metrics = json!({ "200": { "description": "The metrics, as Prometheus reads them.", "content": text } });
    let object = json!({ "application/json": { "schema": { "type": "object" } } });
    let described = json!({
        "200": { "description": "The version that is served.", "content": object },
        "404": of_schema("No such model is served.", "Error"),
    });
    let mut model = get("Health", "model", "Describes a model that is served", described);
    model["parameters"] = placeholders("/models/{model}");
    let ready = json!({ "200": empty("Every model is loaded."), "503": empty("A model is not loaded yet.") });
    [
        ("/", get("Health", "root", "Describes the models that are served", json!({ "200": health }))),
        ("/health", get("Health", "health", "Describes the models that are served", json!({ "200": health }))),
        (
            "/health/live",
            get("Health", "live", "Answers as long as the process does", json!({ "200": empty("It lives.") })),
        ),
        ("/models/{model}", model),
        ("/metrics", get("Health", "metrics", "What the server counts", metrics)),
        ("/health/ready", get("Health", "ready", "Tells whether every model is loaded", ready)),
        ("/openapi.json", get("Documentation", "openapi", "Describes the interface", json!({ "200": document }))),
        ("/docs", get("Documentation", "docs", "A page to try the interface", json!({ "200": html }))),
    ]
}

/// Returns the operation that records outcomes.
fn outcomes(path: &str) -> Value {
    let one = json!({ "$ref": "#/components/schemas/Outcome" });
    let several = json!({ "type": "array", "items": one, "maxItems": stagewright_store::MAX_OUTCOMES_AT_ONCE });
    let members = json!({ "type": "object", "properties": { "outcomes": several }, "required": ["outcomes"] });
    let example = json!({ "request_id": "01KB6TZ7M0V3W6QK5S0J3Z6T6N.v1", "label": "Yes" });
    let schema = json!({ "anyOf": [one, several, members] });
    let mut responses = json!({ "200": of_schema("The result of each outcome.", "OutcomeResults") });
    for (status, description) in [
        ("400", "The body cannot be read."),
        ("401", "The token is missing or unknown."),
        ("403", "The token's role does not include this."),
        ("404", "No such model is served."),
        ("413", "There are too many outcomes."),
        ("415", "The content type is not supported."),
        ("501", "The server has no registry, or may only read it."),
        ("503", "The registry is away, or too many outcomes wait. Post the same again."),
    ] {
        responses[status] = of_schema(description, "Error");
    }
    let wait = json!({ "description": "Seconds to wait.", "schema": { "type": "integer" } });
    responses["503"]["headers"] = json!({ "Retry-After": wait });
    json!({
        "tags": ["Outcomes"],
        "operationId": if path.contains('{') { "outcomes.model" } else { "outcomes" },
        "summary": "Records what became of requests",
        "parameters": placeholders(path),
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": schema, "example": example } },
        },
        "responses": responses,
    })
}

/// Returns the operation that predicts with a model.
fn predict(version: &ServedVersion, id: &str) -> Value {
    let row = json!({ "$ref": format!("#/components/schemas/{}", row_name(version)) });
    let rows = json!({ "type": "array", "items": row, "maxItems": version.request.max_rows });
    let members = json!({ "type": "object", "properties": { "rows": rows }, "required": ["rows"] });
    let example = example::row(version);
    let forms = json!({
        "One row": { "value": example },
        "Several rows": { "value": [example, example] },
        "Rows in an object": { "value": { "rows": [example] } },
    });
    let refused = of_schema("Values do not fit the signature.", "RowErrors");
    let answers = json!({ "200": of_schema("The predictions.", &answer_name(version)), "422": refused });
    json!({
        "tags": ["Predictions"],
        "operationId": id,
        "summary": format!("Predicts with {}", version.model),
        "x-model": version.model,
        "x-version": version.version,
        "x-digest": version.digest.to_string(),
        "requestBody": {
            "required": true,
            "content": {
                "application/json": { "schema": { "anyOf": [row, rows, members] }, "examples": forms },
                "text/csv": { "schema": { "type": "string" }, "example": csv(&example) },
                "application/vnd.apache.arrow.stream": { "schema": { "type": "string", "format": "binary" } },
            },
        },
        "responses": with_errors(answers, "Error"),
    })
}

/// Returns a row as CSV with a header.
fn csv(row: &Map<String, Value>) -> String {
    let cell = |text: &str| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let value = |value: &Value| cell(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let line = |cells: Vec<String>| cells.join(",") + "\n";
    line(row.keys().map(|name| cell(name)).collect()) + &line(row.values().map(value).collect())
}

/// Returns the operation of MLflow's scoring protocol that predicts.
fn invocations(version: &ServedVersion) -> Value {
    let example = example::row(version);
    let (columns, values): (Vec<_>, Vec<_>) = example.iter().unzip();
    let split = json!({ "dataframe_split": { "columns": columns, "data": [values] } });
    let predictions = json!({
        "type": "object",
        "properties": { "predictions": { "type": "array", "description": "A label or a value for each row." } },
        "required": ["predictions"],
    });
    let answered =
        json!({ "description": "The predictions.", "content": { "application/json": { "schema": predictions } } });
    let examples = json!({
        "dataframe_split": { "value": split },
        "dataframe_records": { "value": { "dataframe_records": [example] } },
    });
    let mut responses = with_errors(json!({ "200": answered }), "MlflowError");
    let text = json!({ "text/plain": { "schema": { "type": "string" } } });
    responses["415"] = json!({ "description": "The content type is not supported.", "content": text });
    json!({
        "tags": ["MLflow scoring protocol"],
        "operationId": "invocations",
        "summary": format!("Predicts with {}", version.model),
        "requestBody": {
            "required": true,
            "content": {
                "application/json": { "schema": { "type": "object" }, "examples": examples },
                "text/csv": { "schema": { "type": "string" }, "example": csv(&example) },
            },
        },
        "responses": responses,
    })
}

/// Returns the routes of operators.
fn deployments() -> [(&'static str, &'static str, Value); 4] {
    const PATHS: [&str; 3] =
        ["/models/{model}/deployment", "/models/{model}/deployment/advance", "/models/{model}/deployment/abort"];
    let object = json!({ "application/json": { "schema": { "type": "object" } } });
    let route = |path: &'static str, method, id: &str, summary: &str, example: Option<Value>| {
        let status = if id == "deployment.start" { "201" } else { "200" };
        let mut responses = json!({ status: { "description": "The deployment with its figures.", "content": object } });
        for (status, description) in [
            ("403", "The token has not the role `admin`."),
            ("404", "No such model is served, or it has no such version or deployment."),
            ("409", "It cannot be done now: the message says why."),
            ("503", "The registry cannot be used now."),
        ] {
            responses[status] = of_schema(description, "Error");
        }
        let mut operation = get("Deployments", id, summary, responses);
        operation["parameters"] = placeholders(path);
        if let Some(example) = example {
            operation["responses"]["400"] = of_schema("The body cannot be used.", "Error");
            let content = json!({ "application/json": { "schema": { "type": "object" }, "example": example } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        (path, method, operation)
    };
    let canary = json!({ "strategy": "canary", "version": 2, "interval": "10 min", "reason": "a better model" });
    let because = |reason: &str| Some(json!({ "reason": reason }));
    [
        route(PATHS[0], "get", "deployment", "Describes the active deployment, or the last one", None),
        route(PATHS[0], "post", "deployment.start", "Starts a deployment", Some(canary)),
        route(PATHS[1], "post", "deployment.advance", "Makes the next step", because("no complaints")),
        route(PATHS[2], "post", "deployment.abort", "Lets the champion answer everything again", because("complaints")),
    ]
}

fn mlflow() -> [(&'static str, Value); 2] {
    const TAG: &str = "MLflow scoring protocol";
    let version =
        json!({ "description": "The version.", "content": { "text/plain": { "schema": { "type": "string" } } } });
    [
        (
            "/ping",
            get(
                TAG,
                "ping",
                "Tells whether a model is loaded",
                json!({ "200": empty("It is."), "404": empty("None is.") }),
            ),
        ),
        ("/version", get(TAG, "version", "Names the version of the server", json!({ "200": version }))),
    ]
}

/// Returns the parameters of a path's placeholders.
fn placeholders(path: &str) -> Value {
    let parameter =
        |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    ["model", "version"].into_iter().filter(|name| path.contains(&format!("{{{name}}}"))).map(parameter).collect()
}

/// Returns the routes of the Open Inference Protocol that only tell.
fn inference() -> [(&'static str, Value); 7] {
    let route = |path: &'static str, id: &str, summary: &str| {
        let object = json!({ "application/json": { "schema": { "type": "object" } } });
        let mut responses = json!({ "200": { "description": "Yes, or the description.", "content": object } });
        if path.contains('{') {
            responses["404"] = of_schema("No such model or version is served.", "InferenceError");
        }
        if path.ends_with("ready") {
            responses["503"] = empty("It is not loaded yet.");
        }
        let mut operation = get("Open Inference Protocol", id, summary, responses);
        operation["parameters"] = placeholders(path);
        (path, operation)
    };
    [
        route("/v2", "v2", "Describes the server"),
        route("/v2/health/live", "v2.live", "Tells whether the server lives"),
        route("/v2/health/ready", "v2.ready", "Tells whether every model is loaded"),
        route("/v2/models/{model}", "v2.model", "Describes a model"),
        route("/v2/models/{model}/versions/{version}", "v2.version", "Describes a version"),
        route("/v2/models/{model}/ready", "v2.model.ready", "Tells whether a model is loaded"),
        route("/v2/models/{model}/versions/{version}/ready", "v2.version.ready", "Tells whether a version is loaded"),
    ]
}

/// Returns the operation of the Open Inference Protocol that predicts.
fn infer(path: &str) -> Value {
    let answered = of_schema("The outputs.", "InferenceResponse");
    let reference = json!({ "$ref": "#/components/schemas/InferenceRequest" });
    json!({
        "tags": ["Open Inference Protocol"],
        "operationId": if path.contains("versions") { "v2.version.infer" } else { "v2.infer" },
        "summary": "Predicts",
        "parameters": placeholders(path),
        "requestBody": { "required": true, "content": { "application/json": { "schema": reference } } },
        "responses": with_errors(json!({ "200": answered }), "InferenceError"),
    })
}
