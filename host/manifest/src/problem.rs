//! Problems of a pipeline file, and how they are shown.
//!
//! Owns [`Problem`], [`ManifestError`] and their locations. It does not decide what is wrong. The
//! binary renders problems in colour (miette's `fancy`); the plain form, for pipes and logs, is
//! here.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

use stagewright_text::{Untrusted, is_hidden};

use crate::document::Origin;

/// The most problems that are listed; the rest is counted. A file with 10,000 bad fields has one
/// mistake.
const MOST_LISTED: usize = 100;

/// The most bytes of a message that are shown. A hint may list every name that exists.
const MOST_SHOWN: usize = 64 << 10;

/// Replaces every character that is not plainly visible by a visible one with as many bytes, so
/// that byte offsets stay valid.
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

/// The text of the file, for citing places in it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The path of the file, as given.
    pub(crate) file: String,
    pub(crate) text: String,
    /// The offset of each line.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(file: String, text: String) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, lines }
    }

    /// Returns line and column, both from 1. The column counts characters.
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

/// The location of a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProblemLocation {
    /// A range of the file.
    File {
        /// The range in bytes.
        span: Range<usize>,
        /// The line of its first byte, from 1.
        line: usize,
        /// The column of its first byte in characters, from 1.
        column: usize,
    },
    /// An argument of the command line, as typed: `--set gates.margin=x`.
    Argument(String),
    /// The file as a whole: it cannot be read.
    Whole,
}

/// The kinds of problems: each has one way to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The file cannot be read as text.
    Unreadable,
    /// The file is not TOML.
    Syntax,
    /// A key does not exist.
    UnknownKey,
    /// A required key is absent.
    MissingKey,
    /// A value has another type than its key.
    WrongType,
    /// A value of the right type is not allowed.
    WrongValue,
    /// An argument that changes the file cannot be applied.
    Override,
    /// A name refers to a component or source that is not declared.
    Undeclared,
    /// The stages do not form a pipeline.
    Wiring,
    /// The operator of the machine does not allow it.
    OperatorBound,
    /// A parameter does not fit the schema of its component.
    Parameter,
    /// The component's schema of parameters cannot be used.
    ParameterSchema,
    /// A component cannot do the task.
    Task,
}

/// One problem, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind of the problem.
    pub condition: Condition,
    /// The code that the problem is shown with, if the program has given it one.
    pub code: Option<String>,
    /// The problem: a lower-case fragment with values in backticks.
    pub message: String,
    /// The fix.
    pub hint: Option<String>,
    /// The dotted path of the key; empty for the file as a whole.
    pub key: String,
    /// The location.
    pub place: ProblemLocation,
}

impl Problem {
    /// Returns the line in the file, from 1, if the problem is in the file.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            ProblemLocation::File { line, .. } => Some(line),
            ProblemLocation::Argument(_) | ProblemLocation::Whole => None,
        }
    }

    /// Escapes the texts. Names in a file or in the schema of a component may contain characters
    /// that move the cursor of a terminal or imitate another line.
    fn escape(&mut self) {
        let escaped = |text: &str| Untrusted::lines(text).cut(MOST_SHOWN).to_string();
        self.message = escaped(&self.message);
        self.hint = self.hint.as_deref().map(escaped);
        if let ProblemLocation::Argument(argument) = &mut self.place {
            *argument = escaped(argument);
        }
    }

    /// Returns the sort key: places in the file in their order, then arguments.
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
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.code.as_ref().map(|code| Box::new(code) as Box<dyn fmt::Display>)
    }

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

/// All problems of a pipeline file, in the order of the file; those of arguments come last.
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
        let mut problem = Problem {
            condition: Condition::Unreadable,
            code: None,
            message,
            hint: Some(hint.to_owned()),
            key: String::new(),
            place: ProblemLocation::Whole,
        };
        problem.escape();
        Self {
            source_code: NamedSource::new(Untrusted::new(&file).to_string(), String::new()),
            problems: vec![problem],
            total: 1,
        }
    }

    /// The same error with a code on each of its problems.
    #[must_use]
    pub fn with_codes(mut self, code: impl Fn(Condition) -> String) -> Self {
        for problem in &mut self.problems {
            problem.code = Some(code(problem.condition));
        }
        self
    }

    /// Returns the problems, at most 100.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Returns the number of problems, listed or not.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Returns the path of the file, as given.
    pub fn file(&self) -> &str {
        self.source_code.name()
    }

    /// Returns the problems as plain text, for pipes and logs: `file:line: message`, after
    /// `error[CODE]: ` if they have codes, each followed by its hint on a line of its own.
    pub fn render(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            if let Some(code) = &problem.code {
                text.push_str(&format!("error[{code}]: "));
            }
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

/// Collects the problems that reading finds.
pub(crate) struct Collector {
    pub(crate) source: Arc<Source>,
    problems: RefCell<Vec<Problem>>,
}

impl Collector {
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self { source, problems: RefCell::default() }
    }

    /// Adds a value that is not allowed.
    pub(crate) fn report(&self, origin: &Origin, key: &str, message: String, hint: Option<String>) {
        self.report_as(Condition::WrongValue, origin, key, message, hint);
    }

    pub(crate) fn report_as(
        &self,
        condition: Condition,
        origin: &Origin,
        key: &str,
        message: String,
        hint: Option<String>,
    ) {
        let place = self.source.place(origin);
        let problem = Problem { condition, code: None, message, hint, key: key.to_owned(), place };
        self.problems.borrow_mut().push(problem);
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
