//! A document as Markdown: CommonMark with the tables of GitHub Flavored Markdown 0.29.
//!
//! Text is escaped so that a renderer shows it unchanged: no character of it begins markup, HTML or
//! a cell. `write!` to a `String` cannot fail, so its results are dropped.

use std::fmt::Write as _;

use super::super::page::{long, short};
use super::{Block, Document, Grid, Line, Piece};
use crate::figure::{Figure, Plot};
use crate::text::abbreviated;

/// The place of a line. Only in a cell is a pipe within code escaped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Flow,
    Cell,
}

impl Document {
    /// Returns the document as one Markdown file.
    pub(in super::super) fn markdown(&self) -> String {
        let mut out = String::new();
        let _ = write!(out, "# {}\n\n{}\n", escaped(&short(&self.title)), line(&self.lead, Place::Flow));
        for section in &self.sections {
            let _ = write!(out, "\n## {}\n", escaped(&short(&section.title)));
            for part in &section.blocks {
                out.push('\n');
                block(&mut out, part);
            }
        }
        out
    }
}

fn block(out: &mut String, block: &Block) {
    let _ = match block {
        Block::Heading(title) => writeln!(out, "### {}", escaped(&short(title))),
        Block::Paragraph(sentence) => writeln!(out, "{}", line(sentence, Place::Flow)),
        Block::List(items) => items.iter().try_for_each(|item| writeln!(out, "- {}", line(item, Place::Flow))),
        Block::Facts(facts) => facts.iter().try_for_each(|(name, value)| {
            writeln!(out, "- **{}**: {}", escaped(&short(name)), line(value, Place::Flow))
        }),
        Block::Table(grid) => {
            table(out, grid);
            Ok(())
        }
        Block::Figures(figures) => figures.iter().try_for_each(|figure| writeln!(out, "- {}", description(figure))),
        Block::Command(command) => {
            let command = long(command);
            let fence = "`".repeat(longest_run(&command).max(2) + 1);
            writeln!(out, "{fence}sh\n{command}\n{fence}")
        }
    };
}

fn table(out: &mut String, grid: &Grid) {
    let names: Vec<String> = grid.columns.iter().map(|(name, _)| escaped(&short(name))).collect();
    let rules: Vec<&str> = grid.columns.iter().map(|(_, numbers)| if *numbers { "---:" } else { "---" }).collect();
    let _ = write!(out, "| {} |\n| {} |\n", names.join(" | "), rules.join(" | "));
    for row in &grid.rows {
        let cells: Vec<String> = row.iter().map(|cell| line(cell, Place::Cell)).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

/// Describes a figure in words.
fn description(figure: &Figure) -> String {
    let series: Vec<&str> = match &figure.plot {
        Plot::Lines(plot) | Plot::Points(plot) => {
            plot.series.iter().filter(|series| !series.reference).map(|series| series.name.as_str()).collect()
        }
        Plot::Bars(plot) => plot.series.iter().map(|series| series.name.as_str()).collect(),
        Plot::Matrix(_) | Plot::Text(_) => Vec::new(),
    };
    let named: Vec<String> = series.iter().filter(|name| !name.is_empty()).map(|name| escaped(&short(name))).collect();
    let title = escaped(&short(&figure.title));
    if named.is_empty() { title } else { format!("{title}: {}", named.join(", ")) }
}

fn line(line: &Line, place: Place) -> String {
    let mut out = String::new();
    for piece in line {
        match piece {
            Piece::Text(text) | Piece::Muted(text) => out.push_str(&escaped(&long(text))),
            Piece::Badge(_, text) => out.push_str(&escaped(&short(text))),
            Piece::Strong(text) => {
                let _ = write!(out, "**{}**", escaped(long(text).trim()));
            }
            Piece::Code(text) | Piece::Digest(text) => out.push_str(&code(&short(text), place)),
            Piece::Abbreviated(text) => out.push_str(&code(&long(&abbreviated(text)), place)),
            Piece::Break => out.push_str("<br>"),
        }
    }
    if place == Place::Flow { not_a_block(&out) } else { out }
}

/// Escapes text so that no character has a meaning (CommonMark 0.31, section 2.4: any ASCII
/// punctuation may be escaped).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '~' | '&' | '$' | '!') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Returns a code span. Its fence is longer than any run of backticks within it (CommonMark 0.31,
/// section 6.1), and in a cell its pipes are escaped (GFM 0.29, section 4.10).
fn code(text: &str, place: Place) -> String {
    if text.is_empty() {
        return String::new();
    }
    let fence = "`".repeat(longest_run(text) + 1);
    let text = if place == Place::Cell { text.replace('|', "\\|") } else { text.to_owned() };
    let space = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

/// Escapes a line so that it begins neither a list (`- `, `+ `, `1. `, `1) `) nor a rule (`---`)
/// nor, by its spaces, a block of code.
fn not_a_block(line: &str) -> String {
    let line = line.trim_start();
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    let (number, rest) = line.split_at(digits);
    let mut following = rest.chars();
    let escape = match following.next() {
        Some('-') => number.is_empty(),
        Some(mark @ ('+' | '.' | ')')) => {
            (mark == '+') == number.is_empty() && following.next().is_none_or(|next| next == ' ')
        }
        _ => false,
    };
    if escape { format!("{number}\\{rest}") } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_of_a_text_is_markup() {
        let text = "a|b `c` *d* _e_ <img src=x> [f](g) &amp; $h$ # \\";
        assert_eq!(escaped(text), r"a\|b \`c\` \*d\* \_e\_ \<img src=x\> \[f\](g) \&amp; \$h\$ \# \\");
    }

    #[test]
    fn no_line_begins_a_list_or_a_rule() {
        let lines = [
            ("- a", r"\- a"),
            ("---", r"\---"),
            ("+ a", r"\+ a"),
            ("1. a", r"1\. a"),
            ("12)", r"12\)"),
            ("    a", "a"),
            ("0.85", "0.85"),
            ("+0.01", "+0.01"),
            ("2026", "2026"),
        ];
        for (given, written) in lines {
            assert_eq!(line(&vec![Piece::text(given)], Place::Flow), written);
        }
        assert_eq!(line(&vec![Piece::text("-0.01")], Place::Cell), "-0.01");
    }

    #[test]
    fn code_keeps_its_backticks_and_escapes_pipes_only_in_a_cell() {
        assert_eq!(code("plain", Place::Flow), "`plain`");
        assert_eq!(code("a`b", Place::Flow), "``a`b``");
        assert_eq!(code("``", Place::Flow), "``` `` ```");
        assert_eq!(code("a|b", Place::Flow), "`a|b`");
        assert_eq!(code("a|b", Place::Cell), r"`a\|b`");
        assert_eq!(code(r"a\|b", Place::Cell), r"`a\\|b`");
        assert_eq!(code("", Place::Cell), "");
    }

    #[test]
    fn a_table_has_as_many_pipes_as_it_has_cells() {
        let cell = |text: &str| vec![Piece::text(text), Piece::Code(text.to_owned())];
        let grid = Grid::new(&["na|me", "#value"], vec![vec![cell("a|b"), cell("line\nbreak")]]);
        let mut out = String::new();
        table(&mut out, &grid);
        assert_eq!(out, "| na\\|me | value |\n| --- | ---: |\n| a\\|b`a\\|b` | line break`line break` |\n");
    }

    #[test]
    fn a_command_cannot_leave_its_fence() {
        let mut out = String::new();
        block(&mut out, &Block::Command("a ```` b\n```".to_owned()));
        assert_eq!(out, "`````sh\na ```` b ```\n`````\n");
    }
}
