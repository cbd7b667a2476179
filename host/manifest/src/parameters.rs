//! What can be checked only when components are known: that they exist, and take these parameters.
//!
//! Owns the way from a violation of a JSON Schema to a place in the file. The schema comes from a
//! component that nobody trusts: `schema` takes it over only if it is plain, `check` counts every
//! step, and every text is cut when it is made.

mod check;
mod column_types;
mod schema;

use std::io::{self, Write};

use serde_json::Value as Json;

use self::check::{Checked, MAX_STEPS, Rule, Violation};
use self::schema::Schema;
use crate::document::{Node, Origin, Value, key_text};
use crate::manifest::Manifest;
use crate::nearest::{listed, nearest};
use crate::problem::{Collector, ManifestError, Problem};
use crate::stage::StageSection;

/// Characters of a foreign text, or of a value, that a message quotes.
const LONGEST: usize = 200;

/// Names or values that a hint lists.
const MOST_LISTED: usize = 20;

/// How many steps it takes to check a value against a schema as [`Manifest::check_parameters`] does, and how many things
/// are wrong with it; both are bounded whatever schema and value are.
///
/// # Errors
/// Why the schema is not used, for people; or that the steps that a check may take do not suffice.
pub fn check_cost(schema: &Json, value: &Json) -> Result<(u64, usize), String> {
    let schema = Schema::new(schema)?;
    let Checked { violations, is_unfinished, steps } = check::check(&schema, value);
    if is_unfinished { Err(too_costly()) } else { Ok((steps, violations.len())) }
}

fn too_costly() -> String {
    format!("to check these parameters by it takes more than {MAX_STEPS} steps")
}

impl Manifest {
    /// Checks the components by name: `built_in` are those that need no `path`. A stage must use
    /// one that exists; a section must configure one that exists.
    pub fn check_components(&self, built_in: &[&str]) -> Vec<Problem> {
        let collector = Collector::new(self.source.clone());
        let unknown =
            |name: &str| !built_in.contains(&name) && self.components.get(name).is_none_or(|it| it.path.is_none());
        let hint = |name: &str| match nearest(name, built_in.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "give its file: `[components.{name}] path = \"FILE.wasm\"`; built in are {}",
                listed(built_in.iter().copied())
            ),
        };
        for stage in self.stages.iter().filter(|stage| unknown(stage.component.as_str())) {
            let name = stage.component.as_str();
            let key = format!("stages.{}.component", stage.name);
            if let Some(entry) = self.root.at(&["stages", stage.name.as_str(), "component"]) {
                collector.report(&entry.node.origin, &key, format!("there is no component `{name}`"), Some(hint(name)));
            }
        }
        let used = |name: &str| self.stages.iter().any(|stage| stage.component.as_str() == name);
        for name in self.components.keys().map(AsRef::as_ref).filter(|name| unknown(name) && !used(name)) {
            if let Some(entry) = self.root.at(&["components", name]) {
                let key = format!("components.{name}");
                collector.report(&entry.origin, &key, format!("there is no component `{name}`"), Some(hint(name)));
            }
        }
        collector.into_problems()
    }

    /// Checks the parameters of a stage's component against the component's own JSON Schema
    /// (2020-12).
    ///
    /// A schema that is none, or that refers to itself or to elsewhere, is a problem too: of the
    /// component, cited where the stage names it.
    pub fn check_parameters(&self, stage: &StageSection, schema: &Json) -> Vec<Problem> {
        let collector = Collector::new(self.source.clone());
        let component = stage.component.as_str();
        let faulty = |reason: String| {
            let message =
                format!("component `{component}` describes its parameters by a schema that cannot be used: {reason}");
            let hint = "tell the author of the component".to_owned();
            collector.report(&self.origin_of(&["stages", stage.name.as_str(), "component"]), "", message, Some(hint));
        };
        let schema = match Schema::new(schema) {
            Ok(schema) => schema,
            Err(reason) => {
                faulty(reason);
                return collector.into_problems();
            }
        };
        let parameters = Json::Object(self.parameters_of(stage));
        let Checked { violations, is_unfinished, .. } = check::check(&schema, &parameters);
        if is_unfinished {
            faulty(too_costly());
            return collector.into_problems();
        }
        let report = Report { manifest: self, collector: &collector, stage, component, schema: &schema };
        for violation in &violations {
            report.violation(violation);
        }
        column_types::check(&report, &parameters);
        collector.into_problems()
    }

    /// A problem with a key of the file, found by somebody else: `key` is its dotted path as parts
    /// (`["stages", "training", "component"]`). It is cited where the key stands, or the nearest
    /// key above it.
    pub fn problem(&self, key: &[&str], message: impl Into<String>, hint: Option<String>) -> Problem {
        let collector = Collector::new(self.source.clone());
        collector.report(&self.origin_of(key), &crate::document::dotted(key), message.into(), hint);
        collector.into_problems().swap_remove(0)
    }

    /// All problems that were found after loading, as one error.
    pub fn error(&self, problems: Vec<Problem>) -> ManifestError {
        ManifestError::new(&self.source, problems)
    }

    /// Where the value of a key stands, or else the nearest key above it.
    fn origin_of(&self, key: &[&str]) -> Origin {
        let whole = self.root.at(key).map(|entry| match entry.node.value {
            Value::Table(_) => entry.origin.clone(),
            _ => entry.node.origin.clone(),
        });
        let above = || (1..key.len()).rev().find_map(|depth| self.root.at(&key[..depth]));
        whole.or_else(|| above().map(|entry| entry.origin.clone())).unwrap_or(Origin::File(0..0))
    }
}

