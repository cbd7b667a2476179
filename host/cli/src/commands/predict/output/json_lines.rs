//! Predictions as JSON Lines: an object for each row.

use stagewright_data::Task;

use super::json_row::JsonRow;
use super::piece::{Piece, PredictionWriter, Unseen, width};
use super::text::TextOutput;

/// Writes JSON Lines.
pub(super) struct JsonLinesWriter {
    output: TextOutput,
    task: Task,
    lines: String,
}

impl JsonLinesWriter {
    pub(super) fn new(output: TextOutput, task: &Task) -> Self {
        Self { output, task: task.clone(), lines: String::new() }
    }
}

impl PredictionWriter for JsonLinesWriter {
    fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()> {
        self.lines.clear();
        for (row, numbers) in piece.numbers.chunks(width(&self.task)).enumerate() {
            let members = JsonRow { piece, row, task: &self.task, numbers }.members()?;
            for (place, member) in members.iter().enumerate() {
                self.lines.push(if place == 0 { '{' } else { ',' });
                member.append(&mut self.lines)?;
            }
            self.lines.push_str("}\n");
        }
        self.output.write(&stagewright_text::json(&self.lines))
    }

    fn finish(self: Box<Self>, _: Option<Unseen<'_>>) -> anyhow::Result<()> {
        self.output.finish()
    }
}
