//! A document as a page.

use maud::{Markup, html};

use super::super::page::{self, long, short};
use super::{Block, Document, Grid, Line, Piece, Tone};
use crate::text::abbreviated;

impl Document {
    /// Returns the document as one self-contained HTML file.
    pub(in super::super) fn html(&self) -> String {
        let title = short(&self.title);
        let body = html! {
            h1 { (title) }
            p class="lead" { (line(&self.lead)) }
            @for section in &self.sections {
                h2 { (short(&section.title)) }
                @for part in &section.blocks { (block(part)) }
            }
        };
        page::page(&title, &body)
    }
}

fn block(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Heading(title) => h3 { (short(title)) },
            Block::Paragraph(sentence) => p { (line(sentence)) },
            Block::List(items) => ul { @for item in items { li { (line(item)) } } },
            Block::Facts(facts) => dl { @for (name, value) in facts { dt { (short(name)) } dd { (line(value)) } } },
            Block::Table(grid) => (table(grid)),
            Block::Figures(figures) => (page::figures(figures)),
            Block::Command(command) => p { code { (long(command)) } },
        }
    }
}

fn table(grid: &Grid) -> Markup {
    let class = |column: usize| grid.columns.get(column).and_then(|(_, numbers)| numbers.then_some("n"));
    html! {
        div class="scroll" {
            table {
                thead { tr { @for (column, (name, _)) in grid.columns.iter().enumerate() { th class=[class(column)] { (short(name)) } } } }
                tbody {
                    @for row in &grid.rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th { (line(cell)) } } @else { td class=[class(column)] { (line(cell)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn line(line: &Line) -> Markup {
    html! { @for piece in line { (one(piece)) } }
}

fn one(piece: &Piece) -> Markup {
    html! {
        @match piece {
            Piece::Text(text) => (long(text)),
            Piece::Strong(text) => strong { (long(text)) },
            Piece::Muted(text) => span class="muted" { (long(text)) },
            Piece::Code(text) => code { (short(text)) },
            Piece::Digest(digest) => (page::digest(digest)),
            Piece::Abbreviated(text) => code title=(long(text)) { (long(&abbreviated(text))) },
            Piece::Badge(tone, text) => span class={ "badge " (class(*tone)) } { (short(text)) },
            Piece::Break => br;,
        }
    }
}

fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Bad => "bad",
        Tone::Neutral => "none",
    }
}
