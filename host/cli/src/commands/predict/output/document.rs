//! Predictions as one JSON document on standard output, which is printed when it is whole.

use std::path::Path;

use stagewright_data::Task;
use stagewright_store::ModelVersion;

use super::json_row::JsonRow;
use super::piece::{Piece, PredictionWriter, Unseen, unseen_json, width};
use super::spool::Spool;

/// Writes the document: `model`, `predictions`, `unseen`, `version`.
pub(super) struct DocumentWriter {
    spool: Spool,
    task: Task,
    version: u32,
    is_first: bool,
}

impl DocumentWriter {
    /// Begins the document. A long one is kept in a file in `folder` until it is whole.
    pub(super) fn new(folder: &Path, version: &ModelVersion, task: &Task) -> anyhow::Result<Self> {
        let mut spool = Spool::new(folder);
        let model = serde_json::to_string(&version.model)?;
        spool.write(&stagewright_text::json(&format!("{{\n  \"model\": {model},\n  \"predictions\": [")))?;
        Ok(Self { spool, task: task.clone(), version: version.version, is_first: true })
    }
}

impl PredictionWriter for DocumentWriter {
    fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()> {
        let mut text = String::new();
        for (row, numbers) in piece.numbers.chunks(width(&self.task)).enumerate() {
            let row = serde_json::to_value(JsonRow { piece, row, task: &self.task, numbers })?;
            text.push_str(if self.is_first { "\n    " } else { ",\n    " });
            text.push_str(&indented(&row, 4)?);
            self.is_first = false;
        }
        self.spool.write(&stagewright_text::json(&text))
    }

    fn finish(mut self: Box<Self>, unseen: Option<Unseen<'_>>) -> anyhow::Result<()> {
        let close = if self.is_first { "]" } else { "\n  ]" };
        let unseen = indented(&unseen_json(unseen), 2)?;
        let end = format!("{close},\n  \"unseen\": {unseen},\n  \"version\": {}\n}}\n", self.version);
        self.spool.write(&stagewright_text::json(&end))?;
        self.spool.pass_on(crate::output::part)
    }
}

/// Returns a value as indented text, within so many spaces. Texts of JSON have no line breaks.
fn indented(value: &serde_json::Value, spaces: usize) -> serde_json::Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(text.replace('\n', &format!("\n{}", " ".repeat(spaces))))
}
