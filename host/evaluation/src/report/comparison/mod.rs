//! Two or more model versions or runs side by side: how they differ, and whether their metrics can
//! be compared.
//!
//! All others are compared with the first subject. This module knows no registry and no runs: the
//! caller fills subjects with strings and numbers, and missing parts are shown as missing.

mod figures;
mod metrics;
mod rows;
mod subject;

use serde::{Deserialize, Serialize};

pub use metrics::{MetricCell, MetricRow, Standing};
pub use rows::{ComparisonRow, ComparisonSection};
pub use subject::Subject;

use super::document::{Block, Document, Grid, Line, Piece, Section, Tone, dash, signed, signed_percent};
use crate::text::{abbreviated, aligned};

/// Subjects side by side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelComparison {
    /// At least one. The others are compared with the first.
    pub subjects: Vec<Subject>,
}

/// A note about the comparison.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Whether it warns of a wrong conclusion.
    pub warning: bool,
    /// One or two sentences.
    pub text: String,
}

#[derive(Serialize)]
struct ComparisonJson<'a> {
    format: &'static str,
    comparable: bool,
    notes: Vec<Note>,
    metric_rows: Vec<MetricRow>,
    rows: Vec<ComparisonRow>,
    #[serde(flatten)]
    comparison: &'a ModelComparison,
}

impl ModelComparison {
    /// Returns whether all subjects are known to have been measured on the same test rows.
    #[must_use]
    pub fn comparable(&self) -> bool {
        let mut tables = self.subjects.iter().map(Subject::measured_on);
        let first = tables.next().flatten();
        first.is_some() && tables.all(|table| table == first)
    }

    /// Returns the notes: about different or unknown test tables, test rows that a model learnt
    /// from, and common training data.
    #[must_use]
    pub fn notes(&self) -> Vec<Note> {
        let mut notes = Vec::new();
        let measured = self.by_digest(Subject::measured_on);
        if measured.len() > 1 {
            let groups: Vec<String> = measured
                .iter()
                .map(|(digest, titles)| format!("{} on {}", listed(titles), abbreviated(digest)))
                .collect();
            let text = format!(
                "The test tables differ, so the metrics cannot be compared: measured were {}.",
                groups.join("; ")
            );
            notes.push(Note { warning: true, text });
        }
        let unknown: Vec<&str> = self
            .subjects
            .iter()
            .filter(|subject| subject.measured_on().is_none())
            .map(|subject| subject.title.as_str())
            .collect();
        if !unknown.is_empty() {
            let text = format!("It is not known which test table was used for {}.", listed(&unknown));
            notes.push(Note { warning: true, text });
        }
        for subject in &self.subjects {
            let note = |caveat: &String| Note { warning: true, text: format!("{}: {caveat}", subject.title) };
            notes.extend(subject.caveats.iter().map(note));
        }
        for (digest, titles) in self.by_digest(Subject::trained_on).iter().filter(|(_, titles)| titles.len() > 1) {
            let text = format!("Trained on the same data ({}): {}.", abbreviated(digest), listed(titles));
            notes.push(Note { warning: false, text });
        }
        notes
    }

    /// Returns the metrics of all subjects, those that differ first.
    #[must_use]
    pub fn metric_rows(&self) -> Vec<MetricRow> {
        metrics::rows(&self.subjects)
    }

    /// Returns everything that is compared as plain text, by section, rows that differ first.
    /// Digests are abbreviated.
    #[must_use]
    pub fn text_rows(&self) -> Vec<ComparisonRow> {
        let several = self.subjects.len() > 2;
        let mut rows = rows::rows(&self.subjects, ComparisonSection::Facts);
        rows.extend(self.metric_rows().iter().map(|row| row.text(several)));
        for section in ComparisonSection::AFTER_METRICS {
            rows.extend(rows::rows(&self.subjects, section));
        }
        for value in rows.iter_mut().flat_map(|row| row.values.iter_mut()).flatten() {
            *value = abbreviated(value);
        }
        rows
    }

    /// Returns the comparison as JSON text: subjects as given, notes and rows.
    #[must_use]
    pub fn json(&self) -> String {
        super::json::json(&ComparisonJson {
            format: "stagewright-comparison/1",
            comparable: self.comparable(),
            notes: self.notes(),
            metric_rows: self.metric_rows(),
            rows: self.text_rows(),
            comparison: self,
        })
    }

