//! The pipeline file as a tree of values that know where they come from.
//!
//! Owns parsing of TOML text and the origin of every key and value: a place in the file, or the
//! command-line argument that set it. It knows no key by name; the modules of the sections do.
//!
//! Why a tree of our own and not serde: serde stops at the first error and loses the place of most
//! others. And an argument must be able to replace a value, and be cited when that value is wrong.

use std::ops::Range;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

/// The origin of a key or a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A range of bytes of the file.
    File(Range<usize>),
    /// An argument of the command line, as typed.
    Argument(Arc<str>),
}

/// A value and its origin.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// A value of TOML.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    String(String),
    /// Wider than the 64 bits of TOML, so that a seed given as an argument fits.
    Integer(i128),
    Float(f64),
    Boolean(bool),
    /// A date, a time or both, as written.
    Datetime(String),
    Array(Vec<Node>),
    Table(Table),
}

/// A table. Its entries are in the order of the file; those that arguments add come last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// The origin of the key.
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

/// A fault of the text itself.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) span: Range<usize>,
}

/// A value cannot be set, because the key of this path holds a value that is no table.
#[derive(Debug)]
pub(crate) struct NotATable {
    pub(crate) key: String,
    pub(crate) kind: &'static str,
}

impl Value {
    /// Returns the kind of value with its article, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Boolean(_) => "a boolean",
            Self::Datetime(_) => "a date",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
        }
    }
}

impl Table {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.entries.retain(|entry| entry.name != name);
    }

    /// Returns the string at this path, if there is one.
    pub(crate) fn string_at(&self, path: &[&str]) -> Option<&str> {
        match &self.at(path)?.node.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the table at this path, if there is one.
    pub(crate) fn table_at(&self, path: &[&str]) -> Option<&Table> {
        match &self.at(path)?.node.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn table_at_mut(&mut self, path: &[&str]) -> Option<&mut Table> {
        let (name, rest) = path.split_first()?;
        let entry = self.entries.iter_mut().find(|entry| entry.name == *name)?;
        let Value::Table(table) = &mut entry.node.value else {
            return None;
        };
        if rest.is_empty() { Some(table) } else { table.table_at_mut(rest) }
    }

    /// Returns the entry at this path, if there is one.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Entry> {
        let (name, rest) = path.split_first()?;
        let entry = self.get(name)?;
        match &entry.node.value {
            _ if rest.is_empty() => Some(entry),
            Value::Table(table) => table.at(rest),
            _ => None,
        }
    }

    /// Sets the value at the end of `path` and creates the tables that are missing on the way.
    pub(crate) fn set(&mut self, path: &[String], node: Node) -> Result<(), NotATable> {
        self.set_below(path, 0, node)
    }

    fn set_below(&mut self, path: &[String], depth: usize, node: Node) -> Result<(), NotATable> {
        let name = &path[depth];
        let index = self.entries.iter().position(|entry| entry.name == *name).unwrap_or_else(|| {
            let origin = node.origin.clone();
            let value = Value::Table(Table::default());
            let node = Node { value, origin: origin.clone() };
            self.entries.push(Entry { name: name.clone(), origin, node });
            self.entries.len() - 1
        });
        let entry = &mut self.entries[index];
        if depth + 1 == path.len() {
            entry.origin = node.origin.clone();
            entry.node = node;
            return Ok(());
        }
        match &mut entry.node.value {
            Value::Table(table) => table.set_below(path, depth + 1, node),
            other => Err(NotATable { key: dotted(&path[..=depth]), kind: other.kind() }),
        }
    }
}

/// Returns a path as TOML writes it: names are bare where possible and quoted where not.
pub(crate) fn dotted<S: AsRef<str>>(path: &[S]) -> String {
    path.iter().map(|name| key_text(name.as_ref())).collect::<Vec<_>>().join(".")
}

/// Returns a key as TOML writes it.
pub(crate) fn key_text(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { string_text(name) }
}

