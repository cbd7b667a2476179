//! The JSON Schema of a component's parameters, accepted only if it is plain.
//!
//! The schema is untrusted, so every keyword that affects validation must be known and well formed.
//! Keywords that lead elsewhere are refused: `$id`, anchors, dynamic references, and every
//! reference but `#/$defs/NAME`. All other keywords are annotations and are not evaluated. The size
//! of the schema is bounded, with each definition counted as often as it is referred to.

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value as Json};

use super::numbers::{count, number};
use super::text::brief;

/// The most parts of a schema, with references followed; every 64 bytes of a listed value count as
/// a part. A component with a hundred parameters has about a thousand.
const MAX_PARTS: usize = 100_000;

/// The greatest depth of a schema, with references followed. Each level costs stack.
const MAX_DEPTH: usize = 64;

/// The most patterns of a schema. Each is compiled.
const MAX_PATTERNS: usize = 64;

/// The longest pattern, in bytes.
const MAX_PATTERN_TEXT: usize = 1000;

/// The largest compiled pattern, in bytes. `^[A-Za-z_][A-Za-z0-9_]{0,63}$` takes about 20 KiB.
const MAX_PATTERN_PROGRAM: usize = 256 << 10;

/// The most types in `x-column-types`. There are six.
const MAX_COLUMN_TYPES: usize = 16;

/// The keyword that lists the types of the columns that a parameter applies to.
pub(super) const COLUMN_TYPES: &str = "x-column-types";

/// The supported draft of JSON Schema.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Keywords that rename a part or refer to renamed ones, and `unevaluatedItems`, the one assertion
/// that is not supported.
const REFUSED: [&str; 9] = [
    "$id",
    "id",
    "$anchor",
    "$dynamicRef",
    "$dynamicAnchor",
    "$recursiveRef",
    "$recursiveAnchor",
    "$vocabulary",
    "unevaluatedItems",
];

/// A schema that is safe to evaluate: evaluation ends, references stay inside, patterns are
/// compiled.
#[derive(Debug)]
pub(super) struct Schema<'a> {
    pub(super) root: &'a Json,
    patterns: HashMap<&'a str, Regex>,
}

impl<'a> Schema<'a> {
    /// Accepts a schema.
    ///
    /// # Errors
    /// The reason for which it is refused.
    pub(super) fn new(root: &'a Json) -> Result<Self, String> {
        let mut walk = Walk { root, parts: 0, active: Vec::new(), patterns: HashMap::new() };
        walk.part(root, 0)?;
        Ok(Self { root, patterns: walk.patterns })
    }

    /// Returns the compiled form of a pattern of the schema.
    pub(super) fn pattern(&self, text: &str) -> Option<&Regex> {
        self.patterns.get(text)
    }

    /// Returns the part that the `$ref` of a part refers to.
    pub(super) fn target(&self, part: &Json) -> Option<&'a Json> {
        target(self.root, part.get("$ref")?.as_str()?)
    }
}

/// Returns the part that a plain reference names: `#`, `#/$defs/NAME` or `#/definitions/NAME`,
/// without escapes.
fn target<'a>(root: &'a Json, reference: &str) -> Option<&'a Json> {
    if reference == "#" {
        return Some(root);
    }
    let (section, name) = reference.strip_prefix("#/")?.split_once('/')?;
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !is_plain || !matches!(section, "$defs" | "definitions") {
        return None;
    }
    root.get(section)?.get(name)
}

/// The state of checking a schema.
struct Walk<'a> {
    root: &'a Json,
    parts: usize,
    /// The references that are being followed.
    active: Vec<&'a str>,
    patterns: HashMap<&'a str, Regex>,
}

impl<'a> Walk<'a> {
    fn charge(&mut self, parts: usize) -> Result<(), String> {
        self.parts = self.parts.saturating_add(parts);
        if self.parts > MAX_PARTS { Err("it is too large".to_owned()) } else { Ok(()) }
    }

    /// Checks a part that is a schema itself.
    fn part(&mut self, part: &'a Json, depth: usize) -> Result<(), String> {
        self.charge(1)?;
        if depth > MAX_DEPTH {
            return Err("it is too deep".to_owned());
        }
        match part {
            Json::Bool(_) => Ok(()),
            Json::Object(entries) => entries.iter().try_for_each(|(key, value)| self.keyword(key, value, depth)),
            other => Err(format!("it has {} where a schema belongs", shown_kind(other))),
        }
    }

