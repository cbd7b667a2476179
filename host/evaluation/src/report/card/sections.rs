//! The sections of a card: details, intended use, data, lineage, history. The module `evaluated`
//! has those about the evaluation.

use super::content::{Card, CardDetails, CardEvent, CardLimits, DataField, JudgedAgainst, VersionVerdict};
use super::dataset::dataset;
use super::evaluated;
use crate::report::WorkingTree;
use crate::report::document::{Block, Grid, Line, Piece, Section, dash, text_or_dash};

/// Returns all sections, in the order of Mitchell et al.
pub(super) fn all(card: &Card) -> Vec<Section> {
    let mut sections = vec![
        Section::new("Model details", details(&card.details)),
        Section::new("Intended use", intended_use(card)),
        Section::new("Training data", training_data(card)),
    ];
    sections.extend(evaluated::sections(&card.evaluation));
    sections.extend([
        Section::new("Verdicts", verdicts(&card.verdicts)),
        Section::new("Limits", limits(&card.limits)),
        Section::new("Lineage", lineage(card)),
        Section::new("History", history(&card.history)),
        Section::new("Caveats", caveats(card)),
    ]);
    sections
}

fn details(details: &CardDetails) -> Vec<Block> {
    let text = |text: &Option<String>| text_or_dash(text.as_deref());
    let verdict = details.verdict.map_or_else(dash, |verdict| {
        let mut line: Line = Piece::verdict(verdict).into();
        line.extend(details.reason.as_ref().map(|reason| Piece::text(format!(": {reason}"))));
        line
    });
    let mut semantic = text(&details.semantic_version);
    if !details.version_reasons.is_empty() {
        semantic.push(Piece::text(format!(" ({})", details.version_reasons.join("; "))));
    }
    let facts = [
        ("Name", Piece::text(details.model.as_str()).into()),
        ("Version", Piece::text(details.version.to_string()).into()),
        ("Semantic version", semantic),
        ("Stage", text(&details.stage)),
        ("Aliases", text_or_dash(Some(&details.aliases.join(", ")))),
        ("Verdict", verdict),
        ("Registered", registered(details)),
        ("Run", text(&details.run)),
        ("Task", text(&details.task)),
        ("Digest", details.digest.as_ref().map_or_else(dash, |digest| Piece::Digest(digest.clone()).into())),
    ];
    let mut blocks = vec![Block::Facts(facts.map(|(name, value)| (name.to_owned(), value)).to_vec())];
    if !details.components.is_empty() {
        let row = |part: &crate::report::StageComponent| {
            vec![
                Piece::text(part.stage.as_str()).into(),
                Piece::Code(part.name.clone()).into(),
                Piece::Digest(part.digest.clone()).into(),
            ]
        };
        let rows = details.components.iter().map(row).collect();
        blocks.push(Block::Heading("Components".to_owned()));
        blocks.push(Block::Table(Grid::new(&["Stage", "Component", "Digest"], rows)));
    }
    if !details.parameters.is_empty() {
        let row = |(name, value): &(String, String)| vec![Piece::Code(name.clone()).into(), text_or_dash(Some(value))];
        let rows = details.parameters.iter().map(row).collect();
        blocks.push(Block::Heading("Parameters".to_owned()));
        blocks.push(Block::Table(Grid::new(&["Parameter", "Value"], rows)));
    }
    blocks
}

fn registered(details: &CardDetails) -> Line {
    let by = details.registered_by.as_ref().map(|who| format!("by {who}"));
    let parts: Vec<&str> = [details.registered_at.as_deref(), by.as_deref()].into_iter().flatten().collect();
    text_or_dash(Some(&parts.join(" ")))
}

fn intended_use(card: &Card) -> Vec<Block> {
    let intended = &card.intended_use;
    let facts: Vec<(String, Line)> =
        [("Business objective", &intended.business_objective), ("Success metric", &intended.success_metric)]
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), Piece::text(text.as_deref()?).into())))
            .collect();
    let mut blocks = Vec::new();
    if facts.is_empty() && intended.constraints.is_empty() {
        blocks.push(Block::nothing("The manifest does not say."));
    }
    if !facts.is_empty() {
        blocks.push(Block::Facts(facts));
    }
    if !intended.constraints.is_empty() {
        blocks.push(Block::Heading("Constraints".to_owned()));
        blocks.push(Block::List(intended.constraints.iter().map(|text| Piece::text(text.as_str()).into()).collect()));
    }
    blocks.push(Block::Heading("How to use it".to_owned()));
    blocks.push(Block::Command(format!("stagewright predict {} --input rows.csv", card.title())));
    blocks
}

