//! What a report says, before it is a page or a Markdown file.
//!
//! A report that people read in both forms is put together once, of these blocks, and written twice, so that the two say
//! the same. Everything here may come from others: the writers make it printable, cut it and escape it.

mod html;
mod markdown;

use crate::figure::Figure;
use crate::gates::Verdict;
use crate::text::aligned;

/// A report.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// Its name.
    pub(super) title: String,
    /// What to know before anything else.
    pub(super) lead: Line,
    /// The rest.
    pub(super) sections: Vec<Section>,
}

/// A part with a heading.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    /// The heading.
    pub(super) title: String,
    /// Below it.
    pub(super) blocks: Vec<Block>,
}

impl Section {
    pub(super) fn new(title: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self { title: title.into(), blocks }
    }
}

/// A piece of a section.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    /// A heading within the section.
    Heading(String),
    /// A sentence or more.
    Paragraph(Line),
    /// Sentences with bullets.
    List(Vec<Line>),
    /// Names and what they are.
    Facts(Vec<(String, Line)>),
    /// Rows under columns.
    Table(Grid),
    /// Drawings. Markdown only says what they show.
    Figures(Vec<Figure>),
    /// A line to type.
    Command(String),
}

impl Block {
    /// A sentence that says that there is nothing.
    pub(super) fn nothing(sentence: &str) -> Self {
        Self::Paragraph(vec![Piece::Muted(sentence.to_owned())])
    }
}

/// A table: every row has as many cells as there are columns, and its first names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Grid {
    /// The head, and whether the column holds numbers.
    pub(super) columns: Vec<(String, bool)>,
    /// The cells, row by row.
    pub(super) rows: Vec<Vec<Line>>,
}

impl Grid {
    /// A table of text; a `#` before a column's name says that it holds numbers.
    pub(super) fn new(columns: &[&str], rows: Vec<Vec<Line>>) -> Self {
        let column = |name: &&str| (name.trim_start_matches('#').to_owned(), name.starts_with('#'));
        Self { columns: columns.iter().map(column).collect(), rows }
    }
}

/// Text in one line, of pieces that stand beside each other as they are: spaces are theirs.
pub(super) type Line = Vec<Piece>;

/// A run of text in one look.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// A sentence, or a part of it.
    Text(String),
    /// What counts.
    Strong(String),
    /// What counts less.
    Muted(String),
    /// A name that programs know.
    Code(String),
    /// A digest in full.
    Digest(String),
    /// Text whose digests are cut to their beginning; a page shows them in full to whoever points there.
    Abbreviated(String),
    /// A finding, told apart by its words as well as by its colour.
    Badge(Tone, String),
    /// The rest stands below.
    Break,
}

/// Whether a finding is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It is.
    Good,
    /// It is not.
    Bad,
    /// Neither.
    Neutral,
}

impl Piece {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A passed or failed mark.
    pub(super) fn mark(good: bool, yes: &str, no: &str) -> Self {
        if good { Self::Badge(Tone::Good, format!("✓ {yes}")) } else { Self::Badge(Tone::Bad, format!("✗ {no}")) }
    }

    /// A verdict's mark.
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

/// Nothing to show.
pub(super) fn dash() -> Line {
    Piece::Muted("–".to_owned()).into()
}

/// Text, or a dash for none.
pub(super) fn text_or_dash(text: Option<&str>) -> Line {
    text.filter(|text| !text.is_empty()).map_or_else(dash, |text| Piece::text(text).into())
}

/// A number, or a dash for none.
pub(super) fn number_or_dash(value: Option<f64>) -> Line {
    value.map_or_else(dash, |value| Piece::text(aligned(value)).into())
}

/// A number with its sign.
pub(super) fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", aligned(value)) } else { aligned(value) }
}

/// A share in per cent, with its sign.
pub(super) fn signed_percent(percent: f64) -> String {
    format!("{percent:+.2} %")
}
