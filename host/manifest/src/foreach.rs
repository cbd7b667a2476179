//! `[foreach]`: one run and one model for each of several values or segments.
//!
//! Owns the section and how a value becomes the name of a child. A child of a value is the pipeline
//! with that value under a key, as `--set` would put it. A child of a segment is the pipeline over
//! the rows with one value of a column. A value is never parsed again: it becomes a node of the
//! tree, or is compared with cells.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;
use stagewright_store::{DataType, Digest, Role};

use crate::document::{Table, Value};
use crate::names::Name;
use crate::nearest::{listed, nearest};
use crate::outputs::OutputSection;
use crate::reader::{Item, Section};
use crate::signature::SignatureSection;
use crate::task::TaskDraft;
use crate::world::World;

/// The step that assigns the rows of a table to its segments.
pub const SEGMENTS: &str = "segments";

/// The most children of a run.
pub const MAX_CHILDREN: u64 = 1000;

/// The default of `max-children`. A column with more values than this probably identifies rows.
const USUAL_CHILDREN: u64 = 100;

/// The default of `min-rows`. With fewer rows, the metrics of a test set say nothing.
const USUAL_ROWS: u64 = 50;

/// The most bytes of a child's name that come from its value.
const MAX_TEXT: usize = 64;

/// The placeholder for a child's name in `model` and in paths of outputs.
const PLACEHOLDER: &str = "{value}";

/// `[foreach]`: one run for each of several values or segments.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ForeachSection {
    /// How the children differ.
    #[serde(flatten)]
    pub over: Over,
    /// The name of a child's model, with `{value}` for the child's name.
    pub model: NameTemplate,
    /// Whether the other children go on when one fails.
    pub on_failure: OnFailure,
}

/// How the children of a run differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Over {
    /// In the value of a key.
    Values {
        /// The key, as written.
        set: String,
    },
    /// In their rows: one child for each value of a column.
    #[serde(rename_all = "kebab-case")]
    Column {
        /// The column of the ingested table.
        column: String,
        /// How rows without a value in the column are treated.
        nulls: NullPolicy,
        /// The fewest rows of a segment. Smaller segments are skipped.
        min_rows: u64,
        /// The most segments.
        max_children: u64,
    },
}

/// How rows without a value in the column of the segments are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NullPolicy {
    /// They are an error.
    Error,
    /// They belong to no segment.
    Skip,
    /// They are a segment of their own, named `null`.
    Segment,
}

/// Whether the other children go on when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The others go on.
    Continue,
    /// No further child begins. Children run one after the other.
    Stop,
}

/// A text with placeholders for a child's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct NameTemplate {
    text: String,
    /// The second placeholder: the name of the column, in braces.
    other: Option<String>,
}

impl From<NameTemplate> for String {
    fn from(template: NameTemplate) -> Self {
        template.text
    }
}

impl NameTemplate {
    /// Returns the text for a child.
    pub(crate) fn fill(&self, name: &str) -> String {
        let text = self.text.replace(PLACEHOLDER, name);
        match &self.other {
            // A child's name has no braces, so it cannot contain a placeholder.
            Some(other) => text.replace(other, name),
            None => text,
        }
    }

    /// Returns another text with the same placeholders.
    pub(crate) fn with(&self, text: &str) -> Self {
        Self { text: text.to_owned(), other: self.other.clone() }
    }

    fn has_place(&self) -> bool {
        self.fill("") != self.text
    }
}

/// A value of `foreach.values`, and its place.
pub(crate) struct ChildValue<'a> {
    pub(crate) name: String,
    pub(crate) value: Json,
    pub(crate) item: Item<'a>,
}

/// Two values whose children would have the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameCollision {
    /// The name.
    pub name: String,
    /// The values, as JSON.
    pub values: [String; 2],
}

