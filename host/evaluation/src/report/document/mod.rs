//! The contents of a report, before it becomes HTML or Markdown.
//!
//! A report that exists in both forms is composed once, of these blocks, and written twice, so that
//! both say the same. Any text may be untrusted: the writers make it printable, cut it and escape
//! it.

mod html;
mod markdown;

use crate::figure::Figure;
use crate::gates::Verdict;
use crate::text::aligned;

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// The title.
    pub(super) title: String,
    /// The introduction.
    pub(super) lead: Line,
    /// The sections.
    pub(super) sections: Vec<Section>,
}

/// A section with a heading.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    /// The heading.
    pub(super) title: String,
    /// The contents.
    pub(super) blocks: Vec<Block>,
}

impl Section {
    pub(super) fn new(title: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self { title: title.into(), blocks }
    }
}

/// A block of a section.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    /// A heading within the section.
    Heading(String),
    /// A paragraph.
    Paragraph(Line),
    /// A bullet list.
    List(Vec<Line>),
    /// Names and values.
    Facts(Vec<(String, Line)>),
    /// A table.
    Table(Grid),
    /// Figures. Markdown only describes them.
    Figures(Vec<Figure>),
    /// A command line.
    Command(String),
}

impl Block {
    /// Returns a sentence that says that there is nothing.
    pub(super) fn nothing(sentence: &str) -> Self {
        Self::Paragraph(vec![Piece::Muted(sentence.to_owned())])
    }
}

/// A table. Every row has as many cells as there are columns; the first cell names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    /// The header, and whether each column holds numbers.
    pub(super) columns: Vec<(String, bool)>,
    /// The cells, row by row.
    pub(super) rows: Vec<Vec<Line>>,
}

impl Grid {
    /// Returns a table; a `#` before a column's name marks a column of numbers.
    pub(super) fn new(columns: &[&str], rows: Vec<Vec<Line>>) -> Self {
        let column = |name: &&str| (name.trim_start_matches('#').to_owned(), name.starts_with('#'));
        Self { columns: columns.iter().map(column).collect(), rows }
    }
}

/// One line of text. The pieces follow each other without added spaces.
pub(super) type Line = Vec<Piece>;

/// A run of text in one style.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Plain text.
    Text(String),
    /// Emphasised text.
    Strong(String),
    /// Text of less importance.
    Muted(String),
    /// A name that programs know.
    Code(String),
    /// A digest in full.
    Digest(String),
    /// Text whose digests are abbreviated. A page shows them in full on hover.
    Abbreviated(String),
    /// A badge, which differs in its words as well as in its colour.
    Badge(Tone, String),
    /// A line break.
    Break,
}

/// The tone of a badge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Good.
    Good,
    /// Bad.
    Bad,
    /// Neutral.
    Neutral,
}

impl Piece {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Returns a passed or failed mark.
    pub(super) fn mark(good: bool, yes: &str, no: &str) -> Self {
        if good { Self::Badge(Tone::Good, format!("✓ {yes}")) } else { Self::Badge(Tone::Bad, format!("✗ {no}")) }
    }

    /// Returns the mark of a verdict.
    pub(super) fn verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Approved => Self::mark(true, verdict.name(), ""),
            Verdict::Rejected => Self::mark(false, "", verdict.name()),
            Verdict::Undecided => Self::Badge(Tone::Neutral, format!("? {}", verdict.name())),
        }
    }
}

impl From<Piece> for Line {
    fn from(piece: Piece) -> Self {
        vec![piece]
    }
}

/// Returns a dash, for a missing value.
pub(super) fn dash() -> Line {
    Piece::Muted("–".to_owned()).into()
}

/// Returns text, or a dash for none.
pub(super) fn text_or_dash(text: Option<&str>) -> Line {
    text.filter(|text| !text.is_empty()).map_or_else(dash, |text| Piece::text(text).into())
}

/// Returns a number, or a dash for none.
pub(super) fn number_or_dash(value: Option<f64>) -> Line {
    value.map_or_else(dash, |value| Piece::text(aligned(value)).into())
}

/// Returns a number with its sign.
pub(super) fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", aligned(value)) } else { aligned(value) }
}

/// Returns a percentage with its sign.
pub(super) fn signed_percent(percent: f64) -> String {
    format!("{percent:+.2} %")
}
