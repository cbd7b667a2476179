//! What can be checked only when components are known: that they exist, and take these parameters.
//!
//! Owns the way from a violation of a JSON Schema to a place in the file. The schema comes from a
//! component that nobody trusts, so it is bounded before it is compiled: no references to itself or
//! to elsewhere, no backtracking patterns.

mod column_types;

use jsonschema::error::{ValidationError, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use serde_json::Value as Json;

use crate::document::{Node, Origin, Value, key_text};
use crate::manifest::Manifest;
use crate::nearest::{listed, nearest};
use crate::problem::{Collector, ManifestError, Problem};
use crate::world::World;

/// How many parts of a schema are looked at, references followed. A component with a hundred
/// parameters has about a thousand.
const MAX_SCHEMA_PARTS: usize = 100_000;

/// How deep the parts of a schema may lie in one another, references followed. Each level costs
/// stack.
const MAX_SCHEMA_DEPTH: usize = 64;

/// How many patterns a schema may have: each is a program of its own.
const MAX_PATTERNS: usize = 64;

/// How large the program of one pattern may be, in bytes. `^[A-Za-z_][A-Za-z0-9_]{0,63}$` takes some 20 KiB.
const MAX_PATTERN_BYTES: usize = 1 << 20;

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
            let key = format!("stages.{}.component", stage.world);
            if let Some(entry) = self.root.at(&["stages", stage.world.as_str(), "component"]) {
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
    pub fn check_parameters(&self, world: World, schema: &Json) -> Vec<Problem> {
        let collector = Collector::new(self.source.clone());
        let component = self.stage(world).component.as_str();
        let faulty = |reason: String| {
            let message =
                format!("component `{component}` describes its parameters by a schema that cannot be used: {reason}");
            let hint = "tell the author of the component".to_owned();
            collector.report(&self.origin_of(&["stages", world.as_str(), "component"]), "", message, Some(hint));
        };
        let mut cost = Cost::default();
        match bounded(schema, schema, 0, &mut Vec::new(), &mut cost).and_then(|()| validator(schema)) {
            Err(reason) => faulty(reason),
            Ok(validator) => {
                let parameters = Json::Object(self.component(world).parameters.clone());
                let report = Report { manifest: self, collector: &collector, world, component, schema };
                for error in validator.iter_errors(&parameters) {
                    report.error(&error);
                }
                column_types::check(&report, &parameters);
            }
        }
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
#[derive(Clone)]
enum Step {
    Key(String),
    Index(usize),
}

/// Turns violations into problems.
struct Report<'a> {
    manifest: &'a Manifest,
    collector: &'a Collector,
    world: World,
    component: &'a str,
    schema: &'a Json,
}

impl Report<'_> {
    fn error(&self, error: &ValidationError<'_>) {
        let path = steps(error.instance_path());
        let schema = self.schema_at(error);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                for name in unexpected {
                    self.unknown(&path, name, schema);
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                let hint = format!("add `{} = ...` under `[{}]`", key_text(name), self.dotted(&path));
                self.report(&path, format!("component `{}` needs the parameter `{name}`", self.component), Some(hint));
            }
            kind => {
                let (rule, hint) = rule(kind, self.schema, schema);
                let rule = rule.unwrap_or_else(|| format!("breaks its schema: {}", brief(&error.to_string())));
                self.report(&path, format!("`{}` {rule}", self.dotted(&path)), hint);
            }
        }
    }

    fn unknown(&self, path: &[Step], name: &str, schema: Option<&Json>) {
        let known = schema.and_then(|schema| schema.get("properties")).and_then(Json::as_object);
        let names: Vec<&str> = known.into_iter().flat_map(|known| known.keys()).map(String::as_str).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.is_empty() => "it takes none here: remove the key".to_owned(),
            None => format!("it takes {}", listed(names)),
        };
        let path: Vec<Step> = path.iter().cloned().chain([Step::Key(name.to_owned())]).collect();
        self.report_at_key(&path, format!("component `{}` has no parameter `{name}`", self.component), Some(hint));
    }

    /// The path of a parameter, as messages write it.
    fn dotted(&self, path: &[Step]) -> String {
        let mut text = crate::document::dotted(&["components", self.component, "parameters"]);
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
        let section = root.at(&["components", self.component, "parameters"]);
        let Some(section) = section.or_else(|| root.at(&["components", self.component])) else {
            return (self.manifest.origin_of(&["stages", self.world.as_str(), "component"]), None);
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

    /// The part of the schema that was violated: the object that holds the keyword.
    fn schema_at(&self, error: &ValidationError<'_>) -> Option<&Json> {
        let keyword = steps(error.evaluation_path());
        let (_, path) = keyword.split_last()?;
        let mut part = self.schema;
        for step in path {
            part = match (step, part) {
                (Step::Key(name), _) if name == "$ref" => target(self.schema, part)?,
                (Step::Key(name), _) => part.get(name)?,
                (Step::Index(index), Json::Array(items)) => items.get(*index)?,
                (Step::Index(index), _) => part.get(index.to_string())?,
            };
        }
        Some(part)
    }
}

/// What a violated keyword asks for, and a hint where it can say more.
fn rule(kind: &ValidationErrorKind, root: &Json, schema: Option<&Json>) -> (Option<String>, Option<String>) {
    let choose = |options: Vec<String>| match &options[..] {
        [only] => format!("use {only}"),
        several => format!("use one of {}", several.join(", ")),
    };
    let text = match kind {
        ValidationErrorKind::Type { .. } => {
            let expected = match schema.and_then(|schema| schema.get("type")) {
                Some(Json::String(name)) => Some(name.clone()),
                Some(Json::Array(names)) => {
                    Some(names.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "))
                }
                _ => None,
            };
            return (expected.map(|expected| format!("must be of type {expected}")), None);
        }
        ValidationErrorKind::Enum { options } => {
            let options = options.as_array().into_iter().flatten().map(|option| format!("`{option}`")).collect();
            return (Some("is not an allowed value".to_owned()), Some(choose(options)));
        }
        ValidationErrorKind::OneOfNotValid { .. } | ValidationErrorKind::AnyOf { .. } => {
            let options = alternatives(root, schema);
            let hint = (!options.is_empty()).then(|| choose(options));
            return (Some("is not an allowed value".to_owned()), hint);
        }
        ValidationErrorKind::Constant { expected_value } => format!("must be `{expected_value}`"),
        ValidationErrorKind::Minimum { limit } => format!("must be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("must be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => format!("must be above {limit}"),
        ValidationErrorKind::ExclusiveMaximum { limit } => format!("must be below {limit}"),
        ValidationErrorKind::MinItems { limit } => format!("must have at least {limit} items"),
        ValidationErrorKind::MaxItems { limit } => format!("must have at most {limit} items"),
        ValidationErrorKind::MinLength { limit } => {
            format!("must have at least {limit} characters")
        }
        ValidationErrorKind::MaxLength { limit } => format!("must have at most {limit} characters"),
        ValidationErrorKind::MinProperties { limit } => {
            let hint = schema.and_then(|schema| schema.get("properties")).and_then(Json::as_object);
            let hint = hint.map(|known| format!("it takes {}", listed(known.keys().map(String::as_str))));
            return (Some(format!("must have at least {limit} key{}", if *limit == 1 { "" } else { "s" })), hint);
        }
        ValidationErrorKind::UniqueItems => "must not repeat an item".to_owned(),
        ValidationErrorKind::FalseSchema => "is not allowed here".to_owned(),
        _ => return (None, None),
    };
    (Some(text), None)
}

/// What a choice of schemas allows, in the words of the file; empty if that cannot be said in a few
/// words.
fn alternatives(root: &Json, schema: Option<&Json>) -> Vec<String> {
    let Some(schema) = schema else {
        return Vec::new();
    };
    if let Some(constant) = schema.get("const") {
        return vec![format!("`{constant}`")];
    }
    if let Some(options) = schema.get("enum").and_then(Json::as_array) {
        return options.iter().map(|option| format!("`{option}`")).collect();
    }
    if schema.get("$ref").is_some() {
        return alternatives(root, target(root, schema));
    }
    if let Some(branches) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Json::as_array) {
        return branches.iter().flat_map(|branch| alternatives(root, Some(branch))).collect();
    }
    match (schema.get("type").and_then(Json::as_str), schema.get("required").and_then(Json::as_array)) {
        // TOML has no null: what may be null may be left out.
        (Some("null"), _) => Vec::new(),
        (Some("object"), Some(names)) => {
            let names: Vec<_> =
                names.iter().filter_map(Json::as_str).map(|name| format!("{} = ...", key_text(name))).collect();
            vec![format!("`{{ {} }}`", names.join(", "))]
        }
        (Some(kind), _) => vec![format!("a value of type {kind}")],
        (None, _) => Vec::new(),
    }
}

/// A foreign text on one line, cut: it may quote a value of any length.
fn brief(text: &str) -> String {
    const LONGEST: usize = 200;
    let line: String =
        text.chars().map(|letter| if stagewright_text::is_hidden(letter) { ' ' } else { letter }).collect();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

fn steps(location: &Location) -> Vec<Step> {
    location
        .iter()
        .map(|segment| match segment {
            LocationSegment::Property(name) => Step::Key(name.into_owned()),
            LocationSegment::Index(index) => Step::Index(index),
        })
        .collect()
}

fn validator(schema: &Json) -> Result<jsonschema::Validator, String> {
    jsonschema::draft202012::options()
        // Linear in the text, unlike the default engine.
        .with_pattern_options(
            jsonschema::PatternOptions::regex().size_limit(MAX_PATTERN_BYTES).dfa_size_limit(MAX_PATTERN_BYTES),
        )
        .build(schema)
        .map_err(|error| brief(&error.to_string()))
}

/// What a `$ref` inside the same document points to.
fn target<'a>(root: &'a Json, part: &Json) -> Option<&'a Json> {
    let reference = part.get("$ref")?.as_str()?;
    root.pointer(reference.strip_prefix('#')?)
}

/// What a schema will cost the validator.
#[derive(Default)]
struct Cost {
    parts: usize,
    patterns: usize,
}

/// Refuses a schema that would cost the validator more than its length suggests.
fn bounded<'a>(
    root: &'a Json,
    part: &'a Json,
    depth: usize,
    active: &mut Vec<&'a str>,
    cost: &mut Cost,
) -> Result<(), String> {
    cost.parts += 1;
    if cost.parts > MAX_SCHEMA_PARTS {
        return Err("it is too large".to_owned());
    }
    if depth > MAX_SCHEMA_DEPTH {
        return Err("it is too deep".to_owned());
    }
    match part {
        Json::Object(entries) => {
            if entries.contains_key("$dynamicRef") || (depth > 0 && entries.contains_key("$id")) {
                return Err("it uses `$dynamicRef` or an inner `$id`".to_owned());
            }
            let keys = entries.get("patternProperties").and_then(Json::as_object).map_or(0, serde_json::Map::len);
            cost.patterns += keys + usize::from(entries.get("pattern").is_some_and(Json::is_string));
            if cost.patterns > MAX_PATTERNS {
                return Err(format!("it has more than {MAX_PATTERNS} patterns"));
            }
            if let Some(reference) = entries.get("$ref").and_then(Json::as_str) {
                if active.contains(&reference) {
                    return Err(format!("`{}` refers to itself", brief(reference)));
                }
                let target = target(root, part).ok_or("a `$ref` points to nothing in it")?;
                active.push(reference);
                bounded(root, target, depth + 1, active, cost)?;
                active.pop();
            }
            entries.values().try_for_each(|inner| bounded(root, inner, depth + 1, active, cost))
        }
        Json::Array(items) => items.iter().try_for_each(|inner| bounded(root, inner, depth + 1, active, cost)),
        _ => Ok(()),
    }
}
