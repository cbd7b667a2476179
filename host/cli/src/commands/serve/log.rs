//! The prediction logs of a server, as its file asks for them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use stagewright_manifest::ServedModelSection;
use stagewright_serving::{LogPolicy, Metrics, ModelLog, OfferedVersion, PredictionLog};

use super::origins::serving_folder;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The prediction logs of a server. Dropping this writes what waits.
#[derive(Default)]
pub(super) struct Logs {
    models: HashMap<String, Arc<ModelLog>>,
    _log: Option<PredictionLog>,
}

impl Logs {
    /// Starts the logs that the server's file asks for. They are in the home.
    ///
    /// # Errors
    /// A folder or the key of masked columns cannot be written.
    pub(super) fn start<'a>(
        home: &Path,
        sections: impl Iterator<Item = &'a ServedModelSection>,
        metrics: &Metrics,
    ) -> anyhow::Result<Self> {
        let wanted: Vec<_> = sections.filter_map(|section| Some((section, section.log.as_ref()?))).collect();
        if wanted.is_empty() {
            return Ok(Self::default());
        }
        let serving = serving_folder(home);
        let log = PredictionLog::start(&serving)?;
        let of_model = |section: &ServedModelSection, policy: LogPolicy| {
            let name = &section.name;
            let model = log.of_model(name, policy, metrics.of_prediction_log(name)).map_err(|reason| {
                UsageError::error(
                    ErrorCode::FileUnwritable,
                    format!("predictions of `{name}` cannot be logged in `{}`: {reason}", serving.display()),
                    format!("make the folder writable, or remove `log` from [models.{name}]"),
                )
            })?;
            anyhow::Ok((name.clone(), Arc::new(model)))
        };
        let models = wanted.into_iter().map(|(section, asked)| of_model(section, asked.into()));
        let models = models.collect::<anyhow::Result<_>>()?;
        Ok(Self { models, _log: Some(log) })
    }

    /// Returns the log of a model.
    pub(super) fn of(&self, model: &str) -> Option<Arc<ModelLog>> {
        self.models.get(model).cloned()
    }
}

/// Checks that a version has the columns that its log names.
///
/// # Errors
/// It lacks one, so that the name is a mistake of the server's file.
pub(super) fn check(log: &ModelLog, model: &str, offered: &OfferedVersion) -> anyhow::Result<()> {
    let OfferedVersion { version, contents, .. } = offered;
    match log.policy().problem(&contents.signature) {
        None => Ok(()),
        Some(problem) => Err(UsageError::error(
            ErrorCode::NoColumn,
            format!("[models.{model}] of the server's file: {problem}"),
            format!("`stagewright models card {model}/{version}` lists the columns with their roles"),
        )),
    }
}

/// Tells of columns that a log names and a version lacks. A version that comes while the server
/// runs is served all the same: it may have lost a column on purpose, and what it lacks is not
/// logged.
pub(super) fn warn(log: &ModelLog, model: &str, offered: &OfferedVersion) {
    let signature = &offered.contents.signature;
    if let Some(problem) = log.policy().problem(signature) {
        let rest = if log.policy().covers(signature) { "" } else { "; none of its columns is logged" };
        tracing::warn!("model `{model}` version {}: {problem}{rest}", offered.version);
    }
}