/// Returns the name of a value's child: its letters, digits, `-`, `_` and `.`, with one `-` for
/// each run of other characters. An empty name is replaced by a digest of the value; a long one is
/// cut and gets a digest as its suffix.
pub fn child_name(value: &Json) -> String {
    let text = match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string().replace('-', "minus-"),
        other => other.to_string(),
    };
    let mut name = String::new();
    for letter in text.chars() {
        match letter {
            letter if letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.') => name.push(letter),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_matches(['-', '.']);
    let digest = || Digest::of(text.as_bytes()).to_hex()[..8].to_owned();
    match name.len() {
        0 => format!("value-{}", digest()),
        1..=MAX_TEXT => name.to_owned(),
        _ => format!("{}-{}", &name[..MAX_TEXT - 9], digest()),
    }
}

/// Returns the names of the children, in the order of the values.
///
/// # Errors
/// [`NameCollision`] if two names are equal or differ only in case: files may be named after them,
/// and some file systems ignore case.
pub fn child_names<'a>(values: impl IntoIterator<Item = &'a Json>) -> Result<Vec<String>, NameCollision> {
    let mut names = Vec::new();
    let mut taken: BTreeMap<String, &Json> = BTreeMap::new();
    for value in values {
        let name = child_name(value);
        if let Some(first) = taken.insert(name.to_ascii_lowercase(), value) {
            return Err(NameCollision { name, values: [first.to_string(), value.to_string()] });
        }
        names.push(name);
    }
    Ok(names)
}

impl ForeachSection {
    /// Returns the name of a child's model.
    ///
    /// # Errors
    /// The invalid name, and the rule that it breaks.
    pub fn model_of(&self, name: &str) -> Result<Name, (String, &'static str)> {
        let model = self.model.fill(name);
        Name::new(&model).map_err(|rule| (model, rule))
    }

    /// Reads the section. `model` is the name at the top of the file.
    pub(crate) fn read<'a>(
        section: Section<'a>,
        model: Option<&Name>,
        parts: &ForeachContext<'_>,
    ) -> (Option<Self>, Vec<ChildValue<'a>>) {
        let (column, set) = (section.get("column"), section.get("set"));
        let template = read_template(&section, model, column.as_ref());
        let policies = [("continue", OnFailure::Continue), ("stop", OnFailure::Stop)];
        let on_failure = section.get("on-failure").map_or(Some(OnFailure::Continue), |item| item.choice(&policies));
        let mut given = Vec::new();
        let over = match (column, set) {
            (Some(column), None) => read_column(&section, &column, parts),
            (None, Some(set)) => {
                given = section.require("values", "values = [\"north\", \"south\"]").map_or_else(Vec::new, read_values);
                set.text().map(|set| Over::Values { set: set.to_owned() })
            }
            (Some(_), Some(set)) => {
                set.report(
                    "`column` and `set` are two ways to differ".to_owned(),
                    Some("remove one of them; a run may be for segments or for values".to_owned()),
                );
                None
            }
            (None, None) => {
                let hint =
                    "add `column = \"region\"` for a child of each segment, or `set = \"KEY\"` and `values = [...]`";
                section.report("`foreach` does not say over what".to_owned(), Some(hint.to_owned()));
                None
            }
        };
        section.finish();
        let section = (|| Some(Self { over: over?, model: template?, on_failure: on_failure? }))();
        (section, given)
    }
}

/// The parts of the file that `foreach` depends on.
pub(crate) struct ForeachContext<'a> {
    pub(crate) task: &'a TaskDraft,
    pub(crate) signature: Option<&'a SignatureSection>,
    pub(crate) root: &'a Table,
}

