//! `[components.NAME]`: the file of a component and its parameters.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Number, Value as Json};

use crate::document::{Origin, Value};
use crate::names::Identifier;
use crate::reader::{Item, Section};
use crate::source::identifier;

/// A component.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ComponentSection {
    /// The `.wasm` file, relative to the current directory or absolute; `None` for a built-in
    /// component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Whether the path comes from the command line. Such a path holds for one run, and the lock
    /// file does not apply to it.
    #[serde(skip)]
    pub path_typed: bool,
    /// The WASI interfaces that the component may import although every call fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stubs: Vec<Stub>,
    /// The parameters. [`crate::Manifest::check_parameters`] checks them against the component's
    /// schema.
    pub parameters: Map<String, Json>,
}

/// A WASI interface in which every call fails, for language runtimes that import it and never use
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stub {
    /// `wasi:filesystem`, without any folder.
    Filesystem,
    /// `wasi:sockets`, without any network.
    Sockets,
}

impl Stub {
    /// Returns the word of the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "filesystem",
            Self::Sockets => "sockets",
        }
    }
}

/// Reads all components.
pub(crate) fn read_all(section: Section<'_>) -> Vec<(Identifier, Option<ComponentSection>)> {
    let read = |(name, item): (&str, Item<'_>)| {
        let identifier = identifier(&item, name, "component");
        let component = item.section().and_then(read_component);
        Some((identifier?, component))
    };
    section.items().filter_map(read).collect()
}

fn read_component(section: Section<'_>) -> Option<ComponentSection> {
    let path = section.get("path");
    let path_typed = path.as_ref().is_some_and(|item| matches!(item.node.origin, Origin::Argument(_)));
    let path = path.map(|item| item.path());
    let stubs = section.get("stubs").map_or(Some(Vec::new()), |item| read_stubs(&item));
    let parameters = parameters(&section);
    let key = section.key.clone();
    section.finish_with(|_| Some(format!("parameters go under `[{key}.parameters]`")));
    let path = path.map_or(Some(None), |it| it.map(Some))?;
    Some(ComponentSection { path, path_typed, stubs: stubs?, parameters: parameters? })
}

/// Reads the table `parameters` of a section; an absent one is empty.
pub(crate) fn parameters(section: &Section<'_>) -> Option<Map<String, Json>> {
    let Some(item) = section.get("parameters") else { return Some(Map::new()) };
    let entries = item.section()?.items().map(|(name, item)| Some((name.to_owned(), json(&item)?))).collect::<Vec<_>>();
    entries.into_iter().collect()
}

fn read_stubs(item: &Item<'_>) -> Option<Vec<Stub>> {
    let choices = [Stub::Filesystem, Stub::Sockets].map(|stub| (stub.as_str(), stub));
    let stubs = item.array()?.iter().map(|item| item.choice(&choices)).collect::<Vec<_>>();
    let mut stubs: Vec<Stub> = stubs.into_iter().collect::<Option<_>>()?;
    stubs.dedup();
    Some(stubs)
}

/// Converts a parameter to JSON. Dates become text.
fn json(item: &Item<'_>) -> Option<Json> {
    match &item.node.value {
        Value::String(text) | Value::Datetime(text) => Some(Json::String(text.clone())),
        Value::Boolean(claim) => Some(Json::Bool(*claim)),
        Value::Integer(number) => i64::try_from(*number).ok().map(Json::from),
        Value::Float(_) => item.float().and_then(Number::from_f64).map(Json::Number),
        Value::Array(_) => item.array()?.iter().map(json).collect::<Vec<_>>().into_iter().collect(),
        Value::Table(_) => {
            let entries =
                item.section()?.items().map(|(name, item)| Some((name.to_owned(), json(&item)?))).collect::<Vec<_>>();
            entries.into_iter().collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}
