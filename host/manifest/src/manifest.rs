//! The whole pipeline file: loading, checking, and the resulting configuration.
//!
//! Owns the top level and the rules between sections. After [`Manifest::load`] every value is
//! present, typed and within its bounds, and every reference within the file resolves. What needs
//! more than the file is checked afterwards: whether components exist
//! ([`Manifest::check_components`]) and accept their parameters ([`Manifest::check_parameters`]).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::children;
use crate::component::{self, ComponentSection};
use crate::document::{self, Origin, Table, Value};
use crate::foreach::{self, ChildValue, ForeachContext, ForeachSection};
use crate::gates::GatesSection;
use crate::graph::{Graph, Step};
use crate::lock::Lock;
use crate::names::{Identifier, Name};
use crate::outputs::OutputSection;
use crate::overrides::Overrides;
use crate::problem::{Collector, Condition, ManifestError, Source};
use crate::production::{ProblemSection, ProductionSection};
use crate::reader::{Context, Item, Section};
use crate::requirements;
use crate::signature::SignatureSection;
use crate::source::{self, SourceLocation, SourceSection};
use crate::split::SplitSection;
use crate::stage::{self, StageSection};
use crate::step_id::StepId;
use crate::task::{TaskDraft, TaskSection};
use crate::trust::TrustSection;
use crate::world::World;

/// The largest pipeline file. A signature of 10,000 columns takes less than 1 MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The most workers. Beyond the cores of a machine each costs memory and gains nothing.
pub const MAX_WORKERS: u64 = 1024;

/// The default of `as-of`. Any fixed moment makes runs reproducible.
const DEFAULT_AS_OF: &str = "2026-01-01T00:00:00Z";

/// A pipeline file, read and checked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The name of the pipeline.
    pub pipeline: Identifier,
    /// The experiment that its runs belong to.
    pub experiment: Name,
    /// The name under which models are registered.
    pub model: Name,
    /// The seed of all randomness.
    pub seed: u64,
    /// The time at which the clocks of stages start.
    #[serde(serialize_with = "displayed")]
    pub as_of: Timestamp,
    /// How many instances work in parallel; `None` for the number of cores. No result depends on
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<NonZeroUsize>,
    /// Whether stages are compiled so that a NaN that arithmetic produces has the same bits on
    /// every architecture.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub canonicalize_nans: bool,
    /// The learning task.
    pub task: TaskSection,
    /// The sources of data, by name.
    pub sources: BTreeMap<Identifier, SourceSection>,
    /// The columns of the data.
    pub signature: SignatureSection,
    /// How rows are split into training, validation and test.
    pub split: SplitSection,
    /// The stages: six in lifecycle order, or those of a graph in the order of the file.
    #[serde(serialize_with = "stage::by_name")]
    pub stages: Vec<StageSection>,
    /// How the stages are connected.
    #[serde(skip)]
    pub graph: Graph,
    /// The values or segments with a run and a model each, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreach: Option<ForeachSection>,
    /// The children, if they differ in the value of a key. The children of segments are known once
    /// the table is.
    #[serde(skip)]
    pub children: Vec<ForeachChild>,
    /// Artifacts that a run writes to files at its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputSection>,
    /// The components that the file configures or a stage uses.
    pub components: BTreeMap<Identifier, ComponentSection>,
    /// The conditions for promotion.
    pub gates: GatesSection,
    /// The destination of approved versions.
    #[serde(skip_serializing_if = "ProductionSection::is_default")]
    pub production: ProductionSection,
    /// The purpose of the model.
    #[serde(skip_serializing_if = "ProblemSection::is_default")]
    pub problem: ProblemSection,
    /// Whose components may run.
    #[serde(skip_serializing_if = "TrustSection::is_default")]
    pub trust: TrustSection,
    /// The text, for problems that are found later.
    #[serde(skip)]
    pub(crate) source: Arc<Source>,
    /// The tree, for problems that are found later.
    #[serde(skip)]
    pub(crate) root: Arc<Table>,
}

