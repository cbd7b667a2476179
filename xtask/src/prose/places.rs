//! Checks that files and items exist that documents name in code spans.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::markdown::Document;

/// A code span with one of these prefixes is the path of a file or a folder.
const FOLDERS: [&str; 10] =
    ["config/", "deploy/", "docs/", "fuzz/", "host/", "registry/", "stages/", "tests/", "wit/", "xtask/"];

/// The document that names paths of the past.
const HISTORY: &str = "CHANGELOG.md";

/// The questions that ARCHITECTURE.md answers with a file and an item, each a part of its sentence.
const QUESTIONS: [&str; 6] =
    ["batch of a component checked", "verdict made", "limit enforced", "add a metric", "add a source", "add a command"];

/// Returns the paths in code spans that do not exist.
pub(super) fn lost_paths(documents: &BTreeMap<PathBuf, Document>, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut lost = Vec::new();
    for (file, document) in documents.iter().filter(|(file, _)| *file != Path::new(HISTORY)) {
        for (line, span) in document.code_spans() {
            let path = span.split_once(':').map_or(span, |(path, _)| path);
            let is_path = FOLDERS.iter().any(|folder| path.starts_with(folder))
                && path.chars().all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter))
                // A part in capitals is a placeholder.
                && !path.split('/').any(|part| !part.is_empty() && part.chars().all(|letter| letter.is_ascii_uppercase()));
            if is_path && !exists(Path::new(path)) {
                lost.push(format!("{}:{line}: there is no `{path}`", file.display()));
            }
        }
    }
    lost
}

/// Checks the answers of the section "Where to look", a list with one entry per question.
///
/// Every item that an answer names in a code span must be defined in a file that it names.
pub(super) fn lost_answers(section: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let answers: Vec<&str> = section.split("\n- ").skip(1).collect();
    let mut lost = Vec::new();
    for question in QUESTIONS {
        let Some(answer) = answers.iter().find(|answer| answer.contains(question)) else {
            lost.push(format!("`Where to look` does not answer where to look for \"{question}\""));
            continue;
        };
        let spans: Vec<&str> = answer.split('`').skip(1).step_by(2).collect();
        let files: Vec<String> =
            spans.iter().filter(|span| span.ends_with(".rs")).filter_map(|file| read(file)).collect();
        let items = spans.iter().filter(|span| !span.contains(['.', '/']));
        if files.is_empty() {
            lost.push(format!("`Where to look` names no file for \"{question}\""));
        }
        for item in items.filter(|item| !files.iter().any(|text| defines(text, item))) {
            lost.push(format!("`Where to look`, \"{question}\": no file that it names defines `{item}`"));
        }
    }
    lost
}

/// Returns whether a source file defines a function or a type.
fn defines(text: &str, item: &str) -> bool {
    ["fn", "struct", "enum", "trait", "type"].iter().any(|kind| {
        let head = format!("{kind} {item}");
        text.match_indices(&head).any(|(at, _)| {
            let after = text[at + head.len()..].chars().next().unwrap_or(' ');
            !after.is_alphanumeric() && after != '_'
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::super::markdown::Document;
    use super::{QUESTIONS, lost_answers, lost_paths};

    #[test]
    fn a_path_in_a_code_span_exists() {
        let text = "`host/a.rs:12` `host/b.rs` `host/*/c.rs` `run host/d.rs` `hosts/e.rs` `host/NAME/`\n```\n`host/f.rs`\n```\n";
        let documents = BTreeMap::from([(PathBuf::from("a.md"), Document::read(text))]);
        let lost = lost_paths(&documents, &|path| path == Path::new("host/a.rs"));
        assert_eq!(lost, ["a.md:1: there is no `host/b.rs`"]);
    }

    #[test]
    fn every_question_is_answered_by_an_item_in_a_file() {
        let answer = |item: &str| {
            let lines = QUESTIONS.map(|question| format!("\n- **Where is {question}?** `{item}` in\n  `host/a.rs`."));
            lost_answers(&lines.concat(), &|file| (file == "host/a.rs").then(|| "pub fn judge(a: A) {}".to_owned()))
        };
        assert_eq!(answer("judge"), Vec::<String>::new());
        assert_eq!(answer("jud").len(), QUESTIONS.len());
        assert_eq!(lost_answers("\n- nothing", &|_| None).len(), QUESTIONS.len());
    }
}
