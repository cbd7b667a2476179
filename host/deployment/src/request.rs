//! The request to start a deployment: a plan as people write it.
//!
//! Versions may be named by number (`3`, `"v3"`), by semantic version (`"v1.2.3"`) or by alias.
//! Keys may be written with `-` in place of `_`, as in other TOML files. An object with `variants`
//! and without a `strategy` is an A/B test.

use serde_json::{Map, Value as Json};

use crate::error::{OperationError, PlanError};
use crate::plan::Plan;

/// A name of a version, as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum VersionName {
    Number(u32),
    /// `MAJOR.MINOR.PATCH`.
    Semantic(String),
    Alias(String),
}

impl VersionName {
    pub(crate) fn parse(text: &str) -> Self {
        let bare = text.strip_prefix('v').unwrap_or(text);
        let parts: Vec<&str> = bare.split('.').collect();
        let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match bare.parse() {
            Ok(number) => Self::Number(number),
            Err(_) if parts.len() == 3 && parts.iter().all(is_number) => Self::Semantic(bare.to_owned()),
            Err(_) => Self::Alias(text.to_owned()),
        }
    }
}

/// Reads a request. `find` returns the number of a version that is named by a text.
pub(crate) fn plan_of_request(
    request: &Json,
    find: &dyn Fn(&VersionName, &str) -> Result<u32, OperationError>,
) -> Result<Plan, OperationError> {
    let mut plan = with_underscores(request);
    if let Json::Object(fields) = &mut plan
        && fields.contains_key("variants")
    {
        fields.entry("strategy").or_insert_with(|| "ab".into());
    }
    for (pointer, field) in [
        ("/version", "version"),
        ("/variants/control/model_version", "variants.control.model_version"),
        ("/variants/treatment/model_version", "variants.treatment.model_version"),
    ] {
        if let Some(Json::String(text)) = plan.pointer(pointer) {
            let number = find(&VersionName::parse(text), field)?;
            if let Some(place) = plan.pointer_mut(pointer) {
                *place = number.into();
            }
        }
    }
    Ok(Plan::parse(&plan)?)
}

/// Returns the error of a version that the model does not have.
pub(crate) fn unknown(field: &str, model: &str, name: &VersionName) -> PlanError {
    let problem = match name {
        VersionName::Number(number) => format!("model `{model}` has no version {number}"),
        VersionName::Semantic(text) => format!("no version of model `{model}` has the semantic version {text}"),
        VersionName::Alias(text) => {
            let text = stagewright_text::Untrusted::new(text).cut(60);
            format!("`{text}` is neither a version nor an alias of model `{model}`")
        }
    };
    PlanError::new(field, problem, format!("`stagewright models show {model}` lists its versions"))
}

/// Returns JSON with `_` for every `-` in the names of fields.
fn with_underscores(json: &Json) -> Json {
    match json {
        Json::Object(fields) => {
            let field = |(name, value): (&String, &Json)| (name.replace('-', "_"), with_underscores(value));
            Json::Object(fields.iter().map(field).collect::<Map<_, _>>())
        }
        Json::Array(items) => Json::Array(items.iter().map(with_underscores).collect()),
        other => other.clone(),
    }
}
