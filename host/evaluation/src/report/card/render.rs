//! The card as JSON, HTML and Markdown.

use serde::Serialize;

use super::content::{Card, CardDetails};
use super::sections;
use crate::report::document::{Document, Line, Piece};
use crate::report::json::json;
use crate::text::number;

#[derive(Serialize)]
struct CardJson<'a> {
    format: &'static str,
    caveats: Vec<String>,
    #[serde(flatten)]
    card: &'a Card,
}

impl Card {
    /// Returns the card as JSON text, with its caveats.
    #[must_use]
    pub fn json(&self) -> String {
        json(&CardJson { format: "stagewright-model-card/1", caveats: self.caveats(), card: self })
    }

    /// Returns the card as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        self.document().html()
    }

    /// Returns the card as Markdown, with figures described in words.
    #[must_use]
    pub fn markdown(&self) -> String {
        self.document().markdown()
    }

    fn document(&self) -> Document {
        let title = format!("Model card of {}", self.title());
        Document { title, lead: self.lead(), sections: sections::all(self) }
    }

    fn lead(&self) -> Line {
        let CardDetails { verdict, semantic_version, stage, .. } = &self.details;
        let mut line: Line = match verdict {
            Some(verdict) => Piece::verdict(*verdict).into(),
            None => Piece::Strong("not judged".to_owned()).into(),
        };
        if self.verdicts.last().is_some_and(|verdict| verdict.is_override) {
            line.push(Piece::text(" by a person"));
        }
        if let Some(version) = semantic_version {
            line.extend([Piece::text("; version "), Piece::Strong(version.clone())]);
        }
        if let Some(stage) = stage {
            line.extend([Piece::text("; stage "), Piece::Strong(stage.clone())]);
        }
        let primary = self.evaluation.primary_metric.as_ref();
        if let Some((name, value)) = primary.and_then(|name| Some((name, self.evaluation.metrics.get(name)?))) {
            line.extend([Piece::text("; "), Piece::Code(name.clone()), Piece::text(" "), Piece::Strong(number(value))]);
        }
        line.push(Piece::text(match self.caveats().len() {
            0 => ".".to_owned(),
            1 => "; 1 caveat, at the end.".to_owned(),
            many => format!("; {many} caveats, at the end."),
        }));
        line
    }
}
