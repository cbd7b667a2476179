//! Turns violations of a JSON Schema into problems of the file.

use serde_json::Value as Json;

use super::check::{PathStep, Rule, Violation};
use super::schema::Schema;
use super::text::{MOST_LISTED, brief, choose, shown, some};
use crate::document::{Node, Origin, Value, dotted, key_text};
use crate::manifest::Manifest;
use crate::nearest::nearest;
use crate::problem::{Collector, Condition};
use crate::stage::StageSection;

/// Reports violations at their places in the file.
pub(super) struct Report<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) collector: &'a Collector,
    pub(super) stage: &'a StageSection,
    pub(super) component: &'a str,
    pub(super) schema: &'a Schema<'a>,
}

impl Report<'_> {
    pub(super) fn violation(&self, violation: &Violation<'_>) {
        let Violation { path, part, rule } = violation;
        match rule {
            Rule::Unknown(name) => self.unknown(path, name, part),
            Rule::Required(name) => {
                let name = brief(name);
                let hint = format!("add `{} = ...` under `[{}]`", key_text(&name), self.dotted(path));
                self.report(path, format!("component `{}` needs the parameter `{name}`", self.component), Some(hint));
            }
            rule => {
                let (text, hint) = broken(rule, self.schema, part);
                self.report(path, format!("`{}` {text}", self.dotted(path)), hint);
            }
        }
    }

    fn unknown(&self, path: &[PathStep], name: &str, part: &Json) {
        let known = part.get("properties").and_then(Json::as_object);
        let names = || known.into_iter().flat_map(|known| known.keys()).map(String::as_str);
        let hint = match nearest(name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names().next().is_none() => "it takes none here: remove the key".to_owned(),
            None => format!("it takes {}", some(names().map(|name| format!("`{}`", brief(name))))),
        };
        let path: Vec<PathStep> = path.iter().cloned().chain([PathStep::Key(name.to_owned())]).collect();
        self.report_at_key(&path, format!("component `{}` has no parameter `{name}`", self.component), Some(hint));
    }

    /// Returns the section of a parameter: the stage's own, or its component's.
    fn section(&self, path: &[PathStep]) -> [&str; 3] {
        let is_own = match path.first() {
            Some(PathStep::Key(name)) => self.stage.parameters.contains_key(name),
            _ => false,
        };
        if is_own {
            ["stages", self.stage.name.as_str(), "parameters"]
        } else {
            ["components", self.component, "parameters"]
        }
    }

    /// Returns the path of a parameter for messages.
    fn dotted(&self, path: &[PathStep]) -> String {
        let mut text = dotted(&self.section(path));
        for step in path {
            match step {
                PathStep::Key(name) => text.extend([".", &key_text(name)]),
                PathStep::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    fn report(&self, path: &[PathStep], message: String, hint: Option<String>) {
        let (key, value) = self.place(path);
        let origin =
            value.filter(|node| !matches!(node.value, Value::Table(_))).map_or(key, |node| node.origin.clone());
        self.collector.report_as(Condition::Parameter, &origin, &self.dotted(path), message, hint);
    }

    pub(super) fn report_at_key(&self, path: &[PathStep], message: String, hint: Option<String>) {
        self.collector.report_as(Condition::Parameter, &self.place(path).0, &self.dotted(path), message, hint);
    }

    /// Returns the origin of a parameter's key, and its value; or the nearest key above it, up to
    /// the stage's `component`.
    fn place(&self, path: &[PathStep]) -> (Origin, Option<&Node>) {
        let root = &self.manifest.root;
        let own = self.section(path);
        let Some(section) = root.at(&own).or_else(|| root.at(&own[..2])) else {
            return (self.manifest.origin_of(&["stages", self.stage.name.as_str(), "component"]), None);
        };
        let (mut key, mut node) = (&section.origin, &section.node);
        for step in path {
            let next = match (&node.value, step) {
                (Value::Table(table), PathStep::Key(name)) => table.get(name).map(|entry| (&entry.origin, &entry.node)),
                // In a path, an index looks the same as a key of digits.
                (Value::Table(table), PathStep::Index(index)) => {
                    table.get(&index.to_string()).map(|entry| (&entry.origin, &entry.node))
                }
                (Value::Array(items), PathStep::Index(index)) => items.get(*index).map(|item| (&item.origin, item)),
                _ => None,
            };
            match next {
                Some(next) => (key, node) = next,
                None => return (key.clone(), None),
            }
        }
        (key.clone(), Some(node))
    }
}

/// Returns the demand of a broken rule, and a hint where there is more to say.
fn broken(rule: &Rule<'_>, schema: &Schema<'_>, part: &Json) -> (String, Option<String>) {
    let not_allowed = || "is not an allowed value".to_owned();
    let text = match rule {
        Rule::Type => match part.get("type") {
            Some(Json::Array(names)) => {
                let names: Vec<&str> = names.iter().filter_map(Json::as_str).take(7).collect();
                format!("must be of type {}", names.join(" or "))
            }
            other => format!("must be of type {}", other.and_then(Json::as_str).unwrap_or_default()),
        },
        Rule::Enum(options) => {
            let options: Vec<String> = options.iter().take(MOST_LISTED + 1).map(shown).collect();
            return (not_allowed(), choose(&options));
        }
        Rule::NoChoice => {
            let mut options = Vec::new();
            alternatives(schema, part, &mut options);
            return (not_allowed(), choose(&options));
        }
        Rule::SeveralChoices => "fits several of the choices that exclude one another".to_owned(),
        Rule::Not | Rule::PropertyName => not_allowed(),
        Rule::False => "is not allowed here".to_owned(),
        Rule::Const(expected) => format!("must be {}", shown(expected)),
        Rule::MultipleOf(step) => format!("must be a multiple of {step}"),
        Rule::Pattern(pattern) => format!("does not match the pattern `{}`", brief(pattern)),
        Rule::UniqueItems => "must not repeat an item".to_owned(),
        Rule::Contains => "lacks an item that it must have, or has too many such".to_owned(),
        Rule::Limit("minProperties", limit) => {
            let hint = part.get("properties").and_then(Json::as_object);
            let names =
                |known: &serde_json::Map<String, Json>| some(known.keys().map(|name| format!("`{}`", brief(name))));
            let text = format!("must have at least {limit} key{}", if **limit == 1 { "" } else { "s" });
            return (text, hint.map(|known| format!("it takes {}", names(known))));
        }
        Rule::Limit(key, limit) => match *key {
            "minimum" => format!("must be at least {limit}"),
            "maximum" => format!("must be at most {limit}"),
            "exclusiveMinimum" => format!("must be above {limit}"),
            "exclusiveMaximum" => format!("must be below {limit}"),
            "minItems" => format!("must have at least {limit} items"),
            "maxItems" => format!("must have at most {limit} items"),
            "minLength" => format!("must have at least {limit} characters"),
            "maxLength" => format!("must have at most {limit} characters"),
            _ => format!("must have at most {limit} keys"),
        },
        Rule::Unknown(name) => format!("has no `{}`", brief(name)),
        Rule::Required(name) => format!("needs `{}`", brief(name)),
    };
    (text, None)
}

/// Collects the alternatives that a schema allows, in the words of the file. Those that take more
/// than a few words are left out, and no more are collected than a hint lists.
fn alternatives(schema: &Schema<'_>, part: &Json, found: &mut Vec<String>) {
    if found.len() > MOST_LISTED {
        return;
    }
    if let Some(constant) = part.get("const") {
        found.push(shown(constant));
    } else if let Some(options) = part.get("enum").and_then(Json::as_array) {
        found.extend(options.iter().take(MOST_LISTED + 1).map(shown));
    } else if let Some(target) = schema.target(part) {
        alternatives(schema, target, found);
    } else if let Some(branches) = part.get("oneOf").or_else(|| part.get("anyOf")).and_then(Json::as_array) {
        for branch in branches.iter().take(MOST_LISTED + 1) {
            alternatives(schema, branch, found);
        }
    } else {
        let names = part.get("required").and_then(Json::as_array);
        match (part.get("type").and_then(Json::as_str), names) {
            // TOML has no null: a value that may be null may be left out.
            (Some("null") | None, _) => {}
            (Some("object"), Some(names)) => {
                let names = names.iter().filter_map(Json::as_str);
                let names = some(names.map(|name| format!("{} = ...", key_text(&brief(name)))));
                found.push(format!("`{{ {names} }}`"));
            }
            (Some(kind), _) => found.push(format!("a value of type {kind}")),
        }
    }
}
