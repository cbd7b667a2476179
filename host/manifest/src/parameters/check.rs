//! Checks parameters against a schema, step by step.
//!
//! Every step is counted, so that no schema and no parameters cost more than [`MAX_STEPS`]. A
//! violation holds a path and a reference to the keyword, which become text later. The check ends
//! after [`MAX_VIOLATIONS`].
//!
//! Why not a library? Libraries validate first and then build every error with copies of the
//! values, of which an untrusted schema can make gigabytes. And they follow references by rules of
//! their own.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Number, Value as Json};

use super::numbers::{compare, count, is_multiple, is_of_type, number};
use super::schema::Schema;

/// The most steps of a check, each of about 10 ns. A component with a hundred parameters takes a
/// few thousand.
pub(super) const MAX_STEPS: u64 = 10_000_000;

/// The most violations that are collected.
pub(super) const MAX_VIOLATIONS: usize = 100;

/// Steps for each byte that is matched against a pattern, whose automaton may have thousands of
/// states.
const PATTERN_STEPS: u64 = 256;

/// One step of the path to a part of a JSON value.
#[derive(Clone, Debug)]
pub(super) enum PathStep {
    Key(String),
    Index(usize),
}

/// A violation of the schema.
#[derive(Debug)]
pub(super) struct Violation<'s> {
    /// The path of the value.
    pub(super) path: Vec<PathStep>,
    /// The part of the schema with the keyword.
    pub(super) part: &'s Json,
    /// The rule that is broken.
    pub(super) rule: Rule<'s>,
}

/// A rule, with the keyword's argument where a message needs it.
#[derive(Clone, Debug)]
pub(super) enum Rule<'s> {
    Type,
    Enum(&'s [Json]),
    Const(&'s Json),
    /// No choice fits.
    NoChoice,
    /// Several choices of `oneOf` fit.
    SeveralChoices,
    Not,
    False,
    /// A limit such as `minimum`, with its value.
    Limit(&'static str, &'s Json),
    MultipleOf(&'s Json),
    Pattern(&'s str),
    UniqueItems,
    Contains,
    PropertyName,
    /// A property that the schema does not allow.
    Unknown(String),
    Required(&'s str),
}

/// The reason for which a check ends early.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A tried choice does not fit.
    Misfit,
    /// There are [`MAX_VIOLATIONS`].
    Full,
    /// There are no steps left.
    Work,
}

/// The result of a check.
#[derive(Debug)]
pub(super) struct Checked<'s> {
    /// The violations, at most [`MAX_VIOLATIONS`].
    pub(super) violations: Vec<Violation<'s>>,
    /// Whether the steps ran out. The rest of the value is then unchecked.
    pub(super) is_unfinished: bool,
    /// The steps that were taken, at most [`MAX_STEPS`].
    pub(super) steps: u64,
}

/// Checks a value against a schema.
pub(super) fn check<'s>(schema: &Schema<'s>, value: &Json) -> Checked<'s> {
    let mut check = Check { schema, steps: 0, path: Vec::new(), trying: 0, found: Vec::new() };
    let is_unfinished = check.apply(schema.root, value) == Err(Stop::Work);
    Checked { violations: check.found, is_unfinished, steps: check.steps }
}

struct Check<'a, 's> {
    schema: &'a Schema<'s>,
    steps: u64,
    path: Vec<PathStep>,
    /// How many choices are being tried. A misfit in one of them is no violation.
    trying: usize,
    found: Vec<Violation<'s>>,
}

type Outcome<T> = Result<T, Stop>;

