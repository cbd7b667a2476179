//! The lineage of data, steps, models and production: where something comes from, and what it leads
//! to.
//!
//! The graph is built from the records. An artifact is identified by its content, so equal
//! artifacts of two runs are one node. If several steps made an artifact, the upstream lineage
//! follows the step that the reader had it from: the one in the reader's run, or else the last one
//! before the reader.

mod openlineage;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::{Value, json};
use stagewright_store::{
    ArtifactKind, CHAMPION, Digest, ModelVersion, Registry, Run, RunId, SOURCE_TAG, StageRecord, StoreError, UseKind,
};

use crate::artifact_names::version_part;
use crate::invocation::{Invocation, Origin};
use crate::model::RegisteredModel;

pub use openlineage::events;
pub use text::{mermaid, tree};

/// The largest number of nodes. It bounds the graph of a component that all runs have called.
const MAX_NODES: usize = 20_000;

/// The identity of a node. `Commit` is first in the order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Id {
    /// A commit that a manifest came from.
    Commit(String),
    /// A place outside this registry, from which a run or a version was imported.
    Elsewhere(String),
    /// A component.
    Component(Digest),
    /// An artifact.
    Artifact(Digest),
    /// A step of a run, by its number among all recorded steps.
    Step(RunId, i64),
    /// A registered version.
    Version(String, u32),
    /// A production location.
    Production(String),
}

impl std::fmt::Display for Id {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Commit(commit) => write!(formatter, "commit:{commit}"),
            Self::Elsewhere(place) => write!(formatter, "elsewhere:{place}"),
            Self::Component(digest) => write!(formatter, "component:{digest}"),
            Self::Artifact(digest) => write!(formatter, "artifact:{digest}"),
            Self::Step(run, number) => write!(formatter, "step:{run}/{number}"),
            Self::Version(model, version) => write!(formatter, "version:{model}/{version}"),
            Self::Production(uri) => write!(formatter, "production:{uri}"),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Id {
    fn kind(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commit",
            Self::Elsewhere(_) => "elsewhere",
            Self::Component(_) => "component",
            Self::Artifact(_) => "artifact",
            Self::Step(..) => "step",
            Self::Version(..) => "version",
            Self::Production(_) => "production",
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// The identity; unique.
    pub id: Id,
    /// `commit`, `elsewhere`, `component`, `artifact`, `step`, `version` or `production`.
    pub kind: &'static str,
    /// The name for people.
    pub name: String,
    /// More properties, depending on the kind.
    #[serde(flatten)]
    pub about: serde_json::Map<String, Value>,
}

/// An edge, in the direction of the flow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Edge {
    /// The node that it comes from.
    pub from: Id,
    /// The nodes that it leads to.
    pub to: Id,
    /// The relation of the target to the source.
    pub role: String,
}

/// The origins of a subject, and the nodes that it leads to.
#[derive(Clone, Debug, Serialize)]
pub struct Lineage {
    /// The subject: one node, or all steps of a run.
    pub subject: Vec<Id>,
    /// All nodes, by identity.
    #[serde(serialize_with = "nodes")]
    pub nodes: BTreeMap<Id, Node>,
    /// All edges.
    pub edges: BTreeSet<Edge>,
    /// The origins of the subject, without the subject itself.
    pub upstream: BTreeSet<Id>,
    /// The nodes that the subject leads to.
    pub downstream: BTreeSet<Id>,
    /// Whether nodes were left out.
    pub is_cut: bool,
    /// The records of the steps among the nodes.
    #[serde(skip)]
    steps: BTreeMap<Id, (Run, StageRecord)>,
}

fn nodes<S: serde::Serializer>(nodes: &BTreeMap<Id, Node>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(nodes.values())
}

/// The subject of a lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All steps of a run.
    Run(RunId),
    /// A version.
    Version(String, u32),
    /// An artifact or a component.
    Content(Digest),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// Returns the lineage of a subject; `None` if it does not occur in the records.
///
/// # Errors
/// The registry cannot be read.
pub fn of(registry: &Registry, subject: &Subject) -> Result<Option<Lineage>, StoreError> {
    let mut reader = Reader { registry, runs: HashMap::new(), lineage: Lineage::empty() };
    let subject = match subject {
        Subject::Run(run) => reader.run(run)?.numbers.iter().map(|number| Id::Step(run.clone(), *number)).collect(),
        Subject::Version(model, version) => vec![Id::Version(model.clone(), *version)],
        Subject::Content(digest) => reader.content(digest)?.into_iter().collect(),
    };
    if subject.is_empty() {
        return Ok(None);
    }
    reader.lineage.subject.clone_from(&subject);
    for id in &subject {
        reader.node(id)?;
    }
    let mut upstream = reader.walk(&subject, Direction::Up)?;
    // Artifacts that pass between steps of the run are not origins of the run.
    let edges = &reader.lineage.edges;
    let own: BTreeSet<&Id> = subject.iter().flat_map(|id| leaving(edges, id)).map(|edge| &edge.to).collect();
    upstream.retain(|id| !own.contains(id));
    let downstream = reader.walk(&subject, Direction::Down)?;
    let mut lineage = reader.lineage;
    (lineage.upstream, lineage.downstream) = (upstream, downstream);
    let nodes = &lineage.nodes;
    lineage.edges.retain(|edge| nodes.contains_key(&edge.from) && nodes.contains_key(&edge.to));
    Ok(Some(lineage))
}

impl Lineage {
    fn empty() -> Self {
        Self {
            subject: Vec::new(),
            nodes: BTreeMap::new(),
            edges: BTreeSet::new(),
            upstream: BTreeSet::new(),
            downstream: BTreeSet::new(),
            is_cut: false,
            steps: BTreeMap::new(),
        }
    }
}

/// Returns the edges that leave a node.
fn leaving<'a>(edges: &'a BTreeSet<Edge>, id: &'a Id) -> impl Iterator<Item = &'a Edge> {
    // Edges are in the order of their source, and this identity is the smallest target.
    let first = Edge { from: id.clone(), to: Id::Commit(String::new()), role: String::new() };
    edges.range(first..).take_while(move |edge| edge.from == *id)
}

/// A run with its steps.
#[derive(Clone)]
struct RecordedRun {
    run: Run,
    stages: Vec<StageRecord>,
    numbers: Vec<i64>,
}

/// A reader of the records, which keeps what it has read.
struct Reader<'a> {
    registry: &'a Registry,
    runs: HashMap<RunId, RecordedRun>,
    lineage: Lineage,
}

