//! The table of invariants in ARCHITECTURE.md, made from annotations at the tests.
//!
//! An annotation is a comment `// invariant: SENTENCE` above a test, above an entry of a suite's
//! list, or, with an empty line after it, in the head of a file whose tests hold it together. More
//! tests of the same promise say `` // invariant: as `name_of_the_first` ``. A test of two promises
//! has two annotations.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::steps::Result;
use crate::workspace;

const DOCUMENT: &str = "ARCHITECTURE.md";
const BEGIN: &str = "<!-- invariants: begin -->";
const END: &str = "<!-- invariants: end -->";
const MARK: &str = "// invariant: ";

/// A comment at a test.
#[derive(Debug, PartialEq, Eq)]
struct Annotation {
    /// The promise, or ``as `name` ``.
    text: String,
    /// The test's name, or the file's path.
    name: String,
    file: PathBuf,
    line: usize,
}

/// Rewrites the table.
pub(crate) fn write() -> Result<()> {
    let (before, _, after) = document()?;
    let path = workspace::root().join(DOCUMENT);
    fs::write(&path, format!("{before}{}{after}", table()?))
        .map_err(|error| format!("cannot write {DOCUMENT}: {error}"))
}

/// Checks that the table matches the annotations.
pub(crate) fn check() -> Result<()> {
    let (_, there, _) = document()?;
    if there == table()? {
        return Ok(());
    }
    Err(format!("the invariants in {DOCUMENT} are not those of the tests; run `cargo xtask invariants`"))
}

/// Splits the document into the text before the table, the table, and the rest.
fn document() -> Result<(String, String, String)> {
    let text = fs::read_to_string(workspace::root().join(DOCUMENT))
        .map_err(|error| format!("cannot read {DOCUMENT}: {error}"))?;
    let begin = text.find(BEGIN).map(|at| at + BEGIN.len());
    let parts = begin.and_then(|begin| Some((begin, text.find(END).filter(|end| *end >= begin)?)));
    let (begin, end) = parts.ok_or_else(|| format!("{DOCUMENT} lacks `{BEGIN}` or `{END}`"))?;
    Ok((text[..begin].to_owned(), text[begin..end].to_owned(), text[end..].to_owned()))
}

/// Returns the table of the annotations in all source files.
fn table() -> Result<String> {
    let files = workspace::files()?;
    let packages: Vec<&Path> =
        files.iter().filter(|file| file.ends_with("Cargo.toml")).filter_map(|file| file.parent()).collect();
    let mut annotations = Vec::new();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = fs::read_to_string(workspace::root().join(file))
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        annotations.extend(read(file, &text)?);
    }
    let area = |file: &Path| {
        let package = file.ancestors().skip(1).find(|folder| packages.contains(folder));
        package.unwrap_or(Path::new("")).display().to_string()
    };
    rows(&annotations, &area)
}

/// Reads the annotations of a file.
fn read(file: &Path, text: &str) -> Result<Vec<Annotation>> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut annotations = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        at += 1;
        let Some(first) = line.strip_prefix(MARK) else { continue };
        let mut promise = first.to_owned();
        let number = at;
        while let Some(more) =
            lines.get(at).filter(|line| !line.starts_with(MARK)).and_then(|line| line.strip_prefix("// "))
        {
            promise = format!("{promise} {more}");
            at += 1;
        }
        let name = name_of_next(&lines[at..], file)
            .ok_or_else(|| format!("{}:{number}: no test follows this invariant", file.display()))?;
        annotations.push(Annotation { text: promise, name, file: file.to_owned(), line: number });
    }
    Ok(annotations)
}

/// Returns the name of the test or list entry that follows an annotation, or the path of its file.
fn name_of_next(lines: &[&str], file: &Path) -> Option<String> {
    let mut lines = lines.iter();
    let mut line = lines.next()?;
    if line.is_empty() {
        return Some(file.display().to_string());
    }
    loop {
        if line.starts_with('(') {
            return line.split('"').nth(1).map(str::to_owned);
        }
        let between = line.starts_with("#[") || line.starts_with("//");
        if let Some((_, after)) = line.split_once("fn ").filter(|_| !between) {
            return after.split(['(', '<']).next().map(str::to_owned);
        }
        if !between {
            return None;
        }
        line = lines.next()?;
    }
}