impl<'s> Check<'_, 's> {
    fn charge(&mut self, steps: usize, each: u64) -> Outcome<()> {
        // Charged before the work is done, so that it is not started without steps left.
        let after = self.steps.saturating_add((steps as u64).saturating_mul(each));
        self.steps = after.min(MAX_STEPS);
        if after > MAX_STEPS { Err(Stop::Work) } else { Ok(()) }
    }

    fn fail(&mut self, part: &'s Json, rule: Rule<'s>) -> Outcome<()> {
        if self.trying > 0 {
            return Err(Stop::Misfit);
        }
        self.found.push(Violation { path: self.path.clone(), part, rule });
        if self.found.len() >= MAX_VIOLATIONS { Err(Stop::Full) } else { Ok(()) }
    }

    /// Returns whether a value fits a part, without recording violations.
    fn fits(&mut self, part: &'s Json, value: &Json) -> Outcome<bool> {
        let depth = self.path.len();
        self.trying += 1;
        let outcome = self.apply(part, value);
        self.trying -= 1;
        self.path.truncate(depth);
        match outcome {
            Ok(()) => Ok(true),
            Err(Stop::Misfit) => Ok(false),
            Err(stop) => Err(stop),
        }
    }

    fn apply(&mut self, part: &'s Json, value: &Json) -> Outcome<()> {
        self.charge(1, 1)?;
        let entries = match part {
            Json::Object(entries) => entries,
            Json::Bool(false) => return self.fail(part, Rule::False),
            _ => return Ok(()),
        };
        self.charge(entries.len(), 1)?;
        for (key, argument) in entries {
            self.keyword(part, (key, argument), value)?;
        }
        match value {
            Json::Object(_) => self.object(part, entries, value),
            Json::Array(items) => self.array(part, entries, items),
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, part: &'s Json, (key, argument): (&'s str, &'s Json), value: &Json) -> Outcome<()> {
        match (key, argument) {
            ("$ref", _) => match self.schema.target(part) {
                Some(target) => self.apply(target, value),
                None => Ok(()),
            },
            ("type", _) => {
                self.charge(argument.as_array().map_or(0, Vec::len), 1)?;
                self.hold(part, is_of_type(argument, value), Rule::Type)
            }
            ("enum", Json::Array(options)) => {
                for option in options {
                    if self.equal(option, value)? {
                        return Ok(());
                    }
                }
                self.fail(part, Rule::Enum(options))
            }
            ("const", _) => {
                let is_equal = self.equal(argument, value)?;
                self.hold(part, is_equal, Rule::Const(argument))
            }
            ("allOf", Json::Array(parts)) => parts.iter().try_for_each(|part| self.apply(part, value)),
            ("anyOf", Json::Array(choices)) => {
                for choice in choices {
                    if self.fits(choice, value)? {
                        return Ok(());
                    }
                }
                self.fail(part, Rule::NoChoice)
            }
            ("oneOf", Json::Array(choices)) => {
                let mut fitting = 0;
                for choice in choices {
                    fitting += usize::from(self.fits(choice, value)?);
                }
                match fitting {
                    0 => self.fail(part, Rule::NoChoice),
                    1 => Ok(()),
                    _ => self.fail(part, Rule::SeveralChoices),
                }
            }
            ("not", _) => {
                let fits = self.fits(argument, value)?;
                self.hold(part, !fits, Rule::Not)
            }
            ("if", _) => {
                let branch = if self.fits(argument, value)? { "then" } else { "else" };
                part.get(branch).map_or(Ok(()), |branch| self.apply(branch, value))
            }
            _ => match value {
                Json::Number(number) => self.number(part, (key, argument), number),
                Json::String(text) => self.text(part, (key, argument), text),
                _ => Ok(()),
            },
        }
    }

    fn hold(&mut self, part: &'s Json, holds: bool, rule: Rule<'s>) -> Outcome<()> {
        if holds { Ok(()) } else { self.fail(part, rule) }
    }

    fn number(&mut self, part: &'s Json, (key, limit): (&str, &'s Json), value: &Number) -> Outcome<()> {
        let Json::Number(bound) = limit else { return Ok(()) };
        let order = || compare(value, bound);
        match key {
            "minimum" => self.hold(part, order().is_some_and(|it| it.is_ge()), Rule::Limit("minimum", limit)),
            "maximum" => self.hold(part, order().is_some_and(|it| it.is_le()), Rule::Limit("maximum", limit)),
            "exclusiveMinimum" => {
                self.hold(part, order().is_some_and(|it| it.is_gt()), Rule::Limit("exclusiveMinimum", limit))
            }
            "exclusiveMaximum" => {
                self.hold(part, order().is_some_and(|it| it.is_lt()), Rule::Limit("exclusiveMaximum", limit))
            }
            "multipleOf" => self.hold(part, is_multiple(value, bound), Rule::MultipleOf(limit)),
            _ => Ok(()),
        }
    }

    fn text(&mut self, part: &'s Json, (key, argument): (&str, &'s Json), text: &str) -> Outcome<()> {
        match (key, argument) {
            ("minLength" | "maxLength", _) => {
                self.charge(text.len() / 64, 1)?;
                self.size(part, ("minLength", "maxLength"), key, argument, text.chars().count())
            }
            ("pattern", Json::String(pattern)) => {
                let matches = self.matches(pattern, text)?;
                self.hold(part, matches, Rule::Pattern(pattern))
            }
            _ => Ok(()),
        }
    }

    /// Checks a size against a least or a greatest one.
    fn size(
        &mut self,
        part: &'s Json,
        (least, greatest): (&'static str, &'static str),
        key: &str,
        limit: &'s Json,
        size: usize,
    ) -> Outcome<()> {
        let Some(bound) = count(limit) else { return Ok(()) };
        if key == least {
            self.hold(part, size as u64 >= bound, Rule::Limit(least, limit))
        } else {
            self.hold(part, size as u64 <= bound, Rule::Limit(greatest, limit))
        }
    }

    fn matches(&mut self, pattern: &str, text: &str) -> Outcome<bool> {
        self.charge(text.len() + 1, PATTERN_STEPS)?;
        Ok(self.schema.pattern(pattern).is_none_or(|pattern| pattern.is_match(text)))
    }

    fn array(&mut self, part: &'s Json, entries: &'s Map<String, Json>, items: &[Json]) -> Outcome<()> {
        let first = entries.get("prefixItems").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
        let rest = entries.get("items");
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = first.get(index).or(rest) {
                self.path.push(PathStep::Index(index));
                self.apply(schema, item)?;
                self.path.pop();
            }
        }
        for key in ["minItems", "maxItems"] {
            if let Some(limit) = entries.get(key) {
                self.size(part, ("minItems", "maxItems"), key, limit, items.len())?;
            }
        }
        if entries.get("uniqueItems") == Some(&Json::Bool(true)) {
            let mut seen = HashSet::new();
            for item in items {
                let mut text = String::new();
                self.canonical(item, &mut text)?;
                if !seen.insert(text) {
                    self.fail(part, Rule::UniqueItems)?;
                    break;
                }
            }
        }
        let Some(wanted) = entries.get("contains") else { return Ok(()) };
        let mut fitting = 0;
        for item in items {
            fitting += u64::from(self.fits(wanted, item)?);
        }
        let least = entries.get("minContains").and_then(count).unwrap_or(1);
        let greatest = entries.get("maxContains").and_then(count).unwrap_or(u64::MAX);
        self.hold(part, (least..=greatest).contains(&fitting), Rule::Contains)
    }

    fn object(&mut self, part: &'s Json, entries: &'s Map<String, Json>, value: &Json) -> Outcome<()> {
        let Json::Object(properties) = value else { return Ok(()) };
        for name in texts(entries.get("required")) {
            self.charge(1, 1)?;
            if !properties.contains_key(name) {
                self.fail(part, Rule::Required(name))?;
            }
        }
        for (name, others) in entries.get("dependentRequired").and_then(Json::as_object).into_iter().flatten() {
            self.charge(1, 1)?;
            for other in texts(Some(others)).filter(|_| properties.contains_key(name)) {
                self.charge(1, 1)?;
                if !properties.contains_key(other) {
                    self.fail(part, Rule::Required(other))?;
                }
            }
        }
        for (name, schema) in entries.get("dependentSchemas").and_then(Json::as_object).into_iter().flatten() {
            self.charge(1, 1)?;
            if properties.contains_key(name) {
                self.apply(schema, value)?;
            }
        }
        for key in ["minProperties", "maxProperties"] {
            if let Some(limit) = entries.get(key) {
                self.size(part, ("minProperties", "maxProperties"), key, limit, properties.len())?;
            }
        }
        self.properties(part, entries, value)
    }

    fn properties(&mut self, part: &'s Json, entries: &'s Map<String, Json>, value: &Json) -> Outcome<()> {
        let Json::Object(properties) = value else { return Ok(()) };
        let seen = match entries.get("unevaluatedProperties") {
            Some(_) => {
                let mut seen = BTreeSet::new();
                self.evaluated(part, value, &mut seen)?;
                Some(seen)
            }
            None => None,
        };
        for (name, value) in properties {
            if let Some(names) = entries.get("propertyNames")
                && !self.fits(names, &Json::String(name.clone()))?
            {
                self.path.push(PathStep::Key(name.clone()));
                self.fail(part, Rule::PropertyName)?;
                self.path.pop();
            }
            let fitting = self.schemas_of(entries, name)?;
            let rest = match (&seen, fitting.is_empty()) {
                (_, false) => None,
                (Some(seen), true) if !seen.contains(name.as_str()) => entries.get("unevaluatedProperties"),
                (_, true) => entries.get("additionalProperties"),
            };
            if rest == Some(&Json::Bool(false)) {
                self.fail(part, Rule::Unknown(name.clone()))?;
                continue;
            }
            self.path.push(PathStep::Key(name.clone()));
            for schema in fitting.into_iter().chain(rest) {
                self.apply(schema, value)?;
            }
            self.path.pop();
        }
        Ok(())
    }

    /// Returns the schemas that `properties` and `patternProperties` have for a name.
    fn schemas_of(&mut self, entries: &'s Map<String, Json>, name: &str) -> Outcome<Vec<&'s Json>> {
        self.charge(1 + name.len() / 64, 1)?;
        let mut found: Vec<&'s Json> = entries.get("properties").and_then(|it| it.get(name)).into_iter().collect();
        for (pattern, schema) in entries.get("patternProperties").and_then(Json::as_object).into_iter().flatten() {
            if self.matches(pattern, name)? {
                found.push(schema);
            }
        }
        Ok(found)
    }

    /// Collects the properties that a part, or what it applies to the same object, has a schema
    /// for.
    fn evaluated<'v>(&mut self, part: &'s Json, value: &'v Json, seen: &mut BTreeSet<&'v str>) -> Outcome<()> {
        let (Json::Object(entries), Json::Object(properties)) = (part, value) else { return Ok(()) };
        self.charge(1 + properties.len(), 1)?;
        for name in properties.keys() {
            if entries.contains_key("additionalProperties") || !self.schemas_of(entries, name)?.is_empty() {
                seen.insert(name);
            }
        }
        if let Some(target) = self.schema.target(part) {
            self.evaluated_within(target, value, seen)?;
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for branch in entries.get(key).and_then(Json::as_array).into_iter().flatten() {
                if self.fits(branch, value)? {
                    self.evaluated_within(branch, value, seen)?;
                }
            }
        }
        if let Some(condition) = entries.get("if") {
            let holds = self.fits(condition, value)?;
            if holds {
                self.evaluated_within(condition, value, seen)?;
            }
            if let Some(branch) = entries.get(if holds { "then" } else { "else" }) {
                self.evaluated_within(branch, value, seen)?;
            }
        }
        for (name, branch) in entries.get("dependentSchemas").and_then(Json::as_object).into_iter().flatten() {
            if properties.contains_key(name) {
                self.evaluated_within(branch, value, seen)?;
            }
        }
        Ok(())
    }

    /// Collects the properties of a part that another part applies to the same object, and that the
    /// object fits.
    fn evaluated_within<'v>(&mut self, part: &'s Json, value: &'v Json, seen: &mut BTreeSet<&'v str>) -> Outcome<()> {
        if part.get("unevaluatedProperties").is_none() {
            return self.evaluated(part, value, seen);
        }
        // With `unevaluatedProperties`, all properties are evaluated.
        self.charge(1 + value.as_object().map_or(0, Map::len), 1)?;
        seen.extend(value.as_object().into_iter().flat_map(Map::keys).map(String::as_str));
        Ok(())
    }

    /// Returns whether two values are equal, where 1 equals 1.0.
    fn equal(&mut self, one: &Json, two: &Json) -> Outcome<bool> {
        self.charge(1, 1)?;
        match (one, two) {
            (Json::Number(one), Json::Number(two)) => Ok(compare(one, two).is_some_and(|it| it.is_eq())),
            (Json::String(one), Json::String(two)) => {
                let is_long = one.len() == two.len();
                self.charge(if is_long { one.len() / 64 } else { 0 }, 1)?;
                Ok(one == two)
            }
            (Json::Array(one), Json::Array(two)) => {
                for (one, two) in one.iter().zip(two) {
                    if !self.equal(one, two)? {
                        return Ok(false);
                    }
                }
                Ok(one.len() == two.len())
            }
            (Json::Object(one), Json::Object(two)) => {
                if one.len() != two.len() {
                    return Ok(false);
                }
                for (key, one) in one {
                    let Some(two) = two.get(key) else { return Ok(false) };
                    if !self.equal(one, two)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (one, two) => Ok(one == two),
        }
    }

    /// Appends a text that is the same for equal values and differs for others.
    fn canonical(&mut self, value: &Json, text: &mut String) -> Outcome<()> {
        self.charge(1, 1)?;
        match value {
            Json::Number(it) => match number(value).filter(|it| it.fract() == 0.0 && it.abs() < 1e15) {
                Some(whole) => text.push_str(&format!("{whole:.0},")),
                None => text.push_str(&format!("{it},")),
            },
            Json::Array(items) => {
                text.push('[');
                items.iter().try_for_each(|item| self.canonical(item, text))?;
                text.push_str("],");
            }
            Json::Object(entries) => {
                let mut names: Vec<&String> = entries.keys().collect();
                names.sort();
                text.push('{');
                for name in names {
                    self.canonical(&Json::String(name.clone()), text)?;
                    self.canonical(&entries[name], text)?;
                }
                text.push_str("},");
            }
            Json::String(it) => {
                self.charge(it.len() / 16, 1)?;
                text.push_str(&format!("{value},"));
            }
            Json::Null | Json::Bool(_) => text.push_str(&format!("{value},")),
        }
        Ok(())
    }
}

fn texts(value: Option<&Json>) -> impl Iterator<Item = &str> {
    value.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
}

#[cfg(test)]
mod tests;