/// Returns a string as TOML writes it, on one line. Characters that cannot be seen are escaped:
/// control characters, those that reorder or hide text, and every space but U+0020.
pub(crate) fn string_text(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            other => push_visibly(&mut quoted, other),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns a text for a TOML comment: on one line, with the escapes of [`string_text`].
pub(crate) fn comment_text(text: &str) -> String {
    let mut visible = String::with_capacity(text.len());
    text.chars().for_each(|letter| push_visibly(&mut visible, letter));
    visible
}

/// Appends a character, escaped as in TOML if it cannot be seen.
fn push_visibly(text: &mut String, letter: char) {
    match u32::from(letter) {
        _ if !letter.is_control() && !is_unseen(letter) => text.push(letter),
        code @ 0..=0xFFFF => text.push_str(&format!("\\u{code:04X}")),
        code => text.push_str(&format!("\\U{code:08X}")),
    }
}

/// Returns whether a character is invisible or looks like another one: unusual spaces, joiners,
/// marks that change the direction of text (Unicode TR 36), tags and variation selectors.
fn is_unseen(letter: char) -> bool {
    (letter.is_whitespace() && letter != ' ')
        || matches!(letter,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Parses the text of a file and finds all syntax errors in one pass.
pub(crate) fn parse(text: &str) -> Result<Table, Vec<SyntaxError>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults: Vec<SyntaxError> = errors
        .iter()
        .map(|error| SyntaxError { message: sentence(error.message()), span: error.span().unwrap_or(0..0) })
        .collect();
    let root = convert_table(table.get_ref(), &|span| Origin::File(span), &mut faults);
    if faults.is_empty() { Ok(root) } else { Err(faults) }
}

/// Parses the value of an argument: a TOML value, or a bare word, which stands for a string.
pub(crate) fn parse_argument(text: &str, argument: &Arc<str>) -> Result<Node, String> {
    let text = text.trim();
    let origin = Origin::Argument(Arc::clone(argument));
    let mut faults = Vec::new();
    let value = match DeValue::parse(text) {
        Ok(value) => convert(value.get_ref(), &|_| Origin::Argument(Arc::clone(argument)), 0..0, &mut faults),
        Err(error) if text.starts_with(['"', '\'', '[', '{']) => {
            return Err(sentence(error.message()));
        }
        Err(_) => Value::String(text.to_owned()),
    };
    match faults.pop() {
        Some(fault) => Err(fault.message),
        None => Ok(Node { value, origin }),
    }
}

/// Parses a dotted key, as an argument writes it.
pub(crate) fn parse_key(text: &str) -> Option<Vec<String>> {
    let line = format!("{text} = 0");
    let table = DeTable::parse(&line).ok()?;
    let mut path = Vec::new();
    let mut table = table.get_ref();
    loop {
        if table.len() != 1 {
            return None;
        }
        let (name, value) = table.iter().next()?;
        path.push(name.get_ref().to_string());
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return Some(path),
        }
    }
}

fn convert_table(table: &DeTable<'_>, origin: &dyn Fn(Range<usize>) -> Origin, faults: &mut Vec<SyntaxError>) -> Table {
    let mut entries: Vec<(usize, Entry)> = Vec::with_capacity(table.len());
    for (name, value) in table.iter() {
        let node = Node { value: convert(value.get_ref(), origin, value.span(), faults), origin: origin(value.span()) };
        let entry = Entry { name: name.get_ref().to_string(), origin: origin(name.span()), node };
        entries.push((name.span().start.min(first_place(value.get_ref())), entry));
    }
    // The parser sorts by name. To restore the order of the file, sort by the place of the key, or
    // of the first key in its table: `[a.b]` may stand before `[a]`.
    entries.sort_by_key(|(start, _)| *start);
    Table { entries: entries.into_iter().map(|(_, entry)| entry).collect() }
}

/// Returns the place of the first key in a value.
fn first_place(value: &DeValue<'_>) -> usize {
    let DeValue::Table(table) = value else {
        return usize::MAX;
    };
    let places = table.iter().map(|(name, value)| name.span().start.min(first_place(value.get_ref())));
    places.min().unwrap_or(usize::MAX)
}

fn convert(
    value: &DeValue<'_>,
    origin: &dyn Fn(Range<usize>) -> Origin,
    span: Range<usize>,
    faults: &mut Vec<SyntaxError>,
) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number.into()),
            Err(_) => {
                faults.push(SyntaxError { message: format!("the integer `{number}` does not fit 64 bits"), span });
                Value::Integer(0)
            }
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => {
                faults.push(SyntaxError { message: format!("`{number}` is not a number"), span });
                Value::Float(0.0)
            }
        },
        DeValue::Boolean(claim) => Value::Boolean(*claim),
        DeValue::Datetime(moment) => Value::Datetime(moment.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| Node {
                    value: convert(item.get_ref(), origin, item.span(), faults),
                    origin: origin(item.span()),
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(table, origin, faults)),
    }
}

/// Returns the parser's message on one line, in the form of our own messages.
fn sentence(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_of_the_file() {
        let root = parse("zebra = 1\n[beta.x]\n[alpha]\ny = 1\nb = 2\n[beta]\nq = 0\n").unwrap();
        let names: Vec<_> = root.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["zebra", "beta", "alpha"]);
        let inner: Vec<_> = root.table_at(&["alpha"]).unwrap().iter().map(|entry| entry.name.clone()).collect();
        assert_eq!(inner, ["y", "b"]);
    }

    #[test]
    fn a_word_that_is_no_toml_value_is_a_string() {
        let argument: Arc<str> = "x".into();
        let kind = |text| parse_argument(text, &argument).map(|node| node.value.kind());
        assert_eq!(kind("train-boosted"), Ok("a string"));
        assert_eq!(kind("30 s"), Ok("a string"));
        assert_eq!(kind("0.05"), Ok("a float"));
        assert_eq!(kind("7"), Ok("an integer"));
        assert_eq!(kind("true"), Ok("a boolean"));
        assert_eq!(kind("[1, 2]"), Ok("an array"));
        assert!(kind("[1, 2").is_err());
    }

    #[test]
    fn dotted_keys_may_be_quoted() {
        assert_eq!(parse_key("training.\"a.b\".c").unwrap(), ["training", "a.b", "c"]);
        assert!(parse_key("training..c").is_none());
        assert!(parse_key("a = 1\nb").is_none());
        assert!(parse_key("").is_none());
    }

    #[test]
    fn written_strings_are_read_back_as_they_were() {
        for text in [
            "",
            "plain",
            "a \"b\" \\ c",
            "tab\t line\n \u{7f} \u{1b} \u{85} é 猫",
            "a\u{a0}b\u{200b}\u{202e}c\u{feff}\u{e0041}",
        ] {
            let root = parse(&format!("{} = {}", key_text(text), string_text(text))).unwrap();
            assert_eq!(root.string_at(&[text]), Some(text));
        }
    }

    #[test]
    fn invisible_characters_are_written_as_escapes() {
        let written = string_text("n\u{a0}o\u{200b}\u{202e}\u{e0041}é");
        assert_eq!(written, "\"n\\u00A0o\\u200B\\u202E\\U000E0041é\"");
    }
}