fn read_template(section: &Section<'_>, model: Option<&Name>, column: Option<&Item<'_>>) -> Option<NameTemplate> {
    let column = column.and_then(|item| match &item.node.value {
        Value::String(column) if !column.contains(['{', '}']) => Some(format!("{{{column}}}")),
        _ => None,
    });
    let Some(item) = section.get("model") else {
        return Some(NameTemplate { text: format!("{}-{PLACEHOLDER}", model?), other: column });
    };
    let template = NameTemplate { text: item.text()?.to_owned(), other: column };
    let places = || {
        let other = template.other.iter().map(String::as_str);
        [PLACEHOLDER].into_iter().chain(other.filter(|it| *it != PLACEHOLDER)).collect::<Vec<_>>()
    };
    if !template.has_place() {
        let hint = format!("write where the value goes: `model = \"{}-{}\"`", template.text, places()[0]);
        item.report_value(format!("`{}` would be the model of every child", template.text), Some(hint));
        return None;
    }
    let filled = template.fill("x");
    if filled.contains(['{', '}']) {
        let hint = format!("the placeholders are {}", listed(places().into_iter()));
        item.report_value(format!("`{}` has a placeholder that stands for nothing", template.text), Some(hint));
        return None;
    }
    if let Err(rule) = Name::new(&filled) {
        let message = format!("`{}` makes no names of models", template.text);
        item.report_value(message, Some(rule.to_owned()));
        return None;
    }
    Some(template)
}

fn read_column(section: &Section<'_>, item: &Item<'_>, parts: &ForeachContext<'_>) -> Option<Over> {
    let policies = [("error", NullPolicy::Error), ("skip", NullPolicy::Skip), ("segment", NullPolicy::Segment)];
    let nulls = section.get("nulls").map_or(Some(NullPolicy::Error), |item| item.choice(&policies));
    let min_rows = section.get("min-rows").map_or(Some(USUAL_ROWS), |item| item.integer(1, u64::MAX));
    let most = section.get("max-children").map_or(Some(USUAL_CHILDREN), |item| item.integer(1, MAX_CHILDREN));
    let column = item.text()?;
    if parts.task.target.as_deref() == Some(column) {
        let hint = "name a column that is known before the outcome".to_owned();
        item.report_value(format!("`{column}` is the target"), Some(hint));
        return None;
    }
    if let Some(signature) = parts.signature.filter(|signature| !signature.fields.is_empty()) {
        let Some(field) = signature.fields.iter().find(|field| field.name == column) else {
            let names = || signature.fields.iter().map(|field| field.name.as_str());
            let hint = match nearest(column, names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("the columns are {}", listed(names().take(20))),
            };
            item.report_value(format!("`[signature.fields]` has no column `{column}`"), Some(hint));
            return None;
        };
        if field.role == Role::Weight || matches!(field.data_type, DataType::Float64 | DataType::Timestamp) {
            let kind = if field.role == Role::Weight { "a weight" } else { "no set of names" };
            let hint = "name a column of text, categories, booleans or integers".to_owned();
            item.report_value(format!("`{column}` is {kind}: it has no segments"), Some(hint));
            return None;
        }
    }
    if let Some(file) = parts.root.at(&["split", "file"]) {
        let hint = "split by the other keys of [split]: a row keeps its side in its segment".to_owned();
        let message = "a split that was made elsewhere is of the whole table, not of a segment".to_owned();
        item.context.collector.report(&file.node.origin, "split.file", message, Some(hint));
    }
    if let Some(stage) = parts.root.at(&["stages", SEGMENTS]) {
        let message = format!("`{SEGMENTS}` is the step that deals the rows out to the segments");
        let hint = "give the stage another name".to_owned();
        item.context.collector.report(&stage.origin, &format!("stages.{SEGMENTS}"), message, Some(hint));
    }
    Some(Over::Column { column: column.to_owned(), nulls: nulls?, min_rows: min_rows?, max_children: most? })
}