    /// Returns the comparison as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        self.document().html()
    }

    /// Returns the comparison as Markdown; figures are only named.
    #[must_use]
    pub fn markdown(&self) -> String {
        self.document().markdown()
    }

    fn document(&self) -> Document {
        let titles: Vec<&str> = self.titles().collect();
        let mut sections = vec![self.part(ComparisonSection::Facts), self.metrics()];
        sections.extend(ComparisonSection::AFTER_METRICS.into_iter().map(|section| self.part(section)));
        let curves = figures::curves(&self.subjects);
        if !curves.is_empty() {
            sections.insert(2, Section::new("Curves", vec![Block::Figures(curves)]));
        }
        let notes = self.notes().into_iter().map(note).collect();
        sections.insert(0, Section::new("Before you compare", vec![Block::List(notes)]));
        sections.retain(|part| part.blocks.iter().any(|block| *block != Block::List(Vec::new())));
        Document { title: format!("Comparison of {}", listed(&titles)), lead: self.lead(), sections }
    }

    fn lead(&self) -> Line {
        let rows = self.text_rows();
        let differing = rows.iter().filter(|row| row.differs).count();
        let count =
            Piece::text(format!("; {differing} of {} rows differ: they are marked ≠ and come first.", rows.len()));
        let verdict = match (self.comparable(), self.by_digest(Subject::measured_on).len()) {
            (true, _) => Piece::mark(true, "same test table", ""),
            (false, 0 | 1) => Piece::mark(false, "", "test tables not known"),
            (false, _) => Piece::mark(false, "", "different test tables"),
        };
        vec![verdict, count]
    }

    fn metrics(&self) -> Section {
        let several = self.subjects.len() > 2;
        let rows = self.metric_rows();
        if rows.is_empty() {
            return Section::new(ComparisonSection::Metrics.name(), Vec::new());
        }
        let bars = figures::metric_bars(&self.subjects, &rows);
        let lines = rows.iter().map(|row| {
            let head = vec![Piece::Code(row.metric.clone())];
            let values = row.cells.iter().map(|cell| metric_cell(cell, several)).collect();
            marked(head, values, row.differs)
        });
        let grid = self.grid(lines.collect(), true);
        Section::new(ComparisonSection::Metrics.name(), vec![Block::Table(grid), Block::Figures(bars)])
    }

    fn part(&self, section: ComparisonSection) -> Section {
        let rows = rows::rows(&self.subjects, section);
        if rows.is_empty() {
            return Section::new(section.name(), Vec::new());
        }
        let lines = rows.iter().map(|row| {
            let values = row.values.iter().map(|value| text_cell(section, value.as_deref())).collect();
            marked(head(section, &row.key), values, row.differs)
        });
        let mut blocks = vec![Block::Table(self.grid(lines.collect(), section == ComparisonSection::Importance))];
        if section == ComparisonSection::Importance {
            blocks.extend(figures::importance_bars(&self.subjects).map(|figure| Block::Figures(vec![figure])));
        }
        Section::new(section.name(), blocks)
    }

    fn grid(&self, rows: Vec<Vec<Line>>, numbers: bool) -> Grid {
        let subjects = self.titles().map(|title| (title.to_owned(), numbers));
        let columns = [(String::new(), false)].into_iter().chain(subjects).chain([("Differs".to_owned(), false)]);
        Grid { columns: columns.collect(), rows }
    }

    fn titles(&self) -> impl Iterator<Item = &str> {
        self.subjects.iter().map(|subject| subject.title.as_str())
    }

    /// Returns the titles of the subjects by digest, in the order of the subjects.
    fn by_digest<'a>(&'a self, of: impl Fn(&'a Subject) -> Option<&'a str>) -> Vec<(&'a str, Vec<&'a str>)> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for subject in &self.subjects {
            let Some(digest) = of(subject) else { continue };
            match groups.iter_mut().find(|(known, _)| *known == digest) {
                Some((_, titles)) => titles.push(&subject.title),
                None => groups.push((digest, vec![&subject.title])),
            }
        }
        groups
    }
}

fn note(note: Note) -> Line {
    let Note { warning, text } = note;
    if warning {
        vec![Piece::mark(false, "", "caution"), Piece::text(format!(" {text}"))]
    } else {
        vec![Piece::Text(text)]
    }
}

/// Returns a row with its mark at the end.
fn marked(head: Line, values: Vec<Line>, differs: bool) -> Vec<Line> {
    let mark =
        if differs { Piece::Badge(Tone::Neutral, "≠ differs".to_owned()) } else { Piece::Muted("same".to_owned()) };
    [head].into_iter().chain(values).chain([mark.into()]).collect()
}

fn head(section: ComparisonSection, key: &str) -> Line {
    match section {
        ComparisonSection::Parameters | ComparisonSection::Limits | ComparisonSection::Importance => {
            Piece::Code(key.to_owned()).into()
        }
        _ => Piece::text(key).into(),
    }
}

fn text_cell(section: ComparisonSection, value: Option<&str>) -> Line {
    let Some(value) = value else { return dash() };
    match section {
        ComparisonSection::Data | ComparisonSection::Components | ComparisonSection::Code => {
            Piece::Abbreviated(value.to_owned()).into()
        }
        _ => Piece::text(value).into(),
    }
}

fn metric_cell(cell: &MetricCell, several: bool) -> Line {
    let Some(value) = cell.value else { return dash() };
    let mut line: Line = if several && cell.best {
        vec![Piece::Strong(aligned(value)), Piece::Muted(" best".to_owned())]
    } else {
        vec![Piece::Text(aligned(value))]
    };
    if let Some(difference) = cell.difference {
        let share = cell.percent.map_or_else(String::new, |percent| format!(" ({})", signed_percent(percent)));
        let change = format!("{}{share}", signed(difference));
        line.push(Piece::Break);
        line.push(match cell.standing {
            Some(Standing::Better) => Piece::Badge(Tone::Good, format!("better {change}")),
            Some(Standing::Worse) => Piece::Badge(Tone::Bad, format!("worse {change}")),
            Some(Standing::Same) => Piece::Muted("same".to_owned()),
            None => Piece::Badge(Tone::Neutral, change),
        });
    }
    line
}

/// Returns `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}