/// A child that differs in the value of a key.
#[derive(Clone, Debug)]
pub struct ForeachChild {
    /// The name, derived from the value by [`child_name`](crate::child_name).
    pub name: String,
    /// The value.
    pub value: serde_json::Value,
    /// The child's pipeline.
    pub manifest: Arc<Manifest>,
}

fn displayed<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Manifest {
    /// Reads and checks a file, after the overrides of the command line.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong in the file and in the overrides. Syntax
    /// errors hide the rest: with them, the tree is not what its author meant.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, ManifestError> {
        let file = path.display().to_string();
        let unreadable = |message: String, hint: &str| ManifestError::unreadable(file.clone(), message, hint);
        let cannot = |error: std::io::Error| {
            unreadable(format!("cannot read the file: {error}"), "give the path of a pipeline file")
        };
        let opened = stagewright_store::open_regular(path).map_err(cannot)?;
        let size = opened.metadata().map_err(cannot)?.len();
        let bytes = stagewright_store::read_bounded(opened, MAX_FILE_BYTES).map_err(|error| match error.kind() {
            std::io::ErrorKind::FileTooLarge => {
                unreadable(format!("the file has {size} bytes"), "a pipeline file has at most 16 MiB; is it the data?")
            }
            _ => cannot(error),
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line =
                error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
            unreadable(format!("line {line} is not UTF-8"), "save the file as UTF-8")
        })?;
        let directory = path.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&file, text, directory, overrides)
    }

    /// Parses and checks a text. `file` is its name in errors, and relative paths start at
    /// `directory`.
    ///
    /// # Errors
    /// As for [`Manifest::load`].
    pub fn parse(file: &str, text: String, directory: PathBuf, overrides: &Overrides) -> Result<Self, ManifestError> {
        let source = Arc::new(Source::new(file.to_owned(), text));
        let collector = Collector::new(Arc::clone(&source));
        let mut root = match document::parse(&source.text) {
            Ok(root) => root,
            Err(faults) => {
                for fault in faults {
                    collector.report_as(Condition::Syntax, &Origin::File(fault.span), "", fault.message, None);
                }
                return Err(ManifestError::new(&source, collector.into_problems()));
            }
        };
        overrides.apply(&mut root, &collector);
        let root = Arc::new(root);
        let context = Context { collector: &collector, directory };
        let read = read(&context, &source, &root);
        let (manifest, children) = (read.manifest, children(&context, &source, &root, read.given));
        if let (Some(mut manifest), true) = (manifest, context.collector.is_empty()) {
            let foreach = manifest.foreach.clone();
            let whole = children.into_iter().filter_map(|(name, value, child)| {
                let manifest = Arc::new(child?.of_child(foreach.as_ref()?, &name).ok()?);
                Some(ForeachChild { name, value, manifest })
            });
            manifest.children = whole.collect();
            return Ok(manifest);
        }
        Err(ManifestError::new(&source, collector.into_problems()))
    }

    /// Returns the text of the file for the record of a run. The queries of URLs are removed, since
    /// they may hold keys.
    pub fn recorded_text(&self) -> String {
        let mut text = self.source.text.clone();
        let uris = self.sources.iter().filter_map(|(name, source)| {
            let entry = self.root.at(&["sources", name.as_str(), "uri"])?;
            let Origin::File(place) = &entry.node.origin else { return None };
            match source::without_query(&source.uri) {
                std::borrow::Cow::Owned(without) => Some((place.clone(), without)),
                std::borrow::Cow::Borrowed(_) => None,
            }
        });
        let mut uris: Vec<_> = uris.collect();
        // From the end, so that earlier ranges stay valid.
        uris.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        for (place, without) in uris {
            // A JSON string is also a TOML string.
            text.replace_range(place, &serde_json::Value::from(without).to_string());
        }
        text
    }

    /// Returns the environment variables that hold tokens, each with the source that names it.
    pub fn token_variables(&self) -> impl Iterator<Item = (&Identifier, &str)> {
        self.sources.iter().flat_map(|(name, source)| {
            let (one, others) = match &source.location {
                SourceLocation::Http { token_env, headers, .. } => (token_env.as_deref(), Some(headers)),
                SourceLocation::Postgres(source) => (source.password_env.as_deref(), None),
                _ => (None, None),
            };
            let others = others.into_iter().flat_map(|headers| headers.values().map(String::as_str));
            one.into_iter().chain(others).map(move |variable| (name, variable))
        })
    }

    /// Returns whether a source, of the pipeline or of a child, is on a PostgreSQL server.
    pub fn reads_postgres(&self) -> bool {
        let of_children = self.children.iter().flat_map(|child| child.manifest.sources.values());
        let mut sources = self.sources.values().chain(of_children);
        sources.any(|source| matches!(source.location, SourceLocation::Postgres(_)))
    }

    /// Returns the stage of this world; in a graph, the first of them.
    ///
    /// # Panics
    /// Never for a required world: a manifest without one is refused. Panics for
    /// [`World::Preparation`] if the pipeline has no preparation.
    pub fn stage(&self, world: World) -> &StageSection {
        self.stages.iter().find(|stage| stage.world == world).expect("each world has a stage")
    }

    /// Returns the component of this world's stage; in a graph, of the first of them.
    pub fn component(&self, world: World) -> &ComponentSection {
        &self.components[&self.stage(world).component]
    }

    /// Returns the stage that a step executes.
    ///
    /// # Panics
    /// The step belongs to another pipeline.
    pub fn stage_of(&self, step: &Step) -> &StageSection {
        self.stages.iter().find(|stage| stage.name == step.stage).expect("each step does a stage of its pipeline")
    }

    /// Returns the component of a stage.
    pub fn component_of(&self, stage: &StageSection) -> &ComponentSection {
        &self.components[&stage.component]
    }

    /// Returns the parameters of a stage: those of its component, overridden by its own.
    pub fn parameters_of(&self, stage: &StageSection) -> serde_json::Map<String, serde_json::Value> {
        let mut parameters = self.component_of(stage).parameters.clone();
        parameters.extend(stage.parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
        parameters
    }

    /// Returns the source that a stage reads, if it reads one.
    pub fn source_of(&self, stage: &StageSection) -> Option<(&Identifier, &SourceSection)> {
        stage.source.as_ref().and_then(|name| self.sources.get_key_value(name))
    }

    /// Returns the source that ingestion reads, if it reads one.
    pub fn ingestion_source(&self) -> Option<(&Identifier, &SourceSection)> {
        self.source_of(self.stage(World::Ingestion))
    }

    /// Returns whether the pipeline is more than the six stages in a row.
    pub fn is_graph(&self) -> bool {
        let steps = self.graph.steps();
        steps.len() != World::required().count() || steps.iter().any(|step| step.id.as_str() != step.world.as_str())
    }

    /// Returns the pipeline of a child, with the child's model name and output files.
    ///
    /// # Errors
    /// The invalid name of the model, and the rule that it breaks.
    pub fn of_child(&self, foreach: &ForeachSection, name: &str) -> Result<Self, (String, &'static str)> {
        let file = |output: &OutputSection| {
            let below = foreach.model.with(&output.below.to_string_lossy());
            let below = PathBuf::from(below.fill(name));
            OutputSection { path: output.folder.join(&below), below, ..output.clone() }
        };
        let outputs = self.outputs.iter().filter(|output| !foreach.is_before(output.world)).map(file).collect();
        let model = foreach.model_of(name)?;
        Ok(Self { model, outputs, foreach: None, children: Vec::new(), ..self.clone() })
    }

    /// Returns the part of the pipeline that runs once, before the segments.
    #[must_use]
    pub fn before_segments(&self) -> Self {
        let outputs = self.outputs.iter().filter(|output| foreach::is_before_segments(output.world)).cloned().collect();
        Self { outputs, ..self.clone() }
    }

    /// Returns the step that makes the table that transformations learn from.
    pub fn table_step(&self) -> &StepId {
        let mut learning = self.graph.of(World::Transformation);
        let found = learning.find_map(|step| step.line.get(&World::Ingestion));
        found.unwrap_or(&self.stage(World::Ingestion).name)
    }

    /// Returns the path of the file, as given.
    pub fn file(&self) -> &str {
        &self.source.file
    }

    /// Returns the files that determine a run: the pipeline file, its lock, components, sources and
    /// an imported split.
    pub fn deciding_files(&self) -> Vec<PathBuf> {
        let file = Path::new(self.file());
        let components = self.components.values().filter_map(|component| component.path.clone());
        let of_children = self.children.iter().flat_map(|child| child.manifest.sources.values());
        let sources = self.sources.values().chain(of_children).filter_map(|source| match &source.location {
            SourceLocation::Csv { path, .. }
            | SourceLocation::Jsonl { path, .. }
            | SourceLocation::Parquet { path }
            | SourceLocation::Arrow { path }
            | SourceLocation::Sqlite { path, .. } => Some(path.clone()),
            SourceLocation::Http { .. }
            | SourceLocation::Objects(_)
            | SourceLocation::Postgres(_)
            | SourceLocation::Data { .. } => None,
        });
        let own = [file.to_owned(), Lock::beside(file)];
        own.into_iter().chain(components).chain(sources).chain(self.split.file.clone()).collect()
    }

    /// Returns the whole configuration, with overrides and defaults, under the keys of the file. It
    /// is stored with a run.
    pub fn effective(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("every key is text and every number finite: the readers saw to it")
    }
}