/// Reads `values`: an array of scalars, or a table that names each value.
fn read_values(item: Item<'_>) -> Vec<ChildValue<'_>> {
    let given: Vec<ChildValue<'_>> = match &item.node.value {
        Value::Array(_) => {
            let mut items = item.array().unwrap_or_default();
            items.retain(|item| {
                let is_plain = is_plain(&item.node.value);
                if !is_plain {
                    let hint = "name it: `values = { small = [...], large = [...] }`".to_owned();
                    item.report_value(format!("{} has no name", item.node.value.kind()), Some(hint));
                }
                is_plain
            });
            let given = items.into_iter().map(|item| {
                let value = json(&item.node.value);
                ChildValue { name: child_name(&value), value, item }
            });
            given.collect()
        }
        Value::Table(_) => {
            let Some(section) = item.section() else { return Vec::new() };
            let named = section.items().map(|(name, item)| ChildValue {
                name: child_name(&Json::from(name)),
                value: json(&item.node.value),
                item,
            });
            named.collect()
        }
        _ => {
            let hint = "write `values = [\"north\", \"south\"]`, or `values = { north = 1, south = 2 }`".to_owned();
            item.report_value("`values` is neither an array nor a table".to_owned(), Some(hint));
            return Vec::new();
        }
    };
    let is_empty = match &item.node.value {
        Value::Array(nodes) => nodes.is_empty(),
        Value::Table(table) => table.iter().next().is_none(),
        _ => false,
    };
    if is_empty {
        item.report_value("`values` is empty: there would be no child".to_owned(), None);
    }
    if given.len() as u64 > MAX_CHILDREN {
        let hint = format!("a run has at most {MAX_CHILDREN} children");
        item.report_value(format!("`values` has {} values", given.len()), Some(hint));
        return Vec::new();
    }
    let mut taken: BTreeMap<String, &ChildValue<'_>> = BTreeMap::new();
    for one in &given {
        if let Some(first) = taken.insert(one.name.to_ascii_lowercase(), one) {
            let message = if first.value == one.value {
                format!("`{}` stands twice in `values`", one.value)
            } else {
                format!("`{}` and `{}` would both be the child `{}`", first.value, one.value, one.name)
            };
            let hint = "give each value a name of its own: `values = { NAME = VALUE, ... }`".to_owned();
            one.item.report_value(message, Some(hint));
        }
    }
    given
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_))
}

/// Converts a value to JSON. A number that JSON cannot represent becomes text.
fn json(value: &Value) -> Json {
    match value {
        Value::String(text) | Value::Datetime(text) => Json::from(text.as_str()),
        Value::Integer(number) => i64::try_from(*number)
            .map(Json::from)
            .or_else(|_| u64::try_from(*number).map(Json::from))
            .unwrap_or_else(|_| Json::from(number.to_string())),
        Value::Float(number) => {
            serde_json::Number::from_f64(*number).map_or_else(|| Json::from(number.to_string()), Json::Number)
        }
        Value::Boolean(claim) => Json::from(*claim),
        Value::Array(nodes) => nodes.iter().map(|node| json(&node.value)).collect(),
        Value::Table(table) => {
            Json::Object(table.iter().map(|entry| (entry.name.clone(), json(&entry.node.value))).collect())
        }
    }
}

/// Returns whether the steps of a world run once, before the segments: those that make the table.
pub(crate) fn is_before_segments(world: World) -> bool {
    world < World::Validation
}

/// Reports files that several children would write, and placeholders in files that one run writes.
pub(crate) fn check_outputs(foreach: &ForeachSection, section: &Section<'_>, outputs: &[OutputSection]) {
    for ((path, item), output) in section.items().zip(outputs) {
        let path = foreach.model.with(path);
        match (path.has_place(), foreach.is_before(output.world)) {
            (false, false) => {
                let hint =
                    format!("write `{PLACEHOLDER}` where the child's name goes: `\"reports/{PLACEHOLDER}.html\"`");
                item.report(format!("every child would write `{}`", path.text), Some(hint));
            }
            (true, true) => {
                let hint = "remove the placeholder: the stage runs once, before the segments".to_owned();
                item.report(format!("`{}` is written once", path.text), Some(hint));
            }
            _ => {}
        }
    }
}

impl ForeachSection {
    /// Returns whether the steps of a world run once for all children, in the parent run.
    pub fn is_before(&self, world: World) -> bool {
        matches!(self.over, Over::Column { .. }) && is_before_segments(world)
    }
}