impl Reader<'_> {
    fn run(&mut self, id: &RunId) -> Result<&RecordedRun, StoreError> {
        if !self.runs.contains_key(id) {
            let run = self.registry.run(id.as_str())?;
            let (stages, numbers) = (self.registry.stages(id)?, self.registry.stage_numbers(id)?);
            self.runs.insert(id.clone(), RecordedRun { run, stages, numbers });
        }
        Ok(&self.runs[id])
    }

    fn step(&mut self, run: &RunId, number: i64) -> Result<Option<(Run, StageRecord)>, StoreError> {
        let recorded = self.run(run)?;
        let place = recorded.numbers.iter().position(|it| *it == number);
        let stage = place.and_then(|place| recorded.stages.get(place));
        Ok(stage.map(|stage| (recorded.run.clone(), stage.clone())))
    }

    /// Returns the node of a digest: a component that a step called, or an artifact.
    fn content(&self, digest: &Digest) -> Result<Option<Id>, StoreError> {
        let uses = self.registry.artifact_uses(digest)?;
        let is_component = uses.iter().any(|it| it.how == UseKind::Called);
        if is_component {
            return Ok(Some(Id::Component(*digest)));
        }
        let is_known = !uses.is_empty() || !self.registry.versions_of_artifact(digest)?.is_empty();
        Ok(is_known.then_some(Id::Artifact(*digest)))
    }

    /// Follows all edges in one direction.
    fn walk(&mut self, subject: &[Id], direction: Direction) -> Result<BTreeSet<Id>, StoreError> {
        let mut seen: BTreeSet<Id> = subject.iter().cloned().collect();
        let mut waiting: Vec<Id> = subject.to_vec();
        while let Some(id) = waiting.pop() {
            let next = match direction {
                Direction::Up => self.before(&id)?,
                Direction::Down => self.after(&id)?,
            };
            for (other, role) in next {
                if self.lineage.nodes.len() >= MAX_NODES && !self.lineage.nodes.contains_key(&other) {
                    self.lineage.is_cut = true;
                    continue;
                }
                self.node(&other)?;
                let (from, to) =
                    if direction == Direction::Up { (other.clone(), id.clone()) } else { (id.clone(), other.clone()) };
                self.lineage.edges.insert(Edge { from, to, role });
                if seen.insert(other.clone()) {
                    waiting.push(other);
                }
            }
        }
        seen.retain(|id| !subject.contains(id));
        Ok(seen)
    }

    /// Returns the origins of a node.
    fn before(&mut self, id: &Id) -> Result<Vec<(Id, String)>, StoreError> {
        Ok(match id {
            Id::Step(run, number) => {
                let Some((run, stage)) = self.step(run, *number)? else { return Ok(Vec::new()) };
                let mut before: Vec<(Id, String)> = components(&stage);
                before.extend(stage.inputs.iter().map(|input| (Id::Artifact(input.digest), input.name.clone())));
                before.extend(commit(&run).map(|commit| (Id::Commit(commit), "code".to_owned())));
                before.extend(elsewhere(&run.tags).map(|place| (Id::Elsewhere(place), "record".to_owned())));
                before
            }
            Id::Artifact(digest) => self.makers(digest)?,
            Id::Version(model, version) => {
                let version = self.registry.version(model, *version)?;
                let components = model_components(&version);
                let part = |reference: &stagewright_store::Reference| {
                    let is_component = components.contains(&reference.digest);
                    let id = if is_component { Id::Component } else { Id::Artifact };
                    (id(reference.digest), reference.role.clone())
                };
                let mut before: Vec<_> = version.references.iter().filter(|it| it.needed).map(part).collect();
                before.extend(elsewhere(&version.tags).map(|place| (Id::Elsewhere(place), "import".to_owned())));
                before
            }
            Id::Production(_) | Id::Component(_) | Id::Commit(_) | Id::Elsewhere(_) => Vec::new(),
        })
    }

    /// Returns the steps that made an artifact. The first one is the step that a reader in the
    /// graph had it from. If that step read the same content, the step before it follows.
    fn makers(&mut self, digest: &Digest) -> Result<Vec<(Id, String)>, StoreError> {
        let uses = self.registry.artifact_uses(digest)?;
        let makers: Vec<_> = uses.iter().filter(|it| it.how == UseKind::Made).collect();
        let earlier = |run: &RunId, number: i64| {
            let before = || makers.iter().rev().filter(move |it| it.number < number);
            before().find(|it| it.run_id == *run).or_else(|| before().next())
        };
        let read = Id::Artifact(*digest);
        let reader = leaving(&self.lineage.edges, &read).map(|edge| &edge.to).next();
        let chosen = match reader {
            Some(Id::Step(run, number)) => earlier(run, *number),
            Some(Id::Version(model, version)) => {
                let run = self.registry.version(model, *version)?.run_id;
                makers.iter().rev().find(|it| Some(&it.run_id) == run.as_ref())
            }
            _ => None,
        };
        let mut next = chosen.or_else(|| makers.first()).copied();
        let mut found = Vec::new();
        while let Some(maker) = next {
            let (run, number) = (maker.run_id.clone(), maker.number);
            let stage = self.step(&run, number)?.map(|(_, stage)| stage);
            let role = stage.as_ref().and_then(|stage| output(stage, digest)).unwrap_or_default();
            // A step that returned its input unchanged is not the origin of the content.
            let has_read = stage.is_some_and(|stage| stage.inputs.iter().any(|input| input.digest == *digest));
            next = if has_read { earlier(&run, number).copied() } else { None };
            found.push((Id::Step(run, number), role));
        }
        Ok(found)
    }

    /// Returns the nodes that a node leads to.
    fn after(&mut self, id: &Id) -> Result<Vec<(Id, String)>, StoreError> {
        Ok(match id {
            Id::Step(run, number) => {
                let Some((_, stage)) = self.step(run, *number)? else { return Ok(Vec::new()) };
                let kept = |name: &str| {
                    [version_part::TRAINING_COMPONENT, version_part::TRANSFORMATION_COMPONENT].contains(&name)
                };
                let outputs = stage.outputs.iter().filter(|output| !kept(&output.name));
                outputs.map(|output| (Id::Artifact(output.digest), output.name.clone())).collect()
            }
            Id::Artifact(digest) | Id::Component(digest) => {
                let wanted = if matches!(id, Id::Artifact(_)) { UseKind::Read } else { UseKind::Called };
                let mut after = Vec::new();
                for it in self.registry.artifact_uses(digest)?.into_iter().filter(|it| it.how == wanted) {
                    let stage = self.step(&it.run_id, it.number)?;
                    let role = stage.and_then(|(_, stage)| role(&stage, digest)).unwrap_or_default();
                    after.push((Id::Step(it.run_id, it.number), role));
                }
                for (model, version) in self.registry.versions_of_artifact(digest)? {
                    let found = self.registry.version(&model, version)?;
                    let reference = found.references.iter().find(|it| it.digest == *digest);
                    let role = reference.map(|it| it.role.clone()).unwrap_or_default();
                    after.push((Id::Version(model, version), role));
                }
                after
            }
            Id::Version(model, version) => {
                let promoted = self.registry.promotion_of(model, *version)?;
                let is_champion = self.registry.alias(model, CHAMPION)? == Some(*version);
                let destination = promoted.map(|it| it.destination).filter(|uri| is_champion && !uri.is_empty());
                destination.map(|uri| (Id::Production(uri), CHAMPION.to_owned())).into_iter().collect()
            }
            Id::Production(_) | Id::Commit(_) | Id::Elsewhere(_) => Vec::new(),
        })
    }

    /// Adds a node.
    fn node(&mut self, id: &Id) -> Result<(), StoreError> {
        if self.lineage.nodes.contains_key(id) {
            return Ok(());
        }
        let (name, about) = match id {
            Id::Commit(commit) => (commit.clone(), json!({})),
            Id::Elsewhere(place) => (place.clone(), json!({})),
            Id::Production(uri) => (uri.clone(), json!({})),
            Id::Component(digest) => self.component(digest)?,
            Id::Artifact(digest) => self.artifact(digest)?,
            Id::Step(run, number) => match self.step(run, *number)? {
                Some(step) => {
                    let about = json!({
                        "run_id": run, "stage": step.1.name, "pipeline": step.0.pipeline, "status": step.1.status,
                        "component": step.1.component, "started_ms": step.1.started_ms, "ended_ms": step.1.ended_ms,
                    });
                    let name = step.1.name.clone();
                    self.lineage.steps.insert(id.clone(), step);
                    (name, about)
                }
                None => (String::new(), json!({ "run_id": run })),
            },
            Id::Version(model, version) => {
                let found = self.registry.version(model, *version)?;
                let about = json!({
                    "model": model, "version": version, "aliases": found.aliases, "run_id": found.run_id,
                    "semantic_version": found.semantic_version,
                });
                (format!("{model}/{version}"), about)
            }
        };
        let Value::Object(about) = about else { return Ok(()) };
        self.lineage.nodes.insert(id.clone(), Node { id: id.clone(), kind: id.kind(), name, about });
        Ok(())
    }

    fn component(&mut self, digest: &Digest) -> Result<(String, Value), StoreError> {
        let called = self.registry.artifact_uses(digest)?.into_iter().find(|it| it.how == UseKind::Called);
        let stage = match called {
            Some(it) => self.step(&it.run_id, it.number)?,
            None => None,
        };
        let name = stage.map_or_else(|| digest.to_string(), |(_, stage)| stage.component);
        Ok((name, json!({ "digest": digest })))
    }

    fn artifact(&mut self, digest: &Digest) -> Result<(String, Value), StoreError> {
        let uses = self.registry.artifact_uses(digest)?;
        for it in &uses {
            let Some((_, stage)) = self.step(&it.run_id, it.number)? else { continue };
            if let Some(made) = stage.outputs.iter().find(|output| output.digest == *digest && it.how == UseKind::Made)
            {
                let about =
                    json!({ "digest": digest, "kind_of_artifact": made.kind, "rows": made.rows, "bytes": made.bytes });
                return Ok((format!("{}.{}", stage.name, made.name), about));
            }
            if let Some((name, kind)) = brought(&stage, digest) {
                return Ok((name, json!({ "digest": digest, "kind_of_artifact": kind })));
            }
        }
        Ok((digest.to_string(), json!({ "digest": digest })))
    }
}

