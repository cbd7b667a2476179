//! Reads typed values out of the tree and collects all problems.
//!
//! Owns the messages for missing keys, unknown keys and wrong types. A reader never stops: what
//! cannot be read is reported and becomes `None`, and the caller goes on with the rest. It knows no
//! key by name.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;

use crate::document::{Entry, Node, Origin, Table, Value, key_text};
use crate::names::{Identifier, Name};
use crate::nearest::{did_you_mean, listed, nearest};
use crate::problem::{Collector, Condition};
use crate::units;

/// The state that all readers share.
pub(crate) struct Context<'a> {
    pub(crate) collector: &'a Collector,
    /// The manifest's directory. Relative paths in the file start there.
    pub(crate) directory: PathBuf,
}

/// A table that is being read. Dropping it without [`Section::finish`] skips the check for unknown
/// keys.
pub(crate) struct Section<'a> {
    pub(crate) context: &'a Context<'a>,
    /// The dotted path; empty at the root.
    pub(crate) key: String,
    pub(crate) origin: Origin,
    pub(crate) table: &'a Table,
    known: RefCell<Vec<&'static str>>,
}

/// A value that is being read.
pub(crate) struct Item<'a> {
    pub(crate) context: &'a Context<'a>,
    /// The dotted path.
    pub(crate) key: String,
    /// The origin of the key.
    pub(crate) origin: Origin,
    pub(crate) node: &'a Node,
}

impl<'a> Section<'a> {
    pub(crate) fn root(context: &'a Context<'a>, table: &'a Table) -> Self {
        Self { context, key: String::new(), origin: Origin::File(0..0), table, known: RefCell::default() }
    }

    /// Returns the value of an optional key.
    pub(crate) fn get(&self, name: &'static str) -> Option<Item<'a>> {
        self.known.borrow_mut().push(name);
        self.table.get(name).map(|entry| self.item(entry))
    }

    /// Returns the value of a required key. If it is missing, the hint is to add `example`.
    pub(crate) fn require(&self, name: &'static str, example: &str) -> Option<Item<'a>> {
        let item = self.get(name);
        if item.is_none() {
            let place = if self.key.is_empty() { String::new() } else { format!(" in `{}`", self.key) };
            let message = format!("missing key `{name}`{place}");
            self.report_as(Condition::MissingKey, message, Some(format!("add `{example}`")));
        }
        item
    }

    /// Returns the table under an optional key.
    pub(crate) fn section(&self, name: &'static str) -> Option<Section<'a>> {
        self.get(name)?.section()
    }

    /// Returns all values, for tables whose keys are the user's.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&'a str, Item<'a>)> + '_ {
        self.table.iter().map(|entry| (entry.name.as_str(), self.item(entry)))
    }

    /// Reports every unknown key. `advice` may return a better hint than the nearest key.
    pub(crate) fn finish_with(self, advice: impl Fn(&str) -> Option<String>) {
        let known = self.known.borrow();
        for (name, item) in self.items().filter(|(name, _)| !known.contains(name)) {
            let place = if self.key.is_empty() { String::new() } else { format!(" in `{}`", self.key) };
            let hint = nearest(name, known.iter().copied())
                .map(|meant| format!("did you mean `{meant}`?"))
                .or_else(|| advice(name))
                .unwrap_or_else(|| format!("the keys here are {}", listed(known.iter().copied())));
            item.report_as(Condition::UnknownKey, format!("unknown key `{}`{place}", key_text(name)), Some(hint));
        }
    }

    /// Reports every unknown key.
    pub(crate) fn finish(self) {
        self.finish_with(|_| None);
    }

    pub(crate) fn report(&self, message: String, hint: Option<String>) {
        self.report_as(Condition::WrongValue, message, hint);
    }

    pub(crate) fn report_as(&self, condition: Condition, message: String, hint: Option<String>) {
        self.context.collector.report_as(condition, &self.origin, &self.key, message, hint);
    }

    fn item(&self, entry: &'a Entry) -> Item<'a> {
        let name = key_text(&entry.name);
        let key = if self.key.is_empty() { name } else { format!("{}.{name}", self.key) };
        Item { context: self.context, key, origin: entry.origin.clone(), node: &entry.node }
    }
}

impl<'a> Item<'a> {
    /// Reports a problem at the key.
    pub(crate) fn report(&self, message: String, hint: Option<String>) {
        self.report_as(Condition::WrongValue, message, hint);
    }

    pub(crate) fn report_as(&self, condition: Condition, message: String, hint: Option<String>) {
        self.context.collector.report_as(condition, &self.origin, &self.key, message, hint);
    }

    /// Reports a problem at the value.
    pub(crate) fn report_value(&self, message: String, hint: Option<String>) {
        self.context.collector.report(&self.node.origin, &self.key, message, hint);
    }

    fn wrong_type<T>(&self, expected: &str, hint: Option<String>) -> Option<T> {
        let message = format!("`{}` must be {expected}, not {}", self.key, self.node.value.kind());
        self.context.collector.report_as(Condition::WrongType, &self.node.origin, &self.key, message, hint);
        None
    }

    pub(crate) fn section(&self) -> Option<Section<'a>> {
        match &self.node.value {
            Value::Table(table) => Some(Section {
                context: self.context,
                key: self.key.clone(),
                origin: self.origin.clone(),
                table,
                known: RefCell::default(),
            }),
            _ => self.wrong_type("a table", None),
        }
    }

    pub(crate) fn string(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                self.wrong_type("a string", Some("put it in quotes".to_owned()))
            }
            _ => self.wrong_type("a string", None),
        }
    }

