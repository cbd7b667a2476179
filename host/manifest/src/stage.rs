//! `[stages.NAME]`: the component of a stage, its inputs and limits.
//!
//! Owns the section, and whether a file has six stages or a graph. [`crate::graph`] connects the
//! stages.

use std::collections::BTreeMap;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json};

use crate::bucket_grant::BucketGrant;
use crate::component;
use crate::document::{Entry, Table, Value};
use crate::graph::{self, Draft, Graph, References, Wire};
use crate::http_grant::HttpGrant;
use crate::limits::Limits;
use crate::names::Identifier;
use crate::nearest::nearest;
use crate::outputs::{self, OutputSection};
use crate::problem::Condition;
use crate::reader::{Item, Section};
use crate::requirements::Requirements;
use crate::retry::Retry;
use crate::step_id::StepId;
use crate::world::World;

/// The most stages of a pipeline. A file with more was not written by a person.
const MAX_STAGES: usize = 1000;

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StageSection {
    /// The name.
    #[serde(skip)]
    pub name: StepId,
    /// The world that its component implements.
    #[serde(skip)]
    pub world: World,
    /// The component.
    pub component: Identifier,
    /// The source that the stage may read; for ingestion only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Identifier>,
    /// The servers and networks that the host may contact for the source; for ingestion only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// The PostgreSQL servers and networks that the host may contact for the source; for ingestion
    /// only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub postgres: Vec<HttpGrant>,
    /// The buckets, or places in them, that the host may read for the source; for ingestion only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub s3: Vec<BucketGrant>,
    /// The requirements on the table; for ingestion only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Requirements>,
    /// The inputs as written: names of other stages, by input.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Vec<String>>,
    /// Parameters that override those under `[components]`.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub parameters: Map<String, Json>,
    /// The limits.
    pub limits: Limits,
    /// Whether the stage may reuse the artifacts of an earlier run with the same inputs.
    #[serde(skip_serializing_if = "is_true")]
    pub cache: bool,
    /// How often it is tried when a server or a disk fails.
    #[serde(skip_serializing_if = "Retry::is_default")]
    pub retry: Retry,
}

// serde prescribes the signature.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_true(flag: &bool) -> bool {
    *flag
}

/// A stage in the form of the file, with `world` where its name does not imply it.
#[derive(Serialize)]
struct Named<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    world: Option<World>,
    #[serde(flatten)]
    section: &'a StageSection,
}

/// Serializes stages as the table `[stages]`.
pub(crate) fn by_name<S: Serializer>(stages: &[StageSection], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(stages.len()))?;
    for section in stages {
        let world = (section.name.as_str() != section.world.as_str()).then_some(section.world);
        map.serialize_entry(section.name.as_str(), &Named { world, section })?;
    }
    map.end()
}

/// The stages of a file and their graph.
pub(crate) struct Stages {
    /// `None` for one that is wrong.
    pub(crate) sections: Vec<Option<StageSection>>,
    /// `None` if the graph is wrong or incomplete.
    pub(crate) graph: Option<Graph>,
    /// The files that artifacts are written to; `None` if one of them is wrong.
    pub(crate) outputs: Option<Vec<OutputSection>>,
}

/// Reads all stages: six in lifecycle order, those of a graph in the order of the file.
pub(crate) fn read_all(section: Section<'_>, outputs: Option<&Section<'_>>) -> Stages {
    let is_graph = section.items().any(|(name, item)| is_wired(name, &item));
    if section.items().count() > MAX_STAGES {
        section.report(format!("a pipeline has at most {MAX_STAGES} stages"), None);
        return Stages { sections: vec![None], graph: None, outputs: None };
    }
    if !is_graph {
        check_order(&section);
    }
    let mut drafts = Vec::new();
    let mut sections = Vec::new();
    for (name, item) in in_order(&section, is_graph) {
        let (draft, read) = read_stage(name, item, is_graph);
        drafts.extend(draft);
        sections.push(read);
    }
    for world in World::required() {
        if !drafts.iter().any(|draft| draft.world == Some(world)) {
            let hint = format!("add `[stages.{world}]`; the six stages are, in order, {}", World::order_of_six());
            section.report_as(Condition::MissingKey, format!("missing stage `{world}`"), Some(hint));
            sections.push(None);
        }
    }
    check_components(&section, &drafts);
    let graph = graph::resolve(&drafts);
    let outputs =
        outputs.map_or_else(|| Some(Vec::new()), |outputs| outputs::read_all(outputs, &References::of(&drafts)));
    Stages { sections, graph, outputs }
}