/// Returns a table for each package, in the order of the folders.
fn rows(annotations: &[Annotation], area: &dyn Fn(&Path) -> String) -> Result<String> {
    let mut areas: BTreeMap<String, Vec<(&Annotation, Vec<&Annotation>)>> = BTreeMap::new();
    for annotation in annotations.iter().filter(|annotation| named(annotation).is_none()) {
        let rows = areas.entry(area(&annotation.file)).or_default();
        rows.push((annotation, vec![annotation]));
    }
    for annotation in annotations {
        let Some(first) = named(annotation) else { continue };
        let mut found = areas.values_mut().flatten().filter(|(promise, _)| promise.name == first);
        match (found.next(), found.next()) {
            (Some((_, tests)), None) => tests.push(annotation),
            (None, _) => return Err(at(annotation, &format!("no test `{first}` has an invariant"))),
            (Some(_), Some(_)) => return Err(at(annotation, &format!("two tests are named `{first}`"))),
        }
    }
    let mut text = String::from("\n");
    for (area, rows) in areas {
        text.push_str(&format!("\n### {area}\n\n| promise | tests |\n| --- | --- |\n"));
        for (promise, tests) in rows {
            let tests: Vec<String> =
                tests.iter().map(|test| format!("[`{}`]({})", test.name, test.file.display())).collect();
            text.push_str(&format!("| {} | {} |\n", promise.text.replace('|', "\\|"), tests.join(", ")));
        }
    }
    text.push('\n');
    Ok(text)
}

/// Returns the first test of a promise if an annotation refers to it.
fn named(annotation: &Annotation) -> Option<&str> {
    annotation.text.strip_prefix("as `")?.split('`').next()
}

fn at(annotation: &Annotation, message: &str) -> String {
    format!("{}:{}: {message}", annotation.file.display(), annotation.line)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{read, rows};

    fn read_one(text: &str) -> (String, String) {
        let annotations = read(Path::new("a/src/b.rs"), text).unwrap();
        let [annotation] = annotations.as_slice() else { panic!("{annotations:?}") };
        (annotation.text.clone(), annotation.name.clone())
    }

    #[test]
    fn an_annotation_belongs_to_the_test_the_entry_or_the_file_that_follows() {
        let one =
            |text: &str, name: &str| assert_eq!(read_one(text), ("A promise.".to_owned(), name.to_owned()), "{text}");
        one("// invariant: A promise.\n#[test]\nfn it_holds() {}", "it_holds");
        one("    // invariant: A\n    // promise.\n    #[test]\n    pub(crate) fn holds<T>() {}", "holds");
        one("const ROWS: &[Row] = &[\n    // invariant: A promise.\n    (1, \"it_holds\", f),\n];", "it_holds");
        one("//! Doc.\n\n// invariant: A promise.\n\nuse std::fs;", "a/src/b.rs");
        let two = read(Path::new("b.rs"), "// invariant: One.\n// invariant: as `x`\n#[test]\nfn f() {}").unwrap();
        assert_eq!(
            two.iter().map(|it| (it.text.as_str(), it.name.as_str())).collect::<Vec<_>>(),
            [("One.", "f"), ("as `x`", "f")]
        );
    }

    #[test]
    fn an_annotation_at_nothing_is_an_error() {
        for text in ["// invariant: A.\nlet a = 1;", "// invariant: A.", "// invariant: A.\n#[test]"] {
            assert_eq!(read(Path::new("b.rs"), text).unwrap_err(), "b.rs:1: no test follows this invariant");
        }
    }

    #[test]
    fn tests_of_one_promise_share_a_row_of_the_first_ones_area() {
        let mut annotations = read(
            Path::new("a/src/b.rs"),
            "// invariant: One | two.\n#[test]\nfn one() {}\n// invariant: Three.\n#[test]\nfn three() {}",
        )
        .unwrap();
        annotations.extend(read(Path::new("c/d.rs"), "// invariant: as `one`\n#[test]\nfn two() {}").unwrap());
        let area = |file: &Path| file.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let expected = "\n\n### a\n\n| promise | tests |\n| --- | --- |\n\
            | One \\| two. | [`one`](a/src/b.rs), [`two`](c/d.rs) |\n| Three. | [`three`](a/src/b.rs) |\n\n";
        assert_eq!(rows(&annotations, &area).unwrap(), expected);
        let lost = read(Path::new("c/d.rs"), "// invariant: as `four`\nfn two() {}").unwrap();
        assert_eq!(rows(&lost, &area).unwrap_err(), "c/d.rs:1: no test `four` has an invariant");
    }
}