    /// Reads a non-empty string.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.string()?;
        if text.is_empty() {
            self.report_value(format!("`{}` is empty", self.key), None);
            return None;
        }
        Some(text)
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        match &self.node.value {
            Value::Boolean(claim) => Some(*claim),
            _ => self.wrong_type("a boolean", Some("write `true` or `false`, without quotes".to_owned())),
        }
    }

    /// Reads an integer from `least` to `greatest`, both included.
    pub(crate) fn integer(&self, least: u64, greatest: u64) -> Option<u64> {
        let number = match &self.node.value {
            Value::Integer(number) => *number,
            Value::String(_) => {
                return self.wrong_type("an integer", Some("write it without quotes".to_owned()));
            }
            _ => return self.wrong_type("an integer", None),
        };
        match u64::try_from(number) {
            Ok(number) if (least..=greatest).contains(&number) => Some(number),
            _ => {
                let hint = format!("choose from {least} to {greatest}");
                self.report_value(format!("`{}` is out of range: `{number}`", self.key), Some(hint));
                None
            }
        }
    }

    /// Reads a finite number. An integer needs no decimal point.
    pub(crate) fn float(&self) -> Option<f64> {
        let number = match &self.node.value {
            Value::Float(number) => *number,
            // At most 64 bits are parsed. The rounding beyond 2^53 does not matter for a threshold.
            Value::Integer(number) => *number as f64,
            Value::String(_) => {
                return self.wrong_type("a number", Some("write it without quotes".to_owned()));
            }
            _ => return self.wrong_type("a number", None),
        };
        if !number.is_finite() {
            self.report_value(format!("`{}` must be finite, not `{number}`", self.key), None);
            return None;
        }
        Some(number)
    }

    /// Reads a number that `allowed` accepts; `range` describes it in messages.
    pub(crate) fn float_within(&self, range: &str, allowed: impl Fn(f64) -> bool) -> Option<f64> {
        let number = self.float()?;
        if !allowed(number) {
            self.report_value(format!("`{}` is out of range: `{number}`", self.key), Some(format!("choose {range}")));
            return None;
        }
        Some(number)
    }

    pub(crate) fn array(&self) -> Option<Vec<Item<'a>>> {
        let Value::Array(nodes) = &self.node.value else {
            return self.wrong_type("an array", None);
        };
        let item = |(index, node): (usize, &'a Node)| Item {
            context: self.context,
            key: format!("{}[{index}]", self.key),
            origin: node.origin.clone(),
            node,
        };
        Some(nodes.iter().enumerate().map(item).collect())
    }

    pub(crate) fn strings(&self) -> Option<Vec<String>> {
        let items = self.array()?;
        items.iter().map(|item| item.string().map(str::to_owned)).collect::<Vec<_>>().into_iter().collect()
    }

    /// Reads one of the words of an enumeration.
    pub(crate) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Option<T> {
        let word = self.string()?;
        let found = choices.iter().find(|(name, _)| *name == word);
        if found.is_none() {
            let hint = did_you_mean(word, choices.iter().map(|(name, _)| *name));
            self.report_value(format!("`{word}` is not a value of `{}`", self.key), Some(hint));
        }
        found.map(|(_, choice)| *choice)
    }

    pub(crate) fn identifier(&self) -> Option<Identifier> {
        self.parse(Identifier::new)
    }

    pub(crate) fn name(&self) -> Option<Name> {
        self.parse(Name::new)
    }

    fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let text = self.string()?;
        let parsed = parse(text);
        parsed
            .map_err(|rule| {
                self.report_value(format!("`{text}` is not a name for `{}`", self.key), Some(rule.to_owned()))
            })
            .ok()
    }

    pub(crate) fn bytes(&self) -> Option<u64> {
        self.quantity("a size such as `512 MiB`", units::parse_bytes)
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        self.quantity("a duration such as `30 s`", units::parse_duration)
    }

    fn quantity<T>(&self, what: &str, parse: impl Fn(&str) -> Result<T, units::UnitError>) -> Option<T> {
        let Value::String(text) = &self.node.value else {
            return self.wrong_type(what, Some("write number and unit in quotes".to_owned()));
        };
        parse(text)
            .map_err(|error| self.report_value(format!("`{}` is not {what}: `{text}`", self.key), Some(error.hint)))
            .ok()
    }

    /// Reads a path: relative to the manifest in the file, to the current directory in an argument.
    pub(crate) fn path(&self) -> Option<PathBuf> {
        self.text().map(|text| self.resolve(text))
    }

    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match self.node.origin {
            Origin::File(_) => self.context.directory.join(path),
            Origin::Argument(_) => PathBuf::from(path),
        }
    }
}
