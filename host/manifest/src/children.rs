//! Makes the tree of each child: the pipeline's tree with the child's value under the key of
//! `foreach.set`.

use std::borrow::Cow;

use serde_json::Value as Json;

use crate::document::{self, Node, Table, Value, dotted};
use crate::foreach::ChildValue;
use crate::overrides::full_path;
use crate::problem::Collector;
use crate::reader::Item;
use crate::source::without_query;

/// The roots of the keys that children may differ in. Components are not among them as a whole:
/// they are resolved once for all children. Neither is the experiment: all children belong to one.
const SETTABLE: [&str; 9] = ["seed", "as-of", "task", "sources", "signature", "split", "stages", "components", "gates"];

/// Returns the path of the key in which children differ; reports a key that must be the same for
/// all.
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

/// Returns the name, the value and the tree of each child. Reports everything that is wrong.
pub(crate) fn trees<'a>(
    foreach: &Item<'a>,
    given: Vec<ChildValue<'a>>,
    root: &Table,
    collector: &Collector,
) -> Vec<(String, Json, Table)> {
    let Some(path) = settable(foreach, root, collector) else { return Vec::new() };
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let mut trees = Vec::new();
    for ChildValue { name, value, item } in given {
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
