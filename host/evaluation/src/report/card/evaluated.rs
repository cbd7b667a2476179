//! The sections of a card about the evaluation: metrics, gates, champion, analyses, importance.

use super::content::CardEvaluation;
use super::dataset::dataset;
use crate::figure::{Importance, Plot, importance_figure, scaled_importance};
use crate::gates::GateResult;
use crate::report::comparison_details::difference_text;
use crate::report::document::{Block, Grid, Line, Piece, Section, dash, number_or_dash, signed};
use crate::report::{Champion, Confusion, EvaluatedModel, Verdict};
use crate::text::{aligned, count, number};

/// Returns the sections: evaluation data, metrics, gates, quantitative analyses, feature
/// importance.
pub(super) fn sections(evaluation: &CardEvaluation) -> Vec<Section> {
    vec![
        Section::new("Evaluation data", data(evaluation)),
        Section::new("Metrics", metrics(evaluation)),
        Section::new("Gates", gates(&evaluation.gates)),
        Section::new("Quantitative analyses", analyses(evaluation)),
        Section::new("Feature importance", importance(&evaluation.importance)),
    ]
}

fn data(evaluation: &CardEvaluation) -> Vec<Block> {
    let champion = match &evaluation.champion {
        None => Piece::Muted("not known".to_owned()).into(),
        Some(Champion::None) => Piece::text("there was no champion").into(),
        Some(Champion::Evaluated(EvaluatedModel { version, digest, .. })) => {
            let version = version.map_or_else(String::new, |version| format!("version {version} "));
            vec![Piece::text(version), Piece::Digest(digest.clone())]
        }
        Some(Champion::Unreadable { version, digest, .. }) => vec![
            Piece::text(format!("version {version} ")),
            Piece::Digest(digest.clone()),
            Piece::text(" could not read the table"),
        ],
    };
    let test = dataset(evaluation.test.as_ref());
    let mut facts = vec![("Test table".to_owned(), test), ("Compared with".to_owned(), champion)];
    // Without a stored evaluation, nothing is known about the comparison.
    if let Some(champion) = &evaluation.champion {
        let compared = &evaluation.compared;
        facts.push(("Policy".to_owned(), Piece::text(compared.policy_text()).into()));
        let rows = compared.rows_text(Some(champion));
        facts.extend(rows.into_iter().map(|(name, rows)| (name.to_owned(), Piece::Text(rows).into())));
        let difference = compared.comparison.as_ref().and_then(|it| it.difference.as_ref());
        facts.extend(difference.map(|it| ("Difference".to_owned(), Piece::Text(difference_text(it)).into())));
    }
    vec![Block::Facts(facts)]
}

fn metrics(evaluation: &CardEvaluation) -> Vec<Block> {
    if evaluation.metrics.is_empty() {
        return vec![Block::nothing("None are recorded.")];
    }
    let comparison = evaluation.compared.comparison.as_ref();
    let champion = match &evaluation.champion {
        Some(Champion::Evaluated(champion)) => Some(comparison.map_or(&champion.metrics, |it| &it.champion)),
        _ => None,
    };
    // If rows were excluded from the comparison alone, the candidate's values on the rest get a
    // column of their own.
    let candidate = comparison.map(|it| &it.candidate).filter(|it| champion.is_some() && **it != evaluation.metrics);
    let row = |(name, value): (&str, Option<f64>)| {
        let mut head = vec![Piece::Code(name.to_owned())];
        if evaluation.primary_metric.as_deref() == Some(name) {
            head.push(Piece::Muted(" (primary)".to_owned()));
        }
        let mut row = vec![head, number_or_dash(value)];
        row.extend(candidate.map(|candidate| number_or_dash(candidate.get(name))));
        if let Some(champion) = champion {
            let base = champion.get(name);
            let compared = candidate.map_or(value, |candidate| candidate.get(name));
            let difference =
                compared.zip(base).map_or_else(dash, |(value, base)| Piece::text(signed(value - base)).into());
            row.extend([number_or_dash(base), difference]);
        }
        row
    };
    let rows = evaluation.metrics.iter().map(row).collect();
    let columns: &[&str] = match (champion, candidate) {
        (None, _) => &["Metric", "#Value"],
        (Some(_), None) => &["Metric", "#Value", "#Champion", "#Difference"],
        (Some(_), Some(_)) => &["Metric", "#Value", "#On compared rows", "#Champion", "#Difference"],
    };
    vec![Block::Table(Grid::new(columns, rows))]
}

fn gates(gates: &[GateResult]) -> Vec<Block> {
    if gates.is_empty() {
        return vec![Block::nothing("None are recorded.")];
    }
    let row = |result: &GateResult| {
        vec![
            Piece::text(result.gate.rule.name()).into(),
            Piece::Code(result.gate.metric.clone()).into(),
            Piece::text(number(result.gate.threshold)).into(),
            number_or_dash(result.actual),
            outcome(result).into(),
            Piece::text(result.message.as_str()).into(),
        ]
    };
    let rows = gates.iter().map(row).collect();
    let columns = ["Gate", "Metric", "#Threshold", "#Actual", "Result", "Finding"];
    vec![Block::Table(Grid::new(&columns, rows))]
}

fn outcome(result: &GateResult) -> Piece {
    if result.undecided {
        return Piece::verdict(Verdict::Undecided);
    }
    Piece::mark(result.passed, "passed", if result.missing { "missing" } else { "failed" })
}

fn analyses(evaluation: &CardEvaluation) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(confusion) = &evaluation.confusion {
        blocks.push(Block::Heading("Confusion".to_owned()));
        blocks.push(confusion_table(confusion));
    }
    // The confusion matrix is the table above, and importance has its own section.
    let drawn = |plot: &Plot| matches!(plot, Plot::Lines(_) | Plot::Points(_) | Plot::Text(_));
    let figures: Vec<_> = evaluation.figures.iter().filter(|figure| drawn(&figure.plot)).cloned().collect();
    if !figures.is_empty() {
        blocks.push(Block::Heading("Figures".to_owned()));
        blocks.push(Block::Figures(figures));
    }
    if blocks.is_empty() {
        blocks.push(Block::nothing("None are recorded."));
    }
    blocks
}

fn confusion_table(confusion: &Confusion) -> Block {
    let head = [("actual \\ predicted".to_owned(), false)];
    let columns = head.into_iter().chain(confusion.classes.iter().map(|class| (class.clone(), true))).collect();
    let row = |(class, counts): (&String, &[u64])| -> Vec<Line> {
        let cells = counts.iter().map(|rows| Piece::Text(count(*rows)).into());
        [Piece::text(class.as_str()).into()].into_iter().chain(cells).collect()
    };
    let rows = confusion.classes.iter().zip(confusion.counts.chunks(confusion.classes.len().max(1))).map(row).collect();
    Block::Table(Grid { columns, rows })
}

fn importance(features: &[(String, f64)]) -> Vec<Block> {
    let Some(figure) = importance_figure(&[Importance { name: "", features }]) else {
        return vec![Block::nothing("The model names none.")];
    };
    let row = |(feature, share): (String, f64)| vec![Piece::Code(feature).into(), Piece::text(aligned(share)).into()];
    let rows = scaled_importance(features).into_iter().map(row).collect();
    vec![Block::Figures(vec![figure]), Block::Table(Grid::new(&["Feature", "#Share"], rows))]
}
