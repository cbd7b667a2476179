//! Finds the version that an argument names, and reads its contents.

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{Home, ModelVersion};

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Returns the version of `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
pub(crate) fn find_version(home: &Home, model: &str, default_alias: &str) -> anyhow::Result<ModelVersion> {
    if let Some((name, version)) = model.split_once('/') {
        let version = version.parse().map_err(|_| {
            UsageError::error(
                ErrorCode::Argument,
                format!("`{version}` is not a version"),
                "versions are numbers: churn-classifier/3",
            )
        })?;
        return Ok(home.registry.version(name, version)?);
    }
    let (name, alias) = model.split_once('@').unwrap_or((model, default_alias));
    // MLflow's clients have `latest` too, and `v3` for version 3.
    if alias == "latest" {
        return Ok(home.registry.version(name, home.registry.model(name)?.latest_version)?);
    }
    if let Some(version) = alias.strip_prefix('v').and_then(|version| version.parse().ok()) {
        return Ok(home.registry.version(name, version)?);
    }
    // An unknown model is reported as such, and not as a missing alias.
    home.registry.model(name)?;
    let version = home.registry.alias(name, alias)?;
    let version = version.ok_or_else(|| {
        UsageError::error(
            ErrorCode::NoAlias,
            format!("model `{name}` has no alias `{alias}`"),
            format!("`stagewright models show {name}` lists its versions; name one as {name}/VERSION"),
        )
    })?;
    Ok(home.registry.version(name, version)?)
}

/// Splits `NAME/VERSION`; `None` if the argument has no version.
pub(crate) fn numbered(model: &str) -> anyhow::Result<Option<(&str, u32)>> {
    let Some((name, version)) = model.split_once('/') else { return Ok(None) };
    let version = version.parse().map_err(|_| {
        UsageError::error(
            ErrorCode::Argument,
            format!("`{version}` is not a version"),
            "versions are numbers: churn-classifier/3",
        )
    })?;
    Ok(Some((name, version)))
}

/// Returns the contents of a version, as they were registered.
pub(crate) fn contents(version: &ModelVersion) -> anyhow::Result<RegisteredModel> {
    version.check_runnable()?;
    serde_json::from_value(version.contents.clone()).map_err(|reason| {
        anyhow::anyhow!("version {} of model `{}` cannot be read: {reason}", version.version, version.model)
    })
}
