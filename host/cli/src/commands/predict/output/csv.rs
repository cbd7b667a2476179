//! Predictions as CSV: the kept columns, then the prediction.

use stagewright_data::{KeptValues, Task};
use stagewright_text::Untrusted;

use super::piece::{Piece, PredictionWriter, Unseen, best, classes, header, width};
use super::text::{TextOutput, append_number};

/// Writes CSV.
pub(super) struct CsvWriter {
    output: TextOutput,
    task: Task,
    /// The header line, until it is written: with the first rows, so that a fault before them
    /// leaves no output.
    header: Option<String>,
    /// The cells of the labels, by class.
    labels: Vec<String>,
    text: String,
}

impl CsvWriter {
    pub(super) fn new(output: TextOutput, keep: &[String], task: &Task) -> Self {
        let mut first = String::new();
        keep.iter().for_each(|name| {
            append_cell(&mut first, name);
            first.push(',');
        });
        first.push_str(header(task));
        first.push('\n');
        // CSV may be read on a terminal, so the label is escaped; in JSON it is as it is.
        let label = |class: &str| {
            let mut cell = String::new();
            append_cell(&mut cell, &Untrusted::new(class).to_string());
            cell
        };
        let labels = classes(task).into_iter().map(label).collect();
        Self { output, task: task.clone(), header: Some(first), labels, text: String::new() }
    }
}

impl PredictionWriter for CsvWriter {
    fn write(&mut self, piece: &Piece<'_>) -> anyhow::Result<()> {
        let text = &mut self.text;
        text.clear();
        text.push_str(&self.header.take().unwrap_or_default());
        for (row, numbers) in piece.numbers.chunks(width(&self.task)).enumerate() {
            for column in &piece.kept {
                append_value(text, &column.values, row);
                text.push(',');
            }
            let (class, number) = best(&self.task, numbers);
            if let Some(label) = self.labels.get(class) {
                text.push_str(label);
                text.push(',');
            }
            append_number(text, number);
            text.push('\n');
        }
        self.output.write(text)
    }

    fn finish(mut self: Box<Self>, _: Option<Unseen<'_>>) -> anyhow::Result<()> {
        if let Some(header) = self.header.take() {
            self.output.write(&header)?;
        }
        self.output.finish()
    }
}

fn append_value(text: &mut String, values: &KeptValues, row: usize) {
    values.with_text(row, |cell| append_cell(text, cell));
}

/// Appends a cell of CSV, in quotes if needed (RFC 4180).
fn append_cell(text: &mut String, cell: &str) {
    if !cell.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r')) {
        return text.push_str(cell);
    }
    text.push('"');
    text.push_str(&cell.replace('"', "\"\""));
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_if_it_must_be() {
        for (cell, expected) in
            [("a b", "a b"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\""), ("two\nlines", "\"two\nlines\"")]
        {
            let mut text = String::new();
            append_cell(&mut text, cell);
            assert_eq!(text, expected);
        }
    }
}
