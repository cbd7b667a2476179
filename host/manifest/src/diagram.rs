//! The graph of a pipeline as a Mermaid diagram.

use crate::foreach::{Over, SEGMENTS};
use crate::graph::{Edge, Graph, Step};
use crate::manifest::Manifest;
use crate::step_id::StepId;

impl Graph {
    /// Returns the graph as a Mermaid flowchart.
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart TD\n".to_owned();
        for Step { id, world, .. } in self.steps() {
            let label = if id.as_str() == world.as_str() { String::new() } else { format!("<br/>{world}") };
            text.push_str(&format!("    s_{}[\"{id}{label}\"]\n", id.as_str().replace('-', "__")));
        }
        for Edge { from, to, input, .. } in self.edges() {
            let arrow = if input.is_some() { "-->" } else { "-.->" };
            let node = |id: &StepId| format!("s_{}", id.as_str().replace('-', "__"));
            text.push_str(&format!("    {} {arrow} {}\n", node(&from), node(&to)));
        }
        text
    }
}

impl Manifest {
    /// Returns the graph as a Mermaid flowchart. Steps that run once for each child stand in a
    /// subgraph.
    pub fn mermaid(&self) -> String {
        let Some(foreach) = &self.foreach else { return self.graph.mermaid() };
        let drawn = self.graph.mermaid();
        let of = |id: &str| format!("s_{}", id.replace('-', "__"));
        let before: Vec<String> = self
            .graph
            .steps()
            .iter()
            .filter(|step| foreach.is_before(step.world))
            .map(|step| of(step.id.as_str()))
            .collect();
        let is_before = |node: &str| before.iter().any(|it| it == node);
        let (table, segments) = (of(self.table_step().as_str()), of(SEGMENTS));
        let (mut outside, mut inside) = (String::new(), String::new());
        for line in drawn.lines().skip(1) {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                [from, arrow, to] if is_before(from) && from == table && !is_before(to) => {
                    outside.push_str(&format!("    {segments} {arrow} {to}\n"));
                }
                [_, "-->" | "-.->", _] => outside.push_str(&format!("{line}\n")),
                _ if line.trim().split('[').next().is_some_and(is_before) => outside.push_str(&format!("{line}\n")),
                _ => inside.push_str(&format!("    {line}\n")),
            }
        }
        let title = match &foreach.over {
            Over::Column { column, .. } => {
                outside.push_str(&format!("    {segments}[\"{SEGMENTS}\"]\n    {table} --> {segments}\n"));
                format!("for each {column}")
            }
            Over::Values { set } => format!("for each of {} values of {set}", self.children.len()),
        };
        // A subgraph's title is quoted. Mermaid wants quotes and brackets in it as entities.
        let entity = |letter: char| match letter {
            '"' | '<' | '>' | '#' | '[' | ']' | '`' => format!("#{};", u32::from(letter)),
            letter if letter.is_control() => " ".to_owned(),
            letter => letter.to_string(),
        };
        let title: String = title.chars().map(entity).collect();
        format!("flowchart TD\n    subgraph each[\"{title}\"]\n{inside}    end\n{outside}")
    }
}