    fn keyword(&mut self, key: &'a str, value: &'a Json, depth: usize) -> Result<(), String> {
        let wrong = |expected: &str| Err(format!("its `{key}` is not {expected}"));
        self.charge(1)?;
        match key {
            refused if REFUSED.contains(&refused) => Err(format!("it uses `{refused}`, which is not supported")),
            "$schema" => match value.as_str() {
                Some(draft) if depth == 0 && draft.trim_end_matches('#') == DRAFT => Ok(()),
                _ => Err(format!("its `$schema` is not `{DRAFT}`, or stands in a part of it")),
            },
            "$ref" => self.reference(value, depth),
            "$defs" | "definitions" if depth == 0 => self.parts_by_name(key, value, depth),
            "properties" | "dependentSchemas" => self.parts_by_name(key, value, depth),
            "patternProperties" => {
                for pattern in value.as_object().into_iter().flat_map(Map::keys) {
                    self.pattern(pattern)?;
                }
                self.parts_by_name(key, value, depth)
            }
            "items"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames"
            | "contains"
            | "not"
            | "if"
            | "then"
            | "else" => self.part(value, depth + 1),
            "prefixItems" | "allOf" | "anyOf" | "oneOf" => match value.as_array() {
                Some(parts) if !parts.is_empty() => parts.iter().try_for_each(|part| self.part(part, depth + 1)),
                _ => wrong("a list of schemas"),
            },
            "type" => match value {
                Json::String(name) if is_type(name) => Ok(()),
                Json::Array(names) if names.iter().all(|name| name.as_str().is_some_and(is_type)) => {
                    self.charge(names.len())
                }
                _ => wrong("a type of JSON, or a list of such"),
            },
            "enum" if !value.is_array() => wrong("a list"),
            "enum" | "const" => self.listed(value),
            "required" => self.names(key, value),
            "dependentRequired" => match value.as_object() {
                Some(entries) => entries.values().try_for_each(|names| self.names(key, names)),
                None => wrong("an object of lists"),
            },
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" | "minContains"
            | "maxContains" => match count(value) {
                Some(_) => Ok(()),
                None => wrong("a count"),
            },
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => match number(value) {
                Some(_) => Ok(()),
                None => wrong("a number"),
            },
            "multipleOf" => match number(value) {
                Some(number) if number > 0.0 => Ok(()),
                _ => wrong("a number above 0"),
            },
            "pattern" => match value.as_str() {
                Some(pattern) => self.pattern(pattern),
                None => wrong("a pattern"),
            },
            "uniqueItems" if !value.is_boolean() => wrong("true or false"),
            COLUMN_TYPES => match value.as_array() {
                Some(types) if types.len() <= MAX_COLUMN_TYPES => self.names(key, value),
                _ => wrong("a short list of types"),
            },
            // Annotations such as titles, defaults and formats contain no schemas.
            _ => Ok(()),
        }
    }

    fn reference(&mut self, value: &'a Json, depth: usize) -> Result<(), String> {
        let Some(reference) = value.as_str() else { return Err("its `$ref` is not a text".to_owned()) };
        let Some(target) = target(self.root, reference) else {
            let supported = "`#/$defs/NAME` of a definition that is there, in plain characters, is what is supported";
            return Err(format!("it refers to `{}`; {supported}", brief(reference)));
        };
        if reference == "#" || self.active.contains(&reference) {
            return Err(format!("`{}` refers to itself", brief(reference)));
        }
        self.active.push(reference);
        self.part(target, depth + 1)?;
        self.active.pop();
        Ok(())
    }

    fn parts_by_name(&mut self, key: &str, value: &'a Json, depth: usize) -> Result<(), String> {
        match value.as_object() {
            Some(parts) => parts.values().try_for_each(|part| self.part(part, depth + 1)),
            None => Err(format!("its `{key}` is not an object of schemas")),
        }
    }

    fn names(&mut self, key: &str, value: &Json) -> Result<(), String> {
        match value.as_array() {
            Some(names) if names.iter().all(Json::is_string) => self.charge(names.len()),
            _ => Err(format!("its `{key}` is not a list of names")),
        }
    }

    /// Checks values that parameters are compared with.
    fn listed(&mut self, value: &Json) -> Result<(), String> {
        match value {
            Json::String(text) => self.charge(1 + text.len() / 64),
            Json::Array(items) => {
                self.charge(1)?;
                items.iter().try_for_each(|item| self.listed(item))
            }
            Json::Object(entries) => {
                self.charge(1)?;
                entries.iter().try_for_each(|(key, value)| {
                    self.charge(key.len() / 64)?;
                    self.listed(value)
                })
            }
            Json::Number(number) if number.as_f64().is_none_or(|it| !it.is_finite()) => {
                Err("it lists a number that is none".to_owned())
            }
            _ => self.charge(1),
        }
    }

    fn pattern(&mut self, text: &'a str) -> Result<(), String> {
        if self.patterns.contains_key(text) {
            return Ok(());
        }
        if self.patterns.len() >= MAX_PATTERNS {
            return Err(format!("it has more than {MAX_PATTERNS} patterns"));
        }
        if text.len() > MAX_PATTERN_TEXT {
            return Err(format!("a pattern of it takes {} bytes; {MAX_PATTERN_TEXT} are allowed", text.len()));
        }
        // This engine takes time linear in the text. It supports neither look-around nor
        // back-references.
        let compiled = RegexBuilder::new(&translated(text))
            .size_limit(MAX_PATTERN_PROGRAM)
            .dfa_size_limit(MAX_PATTERN_PROGRAM)
            .build()
            .map_err(|reason| {
                format!("its pattern `{}` is not supported: {}", brief(text), brief(&reason.to_string()))
            })?;
        self.patterns.insert(text, compiled);
        Ok(())
    }
}

/// Translates a pattern of ECMA 262, which JSON Schema uses, into the syntax of the engine: there,
/// `\d` and `\w` match ASCII only.
fn translated(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('d') => text.push_str("[0-9]"),
            Some('D') => text.push_str("[^0-9]"),
            Some('w') => text.push_str("[A-Za-z0-9_]"),
            Some('W') => text.push_str("[^A-Za-z0-9_]"),
            Some(escaped) => text.extend(['\\', escaped]),
            None => text.push('\\'),
        }
    }
    text
}

fn is_type(name: &str) -> bool {
    matches!(name, "null" | "boolean" | "object" | "array" | "number" | "integer" | "string")
}

fn shown_kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
