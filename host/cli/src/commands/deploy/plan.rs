//! The plan that flags or a file describe, as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};
use stagewright_deployment::parse_file;

use crate::arguments::DeployStartArguments;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The largest file: a plan has a few lines.
const MAX_BYTES: u64 = 1 << 20;

/// Returns the plan of a command.
pub(super) fn request(arguments: &DeployStartArguments) -> anyhow::Result<Value> {
    match (&arguments.config, arguments.strategy) {
        (Some(path), _) => file(path),
        (None, Some(strategy)) => flags(arguments, strategy.name()),
        (None, None) => Err(UsageError::error(
            ErrorCode::Argument,
            "which strategy?",
            "name it (--strategy canary --version 2), or a file with the plan (--config FILE)",
        )),
    }
}

fn file(path: &Path) -> anyhow::Result<Value> {
    let text = stagewright_store::read_regular_text(path, MAX_BYTES).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        UsageError::error(ErrorCode::FileUnreadable, message, "name a file with a plan: docs/deployments.md has some")
    })?;
    let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    Ok(parse_file(&text, is_json)?)
}

fn flags(arguments: &DeployStartArguments, strategy: &str) -> anyhow::Result<Value> {
    let mut plan = Map::from_iter([("strategy".to_owned(), json!(strategy))]);
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            plan.insert(name.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    set("version", text(&arguments.version));
    set("shares", (!arguments.shares.is_empty()).then(|| json!(arguments.shares)));
    set("interval", text(&arguments.interval));
    set("fraction", text(&arguments.fraction));
    set("key", arguments.key.as_deref().map(key).transpose()?);
    let guard = [
        ("min_requests", arguments.min_requests.map(|number| json!(number))),
        ("max_error_rate", text(&arguments.max_error_rate)),
        ("max_p99", text(&arguments.max_p99)),
    ];
    let guard = guard.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    let guard = Map::from_iter(guard);
    set("guard", (!guard.is_empty()).then(|| guard.into()));
    Ok(plan.into())
}

fn key(text: &str) -> anyhow::Result<Value> {
    match text.split_once(':') {
        Some((kind @ ("header" | "field"), name)) => Ok(json!({ kind: name })),
        _ => Err(UsageError::error(
            ErrorCode::Argument,
            format!("`{text}` is no part of a request"),
            "write header:NAME or field:NAME, such as header:x-customer-id",
        )),
    }
}