/// Returns the keys that are stages. In a file of six, they are in lifecycle order, and other keys
/// are skipped.
fn in_order<'a>(section: &Section<'a>, is_graph: bool) -> Vec<(&'a str, Item<'a>)> {
    let mut items: Vec<_> = section.items().collect();
    if !is_graph {
        for (name, item) in items.extract_if(.., |(name, _)| World::from_name(name).is_none()) {
            let hint = match nearest(name, World::all().map(World::as_str)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!(
                    "the six stages are, in order, {}; a further one says its `world`, such as `world = \"training\"`",
                    World::order_of_six()
                ),
            };
            item.report_as(
                Condition::UnknownKey,
                format!("unknown key `{}` in `stages`", crate::document::key_text(name)),
                Some(hint),
            );
        }
        items.sort_by_key(|(name, _)| World::from_name(name));
    }
    items
}

/// Returns whether a stage has a key, or is of a world, that only a graph has.
fn is_wired(name: &str, item: &Item<'_>) -> bool {
    let Value::Table(table) = &item.node.value else { return false };
    let is_of_a_graph = World::from_name(name).is_some_and(|world| !world.contract().is_required);
    is_of_a_graph || table.get("world").is_some() || table.get("inputs").is_some()
}

fn read_stage<'a>(name: &'a str, item: Item<'a>, is_graph: bool) -> (Option<Draft<'a>>, Option<StageSection>) {
    let Some(id) = crate::source::identifier(&item, name, "stage") else { return (None, None) };
    let Some(section) = item.section() else { return (None, None) };
    let world = world_of(name, &section, is_graph);
    let wires = section.section("inputs").map(|inputs| wires(&inputs)).unwrap_or_default();
    let draft = Draft { name, world, item, wires };
    let read = world.and_then(|world| read_section(&id, world, &section, &draft.wires));
    if world.is_none() {
        return (Some(draft), None);
    }
    let component = read.as_ref().map_or("NAME".to_owned(), |stage| stage.component.to_string());
    section.finish_with(|_| Some(format!("parameters go under `[components.{component}.parameters]`")));
    (Some(draft), read)
}

/// Returns the world of a stage, from its key `world` or its name.
fn world_of(name: &str, section: &Section<'_>, is_graph: bool) -> Option<World> {
    let choices: Vec<(&str, World)> = World::all().map(|world| (world.as_str(), world)).collect();
    let own = World::from_name(name);
    let Some(item) = section.get("world") else {
        if own.is_none() && is_graph {
            let hint = format!("add `world = \"...\"`: one of {}", World::order());
            section.report_as(Condition::MissingKey, format!("missing key `world` in `{}`", section.key), Some(hint));
        }
        return own;
    };
    let world = item.choice(&choices)?;
    if own.is_some_and(|own| own != world) {
        let hint = "give the stage another name".to_owned();
        item.report_value(format!("`{name}` is the name of another world than `{world}`"), Some(hint));
        return None;
    }
    Some(world)
}

/// Reads the inputs of a stage: a name each, or several for some inputs.
fn wires<'a>(inputs: &Section<'a>) -> Vec<Wire<'a>> {
    let mut wires = Vec::new();
    for (port, item) in inputs.items() {
        let items = match &item.node.value {
            Value::Array(_) => item.array().unwrap_or_default(),
            _ => vec![item],
        };
        wires.extend(items.into_iter().filter_map(|item| Some(Wire { port, reference: item.text()?, item })));
    }
    wires
}