/// One step of the way to a part of a JSON value.
#[derive(Clone, Debug)]
enum Step {
    Key(String),
    Index(usize),
}

/// Turns violations into problems.
struct Report<'a> {
    manifest: &'a Manifest,
    collector: &'a Collector,
    stage: &'a StageSection,
    component: &'a str,
    schema: &'a Schema<'a>,
}

impl Report<'_> {
    fn violation(&self, violation: &Violation<'_>) {
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

    fn unknown(&self, path: &[Step], name: &str, part: &Json) {
        let known = part.get("properties").and_then(Json::as_object);
        let names = || known.into_iter().flat_map(|known| known.keys()).map(String::as_str);
        let hint = match nearest(name, names()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names().next().is_none() => "it takes none here: remove the key".to_owned(),
            None => format!("it takes {}", some(names().map(|name| format!("`{}`", brief(name))))),
        };
        let path: Vec<Step> = path.iter().cloned().chain([Step::Key(name.to_owned())]).collect();
        self.report_at_key(&path, format!("component `{}` has no parameter `{name}`", self.component), Some(hint));
    }

    /// The section that a parameter stands in: the stage's own, or its component's.
    fn section(&self, path: &[Step]) -> [&str; 3] {
        let is_own = match path.first() {
            Some(Step::Key(name)) => self.stage.parameters.contains_key(name),
            _ => false,
        };
        if is_own {
            ["stages", self.stage.name.as_str(), "parameters"]
        } else {
            ["components", self.component, "parameters"]
        }
    }

    /// The path of a parameter, as messages write it.
    fn dotted(&self, path: &[Step]) -> String {
        let mut text = crate::document::dotted(&self.section(path));
        for step in path {
            match step {
                Step::Key(name) => text.extend([".", &key_text(name)]),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    fn report(&self, path: &[Step], message: String, hint: Option<String>) {
        let (key, value) = self.place(path);
        let origin =
            value.filter(|node| !matches!(node.value, Value::Table(_))).map_or(key, |node| node.origin.clone());
        self.collector.report(&origin, &self.dotted(path), message, hint);
    }

    fn report_at_key(&self, path: &[Step], message: String, hint: Option<String>) {
        self.collector.report(&self.place(path).0, &self.dotted(path), message, hint);
    }

    /// The key of a parameter and its value; or the nearest key above it, down to where the stage
    /// names the component.
    fn place(&self, path: &[Step]) -> (Origin, Option<&Node>) {
        let root = &self.manifest.root;
        let own = self.section(path);
        let Some(section) = root.at(&own).or_else(|| root.at(&own[..2])) else {
            return (self.manifest.origin_of(&["stages", self.stage.name.as_str(), "component"]), None);
        };
        let (mut key, mut node) = (&section.origin, &section.node);
        for step in path {
            let next = match (&node.value, step) {
                (Value::Table(table), Step::Key(name)) => table.get(name).map(|entry| (&entry.origin, &entry.node)),
                // A pointer does not tell an index from a key of digits.
                (Value::Table(table), Step::Index(index)) => {
                    table.get(&index.to_string()).map(|entry| (&entry.origin, &entry.node))
                }
                (Value::Array(items), Step::Index(index)) => items.get(*index).map(|item| (&item.origin, item)),
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

/// The demand of a broken rule, and a hint where it can say more.
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

/// The hint to use one of some options; none if there are none.
fn choose(options: &[String]) -> Option<String> {
    match options {
        [] => None,
        [only] => Some(format!("use {only}")),
        several => Some(format!("use one of {}", some(several.iter().cloned()))),
    }
}

/// The first of some texts, separated by commas.
fn some(texts: impl Iterator<Item = String>) -> String {
    let mut texts = texts.peekable();
    let first: Vec<String> = texts.by_ref().take(MOST_LISTED).collect();
    let more = if texts.peek().is_some() { ", ..." } else { "" };
    first.join(", ") + more
}

/// Adds what a choice of schemas allows, in the words of the file; nothing of what cannot be said in
/// a few words, and not much more than a hint lists.
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
            // TOML has no null: what may be null may be left out.
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

/// A value as JSON in backticks, cut: no more of it is made than is shown.
fn shown(value: &Json) -> String {
    struct Cut(Vec<u8>);
    impl Write for Cut {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = (4 * LONGEST + 4).saturating_sub(self.0.len());
            self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(bytes.len()) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut cut = Cut(Vec::new());
    // It ends early by an error: what was written until then is what is shown.
    let _ = serde_json::to_writer(&mut cut, value);
    format!("`{}`", brief(&String::from_utf8_lossy(&cut.0)))
}

/// A foreign text on one line, cut: it may quote a value of any length.
fn brief(text: &str) -> String {
    let line: String = text
        .chars()
        .take(LONGEST + 1)
        .map(|letter| if stagewright_text::is_hidden(letter) { ' ' } else { letter })
        .collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}
