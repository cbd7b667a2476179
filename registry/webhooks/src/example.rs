//! Examples of events, as MLflow's server sends them to try a webhook.

use serde_json::{Value, json};
use stagewright_store::WebhookEvent;

/// Returns the members of an example.
pub(crate) fn example(event: WebhookEvent) -> Value {
    let prompt = event.entity().starts_with("prompt");
    let name = if prompt { "example_prompt" } else { "example_model" };
    match (event.entity(), event.action()) {
        ("registered_model" | "prompt", _) => json!({
            "name": name, "tags": { "example_key": "example_value" },
            "description": if prompt { "An example prompt" } else { "An example registered model" },
        }),
        ("model_version", "created") => json!({
            "name": name, "version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678",
            "tags": { "example_key": "example_value" }, "description": "An example model version",
        }),
        ("model_version", _) => json!({
            "name": name, "version": "1", "from": "staging", "to": "production", "actor": "example_user",
            "reason": "An example reason",
        }),
        ("prompt_version", _) => json!({
            "name": name, "version": "1", "template": "Hello {{name}}!",
            "tags": { "example_key": "example_value" }, "description": "An example prompt version",
        }),
        ("model_version_tag" | "prompt_version_tag", "set") => {
            json!({ "name": name, "version": "1", "key": "example_key", "value": "example_value" })
        }
        ("model_version_tag" | "prompt_version_tag", _) => {
            json!({ "name": name, "version": "1", "key": "example_key" })
        }
        ("prompt_tag", "set") => json!({ "name": name, "key": "example_key", "value": "example_value" }),
        ("prompt_tag", _) => json!({ "name": name, "key": "example_key" }),
        ("model_version_alias" | "prompt_alias", "created") => {
            json!({ "name": name, "alias": "example_alias", "version": "1" })
        }
        ("model_version_alias" | "prompt_alias", _) => json!({ "name": name, "alias": "example_alias" }),
        ("run", action) => json!({
            "run_id": "abcd1234abcd5678", "run_name": "example-run-1", "experiment_id": "0", "pipeline": null,
            "user_id": "example_user", "status": if action == "finished" { "FINISHED" } else { "FAILED" },
            "start_time": 1_790_000_000_000_i64, "end_time": 1_790_000_060_000_i64,
        }),
        // A budget: MLflow's alone.
        _ => json!({}),
    }
}
