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
            let mut members = JsonRow { piece, row, task: &self.task, numbers }.members()?;
            members.sort_by(|a, b| a.name.cmp(&b.name));
            text.push_str(if self.is_first { "\n    {" } else { ",\n    {" });
            for (place, member) in members.iter().enumerate() {
                text.push_str(if place == 0 { "\n      " } else { ",\n      " });
                text.push_str(&serde_json::to_string(&member.name)?);
                text.push_str(": ");
                append_pretty(&mut text, &member.value, 6);
            }
            text.push_str("\n    }");
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

/// Appends a JSON text without spaces as indented text, within so many spaces. Numbers keep their
/// digits.
fn append_pretty(text: &mut String, json: &str, spaces: usize) {
    let new_line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.push_str(&" ".repeat(spaces + 2 * depth));
    };
    let (mut depth, mut rest) = (0_usize, json);
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' { string_length(rest) } else { first.len_utf8() };
        let (token, more) = rest.split_at(length);
        match first {
            '}' | ']' if !text.ends_with(['{', '[']) => {
                depth = depth.saturating_sub(1);
                new_line(text, depth);
                text.push_str(token);
            }
            '{' | '[' if !more.starts_with(['}', ']']) => {
                text.push_str(token);
                depth += 1;
                new_line(text, depth);
            }
            ',' => {
                text.push_str(token);
                new_line(text, depth);
            }
            ':' => text.push_str(": "),
            _ => text.push_str(token),
        }
        rest = more;
    }
}

/// Returns the length of the string that a JSON text begins with.
fn string_length(json: &str) -> usize {
    let mut is_escaped = false;
    let end = json.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_indented_as_serde_json_indents_it() {
        for json in [
            "1",
            "\"a{,\\\"é]\\\\\"",
            "[]",
            "{}",
            "[1,[],{},[2,{\"a\":[],\"b:\":\"},\"}]]",
            "{\"a\":{\"b\":null},\"c\":[true]}",
        ] {
            let mut text = String::new();
            append_pretty(&mut text, json, 6);
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(text, indented(&value, 6).unwrap());
        }
        let mut text = String::new();
        append_pretty(&mut text, "[1.50]", 0);
        assert_eq!(text, "[\n  1.50\n]");
    }
}