/// Returns the name of an input that no step made, such as a source.
fn brought(stage: &StageRecord, digest: &Digest) -> Option<(String, ArtifactKind)> {
    let invocation: Invocation = serde_json::from_value(stage.invocation.clone()?).ok()?;
    let input = invocation.inputs.into_iter().find(|input| input.digest == *digest)?;
    match input.from {
        Origin::Source { name } => Some((format!("source {name}"), input.kind)),
        Origin::File => Some((input.role, input.kind)),
        Origin::Step { .. } | Origin::Version { .. } => None,
    }
}

/// Returns the components that a step called, with their roles.
fn components(stage: &StageRecord) -> Vec<(Id, String)> {
    let invocation = stage.invocation.clone().and_then(|it| serde_json::from_value::<Invocation>(it).ok());
    let called = invocation
        .iter()
        .flat_map(Invocation::guests)
        .map(|guest| (Id::Component(guest.component), guest.world.to_string()));
    let mut called: Vec<_> = called.collect();
    called.push((Id::Component(stage.digest), stage.name.clone()));
    called.sort();
    called.dedup();
    called
}

/// Returns the role of something that a step read or called.
fn role(stage: &StageRecord, digest: &Digest) -> Option<String> {
    let read = stage.inputs.iter().find(|input| input.digest == *digest).map(|input| input.name.clone());
    read.or_else(|| (stage.digest == *digest).then(|| stage.name.clone()))
}

fn output(stage: &StageRecord, digest: &Digest) -> Option<String> {
    stage.outputs.iter().find(|output| output.digest == *digest).map(|output| output.name.clone())
}

fn model_components(version: &ModelVersion) -> Vec<Digest> {
    let model = serde_json::from_value::<RegisteredModel>(version.contents.clone());
    model.map_or_else(|_| Vec::new(), |model| vec![model.transformation.digest, model.training.digest])
}

fn commit(run: &Run) -> Option<String> {
    tag(&run.tags, "mlflow.source.git.commit")
}

fn elsewhere(tags: &[(String, String)]) -> Option<String> {
    tag(tags, SOURCE_TAG)
}

fn tag(tags: &[(String, String)], wanted: &str) -> Option<String> {
    tags.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
}