/// The keys of the top level; `None` for one that is missing or wrong.
struct TopLevel {
    pipeline: Option<Identifier>,
    experiment: Option<Name>,
    model: Option<Name>,
    seed: Option<u64>,
    as_of: Option<Timestamp>,
    workers: Option<NonZeroUsize>,
    canonicalize_nans: bool,
}

impl TopLevel {
    fn read(file: &Section<'_>) -> Self {
        let example = |key: &str, value: &str| format!("{key} = \"{value}\"");
        let workers = file.get("workers").and_then(|item| item.integer(1, MAX_WORKERS));
        Self {
            pipeline: file.require("pipeline", &example("pipeline", "churn")).and_then(|it| it.identifier()),
            experiment: file.require("experiment", &example("experiment", "churn")).and_then(|it| it.name()),
            model: file.require("model", &example("model", "churn-classifier")).and_then(|it| it.name()),
            seed: file.require("seed", "seed = 42").and_then(|item| item.integer(0, u64::MAX)),
            as_of: file.get("as-of").map_or_else(|| DEFAULT_AS_OF.parse().ok(), |item| as_of(&item)),
            workers: workers.and_then(|number| usize::try_from(number).ok()).and_then(NonZeroUsize::new),
            canonicalize_nans: file.get("canonicalize-nans").and_then(|item| item.boolean()).unwrap_or_default(),
        }
    }
}

