//! What is wrong with a pipeline file, and how it is shown.
//!
//! Owns [`Problem`], [`ManifestError`] and the places they cite. It does not decide what is wrong.
//! The colourful rendering is the binary's (miette's `fancy`); the plain one, for pipes and logs,
//! is here.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use stagewright_text::{Untrusted, is_hidden};

use crate::document::Origin;

/// More problems than this are counted, not listed: nobody reads them, and a file of 10,000 bad
/// fields is one mistake.
const MOST_LISTED: usize = 100;

/// Bytes of a message that are shown: a hint may list every name that there is.
const MOST_SHOWN: usize = 64 << 10;

/// A text in which each character that is not plainly visible has a visible one of as many bytes in
/// its place, so that places in it stay what they are.
fn masked(text: &str) -> String {
    let mask = |letter: char| match letter {
        '\n' | '\t' => None,
        '\r' => Some(" "),
        hidden if is_hidden(hidden) => Some(["?", "??", "\u{fffd}", "????"][hidden.len_utf8() - 1]),
        _ => None,
    };
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match mask(letter) {
            Some(mask) => shown.push_str(mask),
            None => shown.push(letter),
        }
    }
    shown
}

/// The file's text, for citing places in it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The file as people know it: the path that was given.
    pub(crate) file: String,
    pub(crate) text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(file: String, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, lines }
    }

    /// Line and column, both from 1; the column counts characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line - 1];
        let column = self.text.get(start..at).map_or(1, |before| before.chars().count() + 1);
        (line, column)
    }

    fn place(&self, origin: &Origin) -> ProblemLocation {
        match origin {
            Origin::File(span) => {
                let (line, column) = self.position(span.start);
                ProblemLocation::File { span: span.clone(), line, column }
            }
            Origin::Argument(text) => ProblemLocation::Argument(text.to_string()),
        }
    }
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemLocation {
    /// In the file.
    File {
        /// The bytes concerned.
        span: Range<usize>,
        /// The line of the first of them, from 1.
        line: usize,
        /// Its column in characters, from 1.
        column: usize,
    },
    /// In an argument of the command line, as typed: `--set gates.margin=x`.
    Argument(String),
    /// The file as a whole: it cannot be read.
    Whole,
}

/// One thing that is wrong, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: a lower-case fragment with values in backticks.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// The dotted path of the key concerned; empty for the file as a whole.
    pub key: String,
    /// Where it is.
    pub place: ProblemLocation,
}

impl Problem {
    /// The line in the file, from 1, if the problem is in the file.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            ProblemLocation::File { line, .. } => Some(line),
            ProblemLocation::Argument(_) | ProblemLocation::Whole => None,
        }
    }

    /// Names in a file, and in the schema of a component, may be made to move a terminal's cursor
    /// or to look like another line.
    fn escape(&mut self) {
        let escaped = |text: &str| Untrusted::lines(text).cut(MOST_SHOWN).to_string();
        self.message = escaped(&self.message);
        self.hint = self.hint.as_deref().map(escaped);
        if let ProblemLocation::Argument(argument) = &mut self.place {
            *argument = escaped(argument);
        }
    }

    /// Places in the file first, in their order; then arguments.
    fn order(&self) -> (u8, usize) {
        match &self.place {
            ProblemLocation::Whole => (0, 0),
            ProblemLocation::File { span, .. } => (1, span.start),
            ProblemLocation::Argument(_) => (2, 0),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            ProblemLocation::Argument(argument) => write!(f, "{argument}: {}", self.message),
            ProblemLocation::File { .. } | ProblemLocation::Whole => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

impl Diagnostic for Problem {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        match &self.place {
            ProblemLocation::File { span, .. } => {
                Some(Box::new(std::iter::once(LabeledSpan::underline(span.start..span.end))))
            }
            ProblemLocation::Argument(_) | ProblemLocation::Whole => None,
        }
    }
}

/// Everything that is wrong with a pipeline file, in the order of the file; what is wrong with
/// arguments comes last.
#[derive(Debug, thiserror::Error)]
#[error("`{}` has {}", .source_code.name(), counted(*.total))]
pub struct ManifestError {
    source_code: NamedSource<String>,
    problems: Vec<Problem>,
    total: usize,
}

fn counted(total: usize) -> String {
    if total == 1 { "a problem".to_owned() } else { format!("{total} problems") }
}

impl ManifestError {
    pub(crate) fn new(source: &Source, mut problems: Vec<Problem>) -> Self {
        for problem in &mut problems {
            problem.escape();
        }
        problems.sort_by_key(Problem::order);
        problems.dedup();
        let total = problems.len();
        problems.truncate(MOST_LISTED);
        let source_code =
            NamedSource::new(Untrusted::new(&source.file).to_string(), masked(&source.text)).with_language("TOML");
        Self { source_code, problems, total }
    }

    pub(crate) fn unreadable(file: String, message: String, hint: &str) -> Self {
        let mut problem =
            Problem { message, hint: Some(hint.to_owned()), key: String::new(), place: ProblemLocation::Whole };
        problem.escape();
        Self {
            source_code: NamedSource::new(Untrusted::new(&file).to_string(), String::new()),
            problems: vec![problem],
            total: 1,
        }
    }

    /// The problems, at most 100 of them.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems there are, listed or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The file, as it was given.
    pub fn file(&self) -> &str {
        self.source_code.name()
    }

    /// The problems as plain text, for pipes and logs: `file:line: message`, each followed by its
    /// hint on a line of its own.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            match &problem.place {
                ProblemLocation::File { line, .. } => text.push_str(&format!("{}:{line}: {problem}\n", self.file())),
                ProblemLocation::Argument(_) => text.push_str(&format!("{problem}\n")),
                ProblemLocation::Whole => text.push_str(&format!("{}: {problem}\n", self.file())),
            }
            if let Some(hint) = &problem.hint {
                text.push_str(&format!("  hint: {hint}\n"));
            }
        }
        if self.total > self.problems.len() {
            text.push_str(&format!("and {} more\n", self.total - self.problems.len()));
        }
        text
    }
}

impl Diagnostic for ManifestError {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source_code)
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems.iter().map(|problem| problem as &dyn Diagnostic)))
    }
}

/// Where the readers of the sections put what they find.
pub(crate) struct Collector {
    pub(crate) source: Arc<Source>,
    problems: RefCell<Vec<Problem>>,
}

impl Collector {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, problems: RefCell::default() }
    }

    pub(crate) fn report(&self, origin: &Origin, key: &str, message: String, hint: Option<String>) {
        let place = self.source.place(origin);
        self.problems.borrow_mut().push(Problem { message, hint, key: key.to_owned(), place });
    }

    /// Adds problems that are not there yet.
    pub(crate) fn add_new(&self, more: Vec<Problem>) {
        let mut problems = self.problems.borrow_mut();
        for problem in more {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.problems.borrow().is_empty()
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}
