//! Predictions as JSON Lines: an object for each row.

use stagewright_data::Task;

use super::json_row::JsonRow;
use super::piece::{Piece, PredictionWriter, Unseen, width};
use super::text::TextOutput;

/// Writes JSON Lines.
pub(super) struct JsonLinesWriter {
    output: TextOutput,
    task: Task,
    lines: Vec<u8>,
}

impl JsonLinesWriter {
    pub(super) fn new(output: TextOutput, task: &Task) -> Self {
        Self { output, task: task.clone(), lines: Vec::new() }
    }
}

impl PredictionWriter for JsonLinesWriter {
    fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()> {
        self.lines.clear();
        for (row, numbers) in piece.numbers.chunks(width(&self.task)).enumerate() {
            serde_json::to_writer(&mut self.lines, &JsonRow { piece, row, task: &self.task, numbers })?;
            self.lines.push(b'\n');
        }
        self.output.write(&stagewright_text::json(std::str::from_utf8(&self.lines)?))
    }

    fn finish(self: Box<Self>, _: Option<Unseen<'_>>) -> anyhow::Result<()> {
        self.output.finish()
    }
}
