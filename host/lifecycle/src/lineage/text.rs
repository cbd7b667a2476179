//! Lineage for people: as a tree, and as a Mermaid flowchart.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use stagewright_store::{CHAMPION, FAILED};
use stagewright_text::Untrusted;

use super::{Direction, Edge, Id, Lineage, Node};

/// The number of digits of a digest or an id that are shown.
const SHOWN: usize = 12;

/// Formats the lineage as two trees, of the origins and of what follows. A node that is already
/// shown is not expanded again.
pub fn tree(lineage: &Lineage) -> String {
    let mut text = String::new();
    let subject = match &lineage.subject[..] {
        [Id::Step(run, _), _, ..] => format!("run {}", short(run.as_str())),
        [id] => label(lineage, id),
        _ => String::new(),
    };
    line(&mut text, "", &subject);
    for (direction, title, sets) in
        [(Direction::Up, "comes from", &lineage.upstream), (Direction::Down, "leads to", &lineage.downstream)]
    {
        line(&mut text, "", title);
        if sets.is_empty() {
            line(&mut text, "└─ ", "nothing on record");
        }
        let mut branch =
            Branch { lineage, direction, shown: lineage.subject.iter().cloned().collect(), text: &mut text };
        branch.below_all(&lineage.subject, "");
    }
    if lineage.is_cut {
        line(&mut text, "", "… and more than can be shown");
    }
    text
}

fn line(text: &mut String, before: &str, what: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{before}{what}");
}

fn short(digits: &str) -> &str {
    digits.get(..SHOWN).unwrap_or(digits)
}

/// Returns the first digits of a digest, without its algorithm.
fn digest(about: &serde_json::Map<String, serde_json::Value>) -> String {
    let text = about.get("digest").and_then(serde_json::Value::as_str).unwrap_or_default();
    short(text.trim_start_matches("sha256:")).to_owned()
}

/// Returns a short description of a node.
fn label(lineage: &Lineage, id: &Id) -> String {
    let Some(Node { name, about, .. }) = lineage.nodes.get(id) else { return String::new() };
    let name = Untrusted::new(name);
    let text = |key: &str| about.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    match id {
        Id::Commit(commit) => format!("commit {}", Untrusted::new(short(commit))),
        Id::Elsewhere(_) => format!("imported from {name}"),
        Id::Component(_) => format!("component {name} ({})", digest(about)),
        Id::Artifact(_) => {
            let rows = about.get("rows").and_then(serde_json::Value::as_u64);
            let rows = rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
            format!("{name} ({}{rows})", digest(about))
        }
        Id::Step(run, _) => {
            let failed = if text("status") == FAILED { ", failed" } else { "" };
            format!("{name} by {} in run {}{failed}", Untrusted::new(&text("component")), short(run.as_str()))
        }
        Id::Version(..) => {
            let aliases = about.get("aliases").and_then(serde_json::Value::as_array);
            let aliases = aliases.into_iter().flatten().filter_map(serde_json::Value::as_str);
            let aliases: Vec<_> = aliases.map(|alias| Untrusted::new(alias).to_string()).collect();
            let aliases = if aliases.is_empty() { String::new() } else { format!(" ({})", aliases.join(", ")) };
            format!("version {name}{aliases}")
        }
        Id::Production(_) => format!("production at {name}"),
    }
}

/// One of the two trees while it is written.
struct Branch<'a> {
    lineage: &'a Lineage,
    direction: Direction,
    shown: BTreeSet<Id>,
    text: &'a mut String,
}

/// Selects one end of an edge.
type End = fn(&Edge) -> &Id;

impl Branch<'_> {
    /// Returns the nodes next to `ids` in this direction, without duplicates.
    fn next(&self, ids: &[Id]) -> Vec<Id> {
        let (of, to): (End, End) = match self.direction {
            Direction::Up => (|edge| &edge.to, |edge| &edge.from),
            Direction::Down => (|edge| &edge.from, |edge| &edge.to),
        };
        let side = if self.direction == Direction::Up { &self.lineage.upstream } else { &self.lineage.downstream };
        let edges = self.lineage.edges.iter().filter(|edge| ids.contains(of(edge)) && side.contains(to(edge)));
        let mut next: Vec<Id> = Vec::new();
        edges.map(to).for_each(|id| {
            if !next.contains(id) {
                next.push(id.clone());
            }
        });
        // Code is last: people look for data and steps first.
        next.sort_by_key(|id| match id {
            Id::Version(..) | Id::Production(_) => 0,
            Id::Artifact(_) | Id::Step(..) => 1,
            _ => 2,
        });
        next
    }

    fn below_all(&mut self, ids: &[Id], indent: &str) {
        let next = self.next(ids);
        let last = next.len().saturating_sub(1);
        for (place, id) in next.into_iter().enumerate() {
            let (corner, bar) = if place == last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let mut what = label(self.lineage, &id);
            let mut at = id.clone();
            let mut is_new = self.shown.insert(id);
            // An artifact and the only step that made it share a line.
            if self.direction == Direction::Up
                && matches!(at, Id::Artifact(_))
                && let [step] = &self.next(&[at.clone()])[..]
            {
                let _ = write!(what, " <- {}", label(self.lineage, step));
                at = step.clone();
                is_new = self.shown.insert(step.clone());
            }
            let has_more = !self.next(&[at.clone()]).is_empty();
            if !is_new && has_more {
                what.push_str(" (see above)");
            }
            line(self.text, &format!("{indent}{corner}"), &what);
            if is_new && has_more {
                self.below_all(&[at], &format!("{indent}{bar}"));
            }
        }
    }
}

/// Formats the lineage as a Mermaid flowchart.
pub fn mermaid(lineage: &Lineage) -> String {
    let mut text = "flowchart LR\n".to_owned();
    let place = |id: &Id| lineage.nodes.keys().position(|other| other == id).unwrap_or_default();
    for (number, id) in lineage.nodes.keys().enumerate() {
        let (open, close) = match id {
            Id::Step(..) => ("[\"", "\"]"),
            Id::Version(..) | Id::Production(_) => ("([\"", "\"])"),
            _ => ("(\"", "\")"),
        };
        line(&mut text, "  ", &format!("n{number}{open}{}{close}", escaped(&label(lineage, id))));
    }
    for Edge { from, to, role } in &lineage.edges {
        let role = escaped(&Untrusted::new(role).to_string());
        let arrow = if role.is_empty() { "-->".to_owned() } else { format!("-->|\"{role}\"|") };
        line(&mut text, "  ", &format!("n{} {arrow} n{}", place(from), place(to)));
    }
    let is_champion = |id: &&Id| {
        let aliases = lineage.nodes[*id].about.get("aliases").and_then(serde_json::Value::as_array);
        aliases.is_some_and(|aliases| aliases.iter().any(|alias| alias == CHAMPION))
    };
    for id in lineage.nodes.keys().filter(is_champion) {
        line(&mut text, "  ", &format!("style n{} stroke-width:3px", place(id)));
    }
    text
}

/// Escapes a text so that Mermaid finds no syntax in it.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, letter| {
        match letter {
            '#' | '"' | '<' | '>' | '`' | '|' | '&' | '\\' => {
                let _ = write!(out, "#{};", letter as u32);
            }
            _ => out.push(letter),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_no_syntax_of_mermaid() {
        assert_eq!(escaped("a \"b\" <i> #1 |`&\\"), "a #34;b#34; #60;i#62; #35;1 #124;#96;#38;#92;");
    }
}
