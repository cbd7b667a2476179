//! Checks the form of comments and documents: widths, first words, table cells, and that every link
//! inside the repository leads somewhere.
//!
//! It does not judge whether a sentence is clear.

mod comments;
mod markdown;
mod places;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::steps::Result;
use crate::workspace;

use markdown::Document;

/// The page from which every other page of `docs/` must be reached.
const FRONT_PAGE: &str = "docs/README.md";

/// The document that says where to look, and the marks around that section.
const ARCHITECTURE: &str = "ARCHITECTURE.md";
const ANSWERS: (&str, &str) = ("<!-- where: begin -->", "<!-- where: end -->");

/// The extensions of files with comments, and the beginnings of a comment. A longer beginning
/// precedes its prefix.
const LANGUAGES: [(&str, &[&str]); 4] =
    [("rs", &["///", "//!", "//"]), ("wit", &["///", "//"]), ("toml", &["#"]), ("py", &["#"])];

/// Checks everything and reports all problems together.
pub(crate) fn prose() -> Result<()> {
    match (form(), links()) {
        (Err(form), Err(links)) => Err(format!("{form}\n{links}")),
        (form, links) => form.and(links),
    }
}

/// Checks the form of comments and documents.
pub(crate) fn form() -> Result<()> {
    let mut wrong = Vec::new();
    for file in workspace::files()? {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let Some((_, marks)) = LANGUAGES.iter().find(|(language, _)| *language == extension) else { continue };
        wrong.extend(at_lines(&file, comments::wrong(&read(&file)?, marks)));
    }
    for (file, document) in documents()? {
        wrong.extend(at_lines(&file, document.wrong()));
    }
    report(wrong)
}

/// Checks that links and paths lead to files and headings, that ARCHITECTURE.md says where to look,
/// and that every page of `docs/` is reached.
pub(crate) fn links() -> Result<()> {
    let documents = documents()?;
    let exists = |path: &Path| workspace::root().join(path).exists();
    let mut wrong = dead_links(&documents, &exists);
    wrong.extend(places::lost_paths(&documents, &exists));
    let text = read(Path::new(ARCHITECTURE))?;
    let answers = text.split_once(ANSWERS.0).and_then(|(_, rest)| Some(rest.split_once(ANSWERS.1)?.0));
    let sources = |file: &str| fs::read_to_string(workspace::root().join(file)).ok();
    wrong.extend(places::lost_answers(answers.unwrap_or_default(), &sources));
    wrong.extend(unreached(&documents));
    report(wrong)
}

fn report(wrong: Vec<String>) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!("{}\nin {} places", wrong.join("\n"), wrong.len()))
}

fn at_lines(file: &Path, wrong: Vec<(usize, String)>) -> impl Iterator<Item = String> {
    let file = file.display().to_string();
    wrong.into_iter().map(move |(line, message)| format!("{file}:{line}: {message}"))
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(workspace::root().join(file)).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// Returns all Markdown documents of the repository.
fn documents() -> Result<BTreeMap<PathBuf, Document>> {
    let files = workspace::files()?.into_iter().filter(|file| is_markdown(file));
    files.map(|file| Ok((file.clone(), Document::read(&read(&file)?)))).collect()
}

fn is_markdown(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "md")
}

/// Returns the file and the heading that a link leads to.
fn target(from: &Path, link: &str) -> (PathBuf, Option<String>) {
    let (path, heading) = link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading.to_owned())));
    if path.is_empty() {
        return (from.to_owned(), heading);
    }
    let mut target = from.parent().unwrap_or(Path::new("")).to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::ParentDir if target.pop() => {}
            Component::CurDir => {}
            other => target.push(other),
        }
    }
    (target, heading)
}

/// Returns the links that lead to no file or no heading.
fn dead_links(documents: &BTreeMap<PathBuf, Document>, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut dead = Vec::new();
    for (file, document) in documents {
        for link in document.links() {
            let (path, heading) = target(file, &link.target);
            let shown = format!("{}:{}: `{}` leads to no", file.display(), link.line, link.target);
            if !exists(&path) {
                dead.push(format!("{shown} file"));
            } else if let (Some(heading), Some(document)) = (heading, documents.get(&path))
                && !document.anchors.contains(&heading)
            {
                dead.push(format!("{shown} heading"));
            }
        }
    }
    dead
}

/// Returns the pages of `docs/` that cannot be reached by links from the front page.
fn unreached(documents: &BTreeMap<PathBuf, Document>) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![PathBuf::from(FRONT_PAGE)];
    while let Some(file) = waiting.pop() {
        if let Some(document) = documents.get(&file)
            && reached.insert(file.clone())
        {
            waiting.extend(document.links().iter().map(|link| target(&file, &link.target).0));
        }
    }
    let pages = documents.keys().filter(|file| file.starts_with("docs") && !reached.contains(*file));
    pages.map(|file| format!("{}: no link leads here from {FRONT_PAGE}", file.display())).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};

    use super::markdown::Document;
    use super::{dead_links, unreached};

    fn documents(files: &[(&str, &str)]) -> BTreeMap<PathBuf, Document> {
        files.iter().map(|(name, text)| (PathBuf::from(name), Document::read(text))).collect()
    }

    #[test]
    fn a_link_leads_to_a_file_and_a_heading_that_exist() {
        let documents = documents(&[
            ("README.md", "[a](docs/a.md#one) [b](docs/b.md) [c](docs/a.md#two) [d](host) [e](#none)"),
            ("docs/a.md", "# One\n[back](../README.md) [source](../host/cli/src/main.rs#L1) [self](#one)"),
        ]);
        let there = ["README.md", "docs/a.md", "host", "host/cli/src/main.rs"];
        let dead = dead_links(&documents, &|path| there.iter().any(|file| Path::new(file) == path));
        let expected = [
            "README.md:1: `docs/b.md` leads to no file",
            "README.md:1: `docs/a.md#two` leads to no heading",
            "README.md:1: `#none` leads to no heading",
        ];
        assert_eq!(dead, expected);
    }

    #[test]
    fn every_page_is_reached_from_the_front_page() {
        let documents = documents(&[
            ("README.md", "[lost](docs/lost.md)"),
            ("docs/README.md", "[a](a.md)"),
            ("docs/a.md", "[b](deep/b.md#x)"),
            ("docs/deep/b.md", "[front](../README.md)"),
            ("docs/lost.md", "[a](a.md)"),
        ]);
        assert_eq!(unreached(&documents), ["docs/lost.md: no link leads here from docs/README.md"]);
    }
}
