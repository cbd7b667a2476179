//! Every test that a document names exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Collects all function names and all file paths of the sources.
fn sources(folder: &Path, functions: &mut BTreeSet<String>, files: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if !["target", ".git", "corpus"].iter().any(|skipped| name == *skipped) {
                sources(&path, functions, files);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("text");
            // The hostile suite's rows come from a list of names.
            let is_list = path.to_string_lossy().contains("tests/hostile/");
            let named = text.split("fn ").skip(1).chain(text.split('"').filter(|_| is_list));
            functions.extend(named.map(identifier));
            files.insert(path.strip_prefix(root()).expect("inside").to_owned());
        }
    }
}

/// Returns the identifier at the start of a text.
fn identifier(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// Returns the texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_a_document_names_exists() {
    let (mut functions, mut files) = (BTreeSet::new(), BTreeSet::new());
    sources(&root(), &mut functions, &mut files);
    let mut missing = Vec::new();
    let mut named = 0;
    for document in ["SECURITY.md", "ARCHITECTURE.md", "docs/hostile.md"] {
        let text = std::fs::read_to_string(root().join(document)).expect("a document");
        for line in text.lines() {
            for word in quoted(line) {
                let name = word.rsplit("::").next().unwrap_or(word);
                // Names of at least four words are tests. Keys and fields are shorter.
                let is_sentence = name.matches('_').count() >= 3
                    && name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_');
                if is_sentence {
                    named += 1;
                    if !functions.contains(name) {
                        missing.push(format!("{document}: {word}"));
                    }
                }
            }
            for path in line.split(['(', ')', ' ', ',', ';', '`', '|']).filter(|word| word.ends_with(".rs")) {
                // A file is named by its path from the root or by its name.
                let is_there = files.iter().any(|file| file.ends_with(path));
                if !is_there {
                    missing.push(format!("{document}: {path}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "named and not there:\n{}", missing.join("\n"));
    assert!(named > 150, "only {named} tests were found to be named");
}