fn read_section(id: &Identifier, world: World, section: &Section<'_>, wires: &[Wire<'_>]) -> Option<StageSection> {
    let component = section.require("component", "component = \"NAME\"").and_then(|item| item.identifier());
    let reads_sources = world.contract().reads_sources;
    let source = section.get("source");
    if let (Some(item), true) = (&source, !reads_sources) {
        let hint = "remove it: a source is handed to `ingestion`, and later stages get its table".to_owned();
        item.report(format!("`{world}` cannot read a source"), Some(hint));
    }
    let source = match source {
        Some(item) if reads_sources => Some(item.identifier()),
        _ => None,
    };
    let http = section.get("http");
    if let (Some(item), true) = (&http, !reads_sources) {
        let hint = "remove it: only `ingestion` has a source, and the host fetches it".to_owned();
        item.report(format!("`{world}` reaches no server"), Some(hint));
    }
    let http = http.filter(|_| reads_sources).map_or(Some(Vec::new()), |item| HttpGrant::read_all(&item));
    let postgres = section.get("postgres");
    if let (Some(item), true) = (&postgres, !reads_sources) {
        let hint = "remove it: only `ingestion` has a source, and the host reads it".to_owned();
        item.report(format!("`{world}` reaches no server"), Some(hint));
    }
    let postgres = postgres.filter(|_| reads_sources).map_or(Some(Vec::new()), |item| HttpGrant::read_all(&item));
    let s3 = section.get("s3");
    if let (Some(item), true) = (&s3, !reads_sources) {
        let hint = "remove it: only `ingestion` has a source, and the host reads it".to_owned();
        item.report(format!("`{world}` reaches no bucket"), Some(hint));
    }
    let s3 = s3.filter(|_| reads_sources).map_or(Some(Vec::new()), |item| BucketGrant::read_all(&item));
    let requirements = section.get("requirements");
    if let (Some(item), false) = (&requirements, world == World::Ingestion) {
        let hint = "requirements are those of an ingestion; `validate-table` checks any table".to_owned();
        item.report(format!("`{world}` has no requirements"), Some(hint));
    }
    let requirements = requirements
        .filter(|_| world == World::Ingestion)
        .map_or(Some(None), |item| Requirements::read(item.section()?).map(Some));
    let limits = world.default_limits();
    let limits = section.section("limits").map_or(limits, |section| limits.read(section));
    let cache = section.get("cache").map_or(Some(true), |item| item.boolean());
    let retry = section.section("retry").map_or_else(|| Some(Retry::default()), Retry::read);
    let parameters = component::parameters(section);
    let source = source.map_or(Some(None), |it| it.map(Some))?;
    let mut inputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for wire in wires {
        inputs.entry(wire.port.to_owned()).or_default().push(wire.reference.to_owned());
    }
    let name = StepId::new(id.as_str()).ok()?;
    Some(StageSection {
        name,
        world,
        component: component?,
        source,
        http: http?,
        postgres: postgres?,
        s3: s3?,
        requirements: requirements?,
        inputs,
        parameters: parameters?,
        limits,
        cache: cache?,
        retry: retry?,
    })
}

/// Reports six stages in another order than they run in. The order suggests that the author expects
/// another pipeline.
fn check_order(section: &Section<'_>) {
    let mut latest: Option<World> = None;
    for (name, item) in section.items() {
        let Some(world) = World::from_name(name) else {
            continue;
        };
        match latest {
            Some(before) if world < before => {
                let hint = format!("the order is fixed: {}", World::order_of_six());
                item.report_as(Condition::Wiring, format!("stage `{world}` stands after `{before}`"), Some(hint));
            }
            _ => latest = Some(world),
        }
    }
}

/// Reports components that stages of different worlds share: a component implements one world.
fn check_components(section: &Section<'_>, drafts: &[Draft<'_>]) {
    let worlds: BTreeMap<&str, World> = drafts.iter().filter_map(|draft| Some((draft.name, draft.world?))).collect();
    let mut users: BTreeMap<&str, (&str, World)> = BTreeMap::new();
    for (stage, item) in section.items() {
        let (Some(&world), Some(component)) = (worlds.get(stage), section.table.at(&[stage, "component"])) else {
            continue;
        };
        let Value::String(name) = &component.node.value else {
            continue;
        };
        let (first, of) = *users.entry(name).or_insert((stage, world));
        if of != world {
            let message = format!("`{name}` is the component of `{first}` and of `{stage}`");
            let hint = "a component implements one world: choose another for one of the two".to_owned();
            let key = format!("{}.component", item.key);
            section.context.collector.report_as(Condition::Wiring, &component.node.origin, &key, message, Some(hint));
        }
    }
}

/// Reports sources that stages name and the file does not declare.
pub(crate) fn check_sources(stages: &Section<'_>, sources: Option<&Table>) {
    let sources: Vec<&str> = sources.into_iter().flat_map(Table::iter).map(|entry| entry.name.as_str()).collect();
    for (stage, item) in stages.items() {
        let Value::Table(table) = &item.node.value else { continue };
        let world = table.string_at(&["world"]).or(Some(stage)).and_then(World::from_name);
        let Some(Entry { node, .. }) = table.get("source") else { continue };
        let (Value::String(name), Some(World::Ingestion)) = (&node.value, world) else { continue };
        if sources.contains(&name.as_str()) {
            continue;
        }
        let hint = match nearest(name, sources.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add `[sources.{name}]` with a `uri`"),
        };
        let key = format!("{}.source", item.key);
        stages.context.collector.report_as(
            Condition::Undeclared,
            &node.origin,
            &key,
            format!("no source is named `{name}`"),
            Some(hint),
        );
    }
}
