//! `[split]`: which rows are for training, validation and test.

use std::path::PathBuf;

use serde::Serialize;
use stagewright_data::SplitMethod;

use crate::reader::Section;
use crate::task::TaskDraft;

/// `[split]`: how the host splits the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SplitSection {
    /// How rows are chosen.
    pub method: SplitMethod,
    /// The share of rows for the test; above 0, below 1.
    pub test: f64,
    /// The share of the remaining rows for early stopping; at least 0, below 1.
    pub validation: f64,
    /// The seed of the hash. It is not the run's seed: runs with other seeds are measured on the
    /// same rows.
    pub seed: u64,
    /// A file with a split that was made elsewhere. The other settings then have no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
}

impl Default for SplitSection {
    /// Returns a split by hash: 20 % for the test, 10 % of the rest for validation, seed 0.
    fn default() -> Self {
        Self { method: SplitMethod::Hash, test: 0.2, validation: 0.1, seed: 0, file: None }
    }
}

impl SplitSection {
    pub(crate) fn read(section: Section<'_>, task: &TaskDraft) -> Self {
        let mut split = Self::default();
        let methods = [("hash", SplitMethod::Hash), ("stratified", SplitMethod::Stratified)];
        if let Some(item) = section.get("method") {
            split.method = item.choice(&methods).unwrap_or(split.method);
            if split.method == SplitMethod::Stratified && task.is_regression() {
                let message = "a stratified split needs classes, and the task is a regression".to_owned();
                item.report_value(message, Some("use `hash`".to_owned()));
            }
        }
        let share = section.get("test").and_then(|it| it.float_within("above 0 and below 1", |x| x > 0.0 && x < 1.0));
        split.test = share.unwrap_or(split.test);
        let share =
            section.get("validation").and_then(|it| it.float_within("from 0 to below 1", |x| (0.0..1.0).contains(&x)));
        split.validation = share.unwrap_or(split.validation);
        split.seed = section.get("seed").and_then(|it| it.integer(0, u64::MAX)).unwrap_or(split.seed);
        split.file = section.get("file").and_then(|item| item.path());
        section.finish();
        split
    }
}