/// The result of reading a file.
struct Read<'a> {
    /// `None` if one of its sections could not be read.
    manifest: Option<Manifest>,
    /// The values of `foreach`, one for each child.
    given: Vec<ChildValue<'a>>,
}

/// Reads the pipelines of the children. A problem that all children share is reported once.
fn children<'a>(
    context: &Context<'a>,
    source: &Arc<Source>,
    root: &'a Arc<Table>,
    given: Vec<ChildValue<'a>>,
) -> Vec<(String, serde_json::Value, Option<Manifest>)> {
    let file = Section::root(context, root);
    let Some(item) = file.get("foreach").filter(|_| !given.is_empty()) else { return Vec::new() };
    let own = Collector::new(Arc::clone(source));
    let trees = children::trees(&item, given, root, &own);
    let of_child = Context { collector: &own, directory: context.directory.clone() };
    let children = trees.into_iter().map(|(name, value, tree)| {
        let manifest = read(&of_child, source, &Arc::new(tree)).manifest;
        (name, value, manifest)
    });
    let children = children.collect();
    context.collector.add_new(own.into_problems());
    children
}

/// Reads all sections.
fn read<'a>(context: &'a Context<'a>, source: &Arc<Source>, root: &'a Arc<Table>) -> Read<'a> {
    let mut given = Vec::new();
    let manifest = read_whole(context, source, root, &mut given);
    Read { manifest, given }
}

