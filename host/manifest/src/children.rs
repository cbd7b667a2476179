//! The pipelines of children: what of a pipeline is one for all, what each has of its own, and how
//! they are drawn.

use std::borrow::Cow;
use std::path::PathBuf;

use serde_json::Value as Json;

use crate::document::{self, Node, Table, Value, dotted};
use crate::foreach::{ForeachSection, Given, Over, SEGMENTS, is_before_segments};
use crate::manifest::Manifest;
use crate::outputs::OutputSection;
use crate::overrides::full_path;
use crate::problem::Collector;
use crate::reader::Item;
use crate::source::without_query;
use crate::step_id::StepId;
use crate::world::World;

/// The roots of keys that a child may have a value of its own for. Components are resolved once for
/// all children, and all are runs of one experiment.
const SETTABLE: [&str; 9] = ["seed", "as-of", "task", "sources", "signature", "split", "stages", "components", "gates"];

/// The key that children have values of their own for, if a child may have one.
fn settable(foreach: &Item<'_>, root: &Table, collector: &Collector) -> Option<Vec<String>> {
    let Value::Table(section) = &foreach.node.value else { return None };
    let set = section.get("set")?;
    let Value::String(text) = &set.node.value else { return None };
    let report = |message: String, hint: String| {
        collector.report(&set.node.origin, "foreach.set", message, Some(hint));
    };
    let Some(path) = document::parse_key(text) else {
        report(format!("`{text}` is not a key"), "write names separated by dots: `training.depth`".to_owned());
        return None;
    };
    let path = full_path(&path, root, &set.node.origin, collector)?;
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_whole = matches!(names[..], [_] if !matches!(names[0], "seed" | "as-of"));
    let is_wiring = matches!(names[..], ["stages", _] | ["stages", _, "component" | "world" | "inputs", ..]);
    let is_component = names[0] == "components" && names.get(2).is_none_or(|key| *key != "parameters");
    if is_whole || is_wiring || is_component || !SETTABLE.contains(&names[0]) {
        let hint = "children differ in parameters, sources, limits, the split, the gates or the seed; several models of \
                    one table are several trainings";
        report(format!("`{}` is one for all children", dotted(&path)), hint.to_owned());
        return None;
    }
    Some(path)
}

/// The trees of the children, each with its value where the key is. All that is wrong is reported.
pub(crate) fn trees<'a>(
    foreach: &Item<'a>,
    given: Vec<Given<'a>>,
    root: &Table,
    collector: &Collector,
) -> Vec<(String, Json, Table)> {
    let Some(path) = settable(foreach, root, collector) else { return Vec::new() };
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut trees = Vec::new();
    for Given { name, value, item } in given {
        if let (["sources", _, "uri"], Value::String(uri)) = (&names[..], &item.node.value)
            && matches!(without_query(uri), Cow::Owned(_))
        {
            let hint = "the query may hold a key, and a child is named and recorded by its value: name a key by `token-env` \
                        of the source, and what differs by another part of the address";
            let message = "a child cannot be named by an address with a query".to_owned();
            collector.report(&item.node.origin, "foreach.values", message, Some(hint.to_owned()));
            return Vec::new();
        }
        let mut tree = root.clone();
        tree.remove("foreach");
        let node = Node { value: item.node.value.clone(), origin: item.node.origin.clone() };
        if let Err(blocked) = tree.set(&path, node) {
            let message = format!("`{}` is {} in the file and has no keys below it", blocked.key, blocked.kind);
            collector.report(&item.node.origin, &dotted(&path), message, None);
            return Vec::new();
        }
        trees.push((name, value, tree));
    }
    trees
}

impl Manifest {
    /// The pipeline of a child: with a model of its own, and files of its own.
    ///
    /// # Errors
    /// The name that its model would have, and the rule that it breaks.
    pub fn of_child(&self, foreach: &ForeachSection, name: &str) -> Result<Self, (String, &'static str)> {
        let file = |output: &OutputSection| {
            let below = foreach.model.with(&output.below.to_string_lossy());
            let below = PathBuf::from(below.fill(name));
            OutputSection { path: output.folder.join(&below), below, ..output.clone() }
        };
        let outputs = self.outputs.iter().filter(|output| !foreach.is_before(output.world)).map(file).collect();
        let model = foreach.model_of(name)?;
        Ok(Self { model, outputs, foreach: None, children: Vec::new(), ..self.clone() })
    }

    /// The same pipeline as far as it is done once, before its segments.
    #[must_use]
    pub fn before_segments(&self) -> Self {
        let outputs = self.outputs.iter().filter(|output| is_before_segments(output.world)).cloned().collect();
        Self { outputs, ..self.clone() }
    }

    /// The step that makes the table from which something is learnt.
    pub fn table_step(&self) -> &StepId {
        let mut learning = self.graph.of(World::Transformation);
        let found = learning.find_map(|step| step.line.get(&World::Ingestion));
        found.unwrap_or(&self.stage(World::Ingestion).name)
    }

    /// The graph in the language of Mermaid, with what is done for each child in a frame.
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
        // A frame's title is a text in quotes, and has an entity where a quote or a bracket is.
        let entity = |letter: char| match letter {
            '"' | '<' | '>' | '#' | '[' | ']' | '`' => format!("#{};", u32::from(letter)),
            letter if letter.is_control() => " ".to_owned(),
            letter => letter.to_string(),
        };
        let title: String = title.chars().map(entity).collect();
        format!("flowchart TD\n    subgraph each[\"{title}\"]\n{inside}    end\n{outside}")
    }
}