fn training_data(card: &Card) -> Vec<Block> {
    let data = &card.data;
    let facts = [
        ("Source table", dataset(data.source.as_ref())),
        ("Split", text_or_dash(data.split.as_deref())),
        ("Features", dataset(data.features.as_ref())),
    ];
    let mut blocks = vec![Block::Facts(facts.map(|(name, value)| (name.to_owned(), value)).to_vec())];
    if !data.fields.is_empty() {
        let row = |field: &DataField| {
            vec![
                Piece::Code(field.name.clone()).into(),
                Piece::text(field.data_type.as_str()).into(),
                Piece::text(field.role.as_str()).into(),
                Piece::text(if field.nullable { "yes" } else { "no" }).into(),
            ]
        };
        let rows = data.fields.iter().map(row).collect();
        blocks.push(Block::Heading("Fields".to_owned()));
        blocks.push(Block::Table(Grid::new(&["Field", "Type", "Role", "May be null"], rows)));
    }
    blocks
}

/// All verdicts are shown. The last one counts.
fn verdicts(verdicts: &[VersionVerdict]) -> Vec<Block> {
    if verdicts.is_empty() {
        return vec![Block::nothing("Nobody has judged it.")];
    }
    let row = |verdict: &VersionVerdict| {
        let against = match verdict.judged_against {
            JudgedAgainst::NoChampion => Piece::text("no champion"),
            JudgedAgainst::Champion(version) => Piece::text(format!("version {version}")),
            JudgedAgainst::Unknown => Piece::Muted("not known".to_owned()),
        };
        let how = if verdict.is_override {
            Piece::Strong("a person's decision".to_owned())
        } else {
            Piece::text(verdict.policy.as_str())
        };
        vec![
            Piece::text(verdict.at.as_str()).into(),
            Piece::verdict(verdict.verdict).into(),
            how.into(),
            against.into(),
            text_or_dash(Some(&verdict.by)),
            text_or_dash(Some(&verdict.reason)),
        ]
    };
    let rows = verdicts.iter().map(row).collect();
    vec![Block::Table(Grid::new(&["When", "Verdict", "Policy", "Judged against", "By", "Reason"], rows))]
}

fn limits(limits: &[CardLimits]) -> Vec<Block> {
    if limits.is_empty() {
        return vec![Block::nothing("Not known.")];
    }
    let row = |stage: &CardLimits| {
        let texts = [&stage.memory, &stage.cpu, &stage.wall].map(|text| text_or_dash(Some(text)));
        [Piece::text(stage.stage.as_str()).into()].into_iter().chain(texts).collect()
    };
    let rows = limits.iter().map(row).collect();
    vec![Block::Table(Grid::new(&["Stage", "#Memory", "#CPU", "#Wall"], rows))]
}

/// Each step names what the next was made of.
fn lineage(card: &Card) -> Vec<Block> {
    let code = card.code.as_ref().and_then(|code| Some((code, code.commit.as_ref()?)));
    let code = code.map_or_else(dash, |(WorkingTree { branch, dirty, .. }, commit)| {
        let branch = branch.as_ref().map(|branch| format!(" on branch {branch}")).unwrap_or_default();
        let tree = match dirty {
            Some(true) => ", with changes that no commit holds",
            Some(false) => "",
            None => ", with or without changes that no commit holds",
        };
        vec![Piece::Code(commit.clone()), Piece::text(format!("{branch}{tree}"))]
    });
    let digest = card.details.digest.as_ref().map_or_else(dash, |digest| Piece::Digest(digest.clone()).into());
    let rows = [
        ("Data", dataset(card.data.source.as_ref())),
        ("Code", code),
        ("Run", text_or_dash(card.details.run.as_deref())),
        ("Features", dataset(card.data.features.as_ref())),
        ("Model", digest),
    ];
    let rows = rows.into_iter().enumerate().map(|(step, (name, value))| {
        let arrow = if step == 0 { String::new() } else { "→ ".to_owned() };
        vec![Piece::text(format!("{arrow}{name}")).into(), value]
    });
    vec![Block::Table(Grid::new(&["Step", "What"], rows.collect()))]
}

fn history(history: &[CardEvent]) -> Vec<Block> {
    if history.is_empty() {
        return vec![Block::nothing("Nothing is recorded.")];
    }
    let row = |event: &CardEvent| {
        let change = match (&event.from, &event.to) {
            (None, None) => dash(),
            (from, to) => {
                let shown = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
                Piece::text(format!("{} → {}", shown(from), shown(to))).into()
            }
        };
        vec![
            Piece::text(event.at.as_str()).into(),
            text_or_dash(Some(&event.who)),
            Piece::text(event.what.as_str()).into(),
            change,
            text_or_dash(event.reason.as_deref()),
        ]
    };
    let rows = history.iter().map(row).collect();
    vec![Block::Table(Grid::new(&["When", "Who", "What", "Change", "Reason"], rows))]
}

fn caveats(card: &Card) -> Vec<Block> {
    let caveats = card.caveats();
    if caveats.is_empty() {
        return vec![Block::nothing("None that can be told from what is recorded.")];
    }
    vec![Block::List(caveats.into_iter().map(|caveat| Piece::Text(caveat).into()).collect())]
}