fn read_whole<'a>(
    context: &'a Context<'a>,
    source: &Arc<Source>,
    root: &'a Arc<Table>,
    given: &mut Vec<ChildValue<'a>>,
) -> Option<Manifest> {
    let file = Section::root(context, root);
    let head = TopLevel::read(&file);
    let task = file.require("task", "[task]").and_then(|item| item.section()).map(TaskDraft::read);
    let task = task.unwrap_or_default();
    let sources = file.section("sources").map(|section| source::read_all(section, head.as_of)).unwrap_or_default();
    let signature = file.section("signature").map(|section| SignatureSection::read(section, &task));
    let split = file.section("split").map(|section| SplitSection::read(section, &task));
    let stages = file.require("stages", "[stages.ingestion]").and_then(|item| item.section());
    let outputs = file.section("outputs");
    let stages = stages.map(|section| {
        stage::check_sources(&section, root.table_at(&["sources"]));
        requirements::check_time(&section, root.get("as-of").is_some());
        stage::read_all(section, outputs.as_ref())
    });
    let parts = ForeachContext { task: &task, signature: signature.as_ref(), root };
    let foreach = file.section("foreach").map(|section| {
        let (read, values) = ForeachSection::read(section, head.model.as_ref(), &parts);
        *given = values;
        read
    });
    if let (Some(Some(foreach)), Some(section), Some(stages)) = (&foreach, &outputs, &stages) {
        foreach::check_outputs(foreach, section, stages.outputs.as_deref().unwrap_or_default());
    }
    let components = file.section("components").map(component::read_all).unwrap_or_default();
    let gates = file.section("gates").map(|section| GatesSection::read(section, &task));
    let gates = gates.unwrap_or_else(|| GatesSection::defaults(task.kind.as_ref()));
    let production = file.section("production").map(ProductionSection::read);
    let problem = file.section("problem").map(ProblemSection::read);
    let trust = file.section("trust").map(TrustSection::read);
    file.finish();

    let stage::Stages { sections, graph, outputs } = stages?;
    let stages: Vec<StageSection> = sections.into_iter().collect::<Option<_>>()?;
    let mut components = whole(components)?;
    for stage in &stages {
        components.entry(stage.component.clone()).or_default();
    }
    Some(Manifest {
        pipeline: head.pipeline?,
        experiment: head.experiment?,
        model: head.model?,
        seed: head.seed?,
        as_of: head.as_of?,
        workers: head.workers,
        canonicalize_nans: head.canonicalize_nans,
        task: task.whole()?,
        sources: whole(sources)?,
        signature: signature.unwrap_or_default(),
        split: split.unwrap_or_default(),
        stages,
        graph: graph?,
        foreach: foreach.map_or(Some(None), |read| read.map(Some))?,
        children: Vec::new(),
        outputs: outputs?,
        components,
        gates,
        production: production.unwrap_or_default(),
        problem: problem.unwrap_or_default(),
        trust: trust.unwrap_or_default(),
        source: Arc::clone(source),
        root: Arc::clone(root),
    })
}

/// Returns the named sections if all of them could be read.
fn whole<T>(sections: Vec<(Identifier, Option<T>)>) -> Option<BTreeMap<Identifier, T>> {
    sections.into_iter().map(|(name, section)| Some((name, section?))).collect()
}

/// Reads a time from 1970 on. The clocks of stages cannot show an earlier one.
fn as_of(item: &Item<'_>) -> Option<Timestamp> {
    let (Value::String(text) | Value::Datetime(text)) = &item.node.value else {
        // Reports the wrong type.
        return item.string().and(None);
    };
    let moment = text.parse::<Timestamp>().ok().filter(|moment| *moment >= Timestamp::UNIX_EPOCH);
    if moment.is_none() {
        let hint = format!("write a moment from 1970 on, with its offset, such as `{DEFAULT_AS_OF}`");
        item.report_value(format!("`as-of` is not a moment: `{text}`"), Some(hint));
    }
    moment
}
