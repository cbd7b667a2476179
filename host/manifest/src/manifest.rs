//! The whole pipeline file: loading, checking, and the configuration that results.
//!
//! Owns the top level and what its sections must be together. After [`Manifest::load`] every value
//! is present, typed and within its bounds, and every name that refers to something in the file
//! refers to something that is there. What it cannot know, the binary asks afterwards: whether
//! components exist ([`Manifest::check_components`]) and take these parameters
//! ([`Manifest::check_parameters`]).

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::children;
use crate::component::{self, ComponentSection};
use crate::document::{self, Origin, Table, Value};
use crate::foreach::{self, Around, ForeachSection, Given};
use crate::gates::GatesSection;
use crate::graph::{Graph, Step};
use crate::lock::Lock;
use crate::names::{Identifier, Name};
use crate::outputs::OutputSection;
use crate::overrides::Overrides;
use crate::problem::{Collector, ManifestError, Source};
use crate::production::{ProblemSection, ProductionSection};
use crate::reader::{Context, Item, Section};
use crate::signature::SignatureSection;
use crate::source::{self, SourceLocation, SourceSection};
use crate::split::SplitSection;
use crate::stage::{self, StageSection};
use crate::step_id::StepId;
use crate::task::{TaskDraft, TaskSection};
use crate::trust::TrustSection;
use crate::world::World;

/// The largest file that is read. A table of 10,000 columns takes less than one.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The most workers: beyond the cores of any one machine, each would only cost memory.
pub const MAX_WORKERS: u64 = 1024;

/// Where clocks start if the manifest does not say: any fixed moment, so that runs can be
/// reproduced.
const DEFAULT_AS_OF: &str = "2026-01-01T00:00:00Z";

/// A pipeline, checked.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    /// The pipeline's name.
    pub pipeline: Identifier,
    /// The experiment that its runs belong to.
    pub experiment: Name,
    /// The name under which models are registered.
    pub model: Name,
    /// What all randomness is drawn from.
    pub seed: u64,
    /// Where the clocks of stages start.
    #[serde(serialize_with = "displayed")]
    pub as_of: Timestamp,
    /// How many instances work at once; `None` for as many as there are cores. No result depends on
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers: Option<NonZeroUsize>,
    /// Whether stages are compiled so that every NaN that arithmetic makes has the same bits on every architecture.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub canonicalize_nans: bool,
    /// What is being learnt.
    pub task: TaskSection,
    /// Where data come from, by name.
    pub sources: BTreeMap<Identifier, SourceSection>,
    /// What the columns are.
    pub signature: SignatureSection,
    /// Which rows are for what.
    pub split: SplitSection,
    /// The stages: six in lifecycle order, or those of a graph as the file lists them.
    #[serde(serialize_with = "stage::by_name")]
    pub stages: Vec<StageSection>,
    /// How the stages are wired.
    #[serde(skip)]
    pub graph: Graph,
    /// The values or segments that have a run and a model each, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreach: Option<ForeachSection>,
    /// The children, if they differ in the value of a key. Segments are known when the table is.
    #[serde(skip)]
    pub children: Vec<ForeachChild>,
    /// Artifacts that a run writes to files at its end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputSection>,
    /// Every component that the file configures or a stage uses.
    pub components: BTreeMap<Identifier, ComponentSection>,
    /// What a candidate must reach.
    pub gates: GatesSection,
    /// Where approved versions are copied to.
    #[serde(skip_serializing_if = "ProductionSection::is_default")]
    pub production: ProductionSection,
    /// What the model is for.
    #[serde(skip_serializing_if = "ProblemSection::is_default")]
    pub problem: ProblemSection,
    /// Whose components may run.
    #[serde(skip_serializing_if = "TrustSection::is_default")]
    pub trust: TrustSection,
    /// The text, for problems that are found later.
    #[serde(skip)]
    pub(crate) source: Arc<Source>,
    /// The tree, for the same.
    #[serde(skip)]
    pub(crate) root: Arc<Table>,
}

/// A child of a value.
#[derive(Clone, Debug)]
pub struct ForeachChild {
    /// Its name: what of the value can stand in names.
    pub name: String,
    /// The value.
    pub value: serde_json::Value,
    /// Its pipeline.
    pub manifest: Arc<Manifest>,
}

fn displayed<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl Manifest {
    /// Reads and checks a file, with what the command line changes.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong, in the file and in the overrides. Faults of
    /// the TOML itself hide the rest: the tree is then not what its author meant.
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

    /// Checks a text. `file` is what errors call it, `directory` where relative paths in it start.
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
                    collector.report(&Origin::File(fault.span), "", fault.message, None);
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

    /// The file's text, as it is recorded with a run: as it was read, without the queries of
    /// sources' URLs, which may hold keys.
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
        // From the end, so that places stay what they are.
        uris.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
        for (place, without) in uris {
            // A JSON string is a TOML string.
            text.replace_range(place, &serde_json::Value::from(without).to_string());
        }
        text
    }

    /// The variables that sources name for their tokens, each with the source.
    pub fn token_variables(&self) -> impl Iterator<Item = (&Identifier, &str)> {
        self.sources.iter().filter_map(|(name, source)| match &source.location {
            SourceLocation::Http { token_env, .. } => Some((name, token_env.as_deref()?)),
            _ => None,
        })
    }

    /// The stage of this world; in a graph, the first of them.
    ///
    /// # Panics
    /// Never: a manifest without one of the six is not read.
    pub fn stage(&self, world: World) -> &StageSection {
        self.stages.iter().find(|stage| stage.world == world).expect("each world has a stage")
    }

    /// The component of this world's stage; in a graph, of the first of them.
    pub fn component(&self, world: World) -> &ComponentSection {
        &self.components[&self.stage(world).component]
    }

    /// The stage that a step does.
    ///
    /// # Panics
    /// The step is of another pipeline.
    pub fn stage_of(&self, step: &Step) -> &StageSection {
        self.stages.iter().find(|stage| stage.name == step.stage).expect("each step does a stage of its pipeline")
    }

    /// The component of a stage.
    pub fn component_of(&self, stage: &StageSection) -> &ComponentSection {
        &self.components[&stage.component]
    }

    /// The parameters of a stage: its component's, with its own over them.
    pub fn parameters_of(&self, stage: &StageSection) -> serde_json::Map<String, serde_json::Value> {
        let mut parameters = self.component_of(stage).parameters.clone();
        parameters.extend(stage.parameters.iter().map(|(name, value)| (name.clone(), value.clone())));
        parameters
    }

    /// The source that a stage reads, if it reads one.
    pub fn source_of(&self, stage: &StageSection) -> Option<(&Identifier, &SourceSection)> {
        stage.source.as_ref().and_then(|name| self.sources.get_key_value(name))
    }

    /// The source that ingestion reads, if it reads one.
    pub fn ingestion_source(&self) -> Option<(&Identifier, &SourceSection)> {
        self.source_of(self.stage(World::Ingestion))
    }

    /// Whether the pipeline is more than the six stages in a row.
    pub fn is_graph(&self) -> bool {
        let steps = self.graph.steps();
        steps.len() != World::required().count() || steps.iter().any(|step| step.id.as_str() != step.world.as_str())
    }

    /// The pipeline of a child: with a model of its own, and files of its own.
    ///
    /// # Errors
    /// The name that its model would have, and the rule that it breaks.
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

    /// The same pipeline as far as it is done once, before its segments.
    #[must_use]
    pub fn before_segments(&self) -> Self {
        let outputs = self.outputs.iter().filter(|output| foreach::is_before_segments(output.world)).cloned().collect();
        Self { outputs, ..self.clone() }
    }

    /// The step that makes the table from which something is learnt.
    pub fn table_step(&self) -> &StepId {
        let mut learning = self.graph.of(World::Transformation);
        let found = learning.find_map(|step| step.line.get(&World::Ingestion));
        found.unwrap_or(&self.stage(World::Ingestion).name)
    }

    /// The file, as it was given.
    pub fn file(&self) -> &str {
        &self.source.file
    }

    /// The files that decide what a run does: this one, its lock, components, files of rows and of
    /// a split.
    pub fn deciding_files(&self) -> Vec<PathBuf> {
        let file = Path::new(self.file());
        let components = self.components.values().filter_map(|component| component.path.clone());
        let of_children = self.children.iter().flat_map(|child| child.manifest.sources.values());
        let sources = self.sources.values().chain(of_children).filter_map(|source| match &source.location {
            SourceLocation::Csv { path, .. }
            | SourceLocation::Parquet { path }
            | SourceLocation::Sqlite { path, .. } => Some(path.clone()),
            SourceLocation::Http { .. } => None,
        });
        let own = [file.to_owned(), Lock::beside(file)];
        own.into_iter().chain(components).chain(sources).chain(self.split.file.clone()).collect()
    }

    /// The whole configuration, overrides and defaults included, in the words of the file. Stored
    /// with a run.
    pub fn effective(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("every key is text and every number finite: the readers saw to it")
    }
}

/// The keys of the top level; `None` for one that is missing or wrong.
struct Head {
    pipeline: Option<Identifier>,
    experiment: Option<Name>,
    model: Option<Name>,
    seed: Option<u64>,
    as_of: Option<Timestamp>,
    workers: Option<NonZeroUsize>,
    canonicalize_nans: bool,
}

impl Head {
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

/// A file that was read.
struct Read<'a> {
    /// `None` if one of its sections could not be read.
    manifest: Option<Manifest>,
    /// The values that there is a child for.
    given: Vec<Given<'a>>,
}

/// Reads the pipelines of children. A problem of the file itself is told once.
fn children<'a>(
    context: &Context<'a>,
    source: &Arc<Source>,
    root: &'a Arc<Table>,
    given: Vec<Given<'a>>,
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
    given: &mut Vec<Given<'a>>,
) -> Option<Manifest> {
    let file = Section::root(context, root);
    let head = Head::read(&file);
    let task = file.require("task", "[task]").and_then(|item| item.section()).map(TaskDraft::read);
    let task = task.unwrap_or_default();
    let sources = file.section("sources").map(source::read_all).unwrap_or_default();
    let signature = file.section("signature").map(|section| SignatureSection::read(section, &task));
    let split = file.section("split").map(|section| SplitSection::read(section, &task));
    let stages = file.require("stages", "[stages.ingestion]").and_then(|item| item.section());
    let outputs = file.section("outputs");
    let stages = stages.map(|section| {
        stage::check_sources(&section, root.table_at(&["sources"]));
        stage::read_all(section, outputs.as_ref())
    });
    let around = Around { task: &task, signature: signature.as_ref(), root };
    let foreach = file.section("foreach").map(|section| {
        let (read, values) = ForeachSection::read(section, head.model.as_ref(), &around);
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

/// Named sections, if each of them could be read.
fn whole<T>(sections: Vec<(Identifier, Option<T>)>) -> Option<BTreeMap<Identifier, T>> {
    sections.into_iter().map(|(name, section)| Some((name, section?))).collect()
}

/// A moment from 1970 on: the clocks that stages see cannot show an earlier one.
fn as_of(item: &Item<'_>) -> Option<Timestamp> {
    let (Value::String(text) | Value::Datetime(text)) = &item.node.value else {
        // Reports the type.
        return item.string().and(None);
    };
    let moment = text.parse::<Timestamp>().ok().filter(|moment| *moment >= Timestamp::UNIX_EPOCH);
    if moment.is_none() {
        let hint = format!("write a moment from 1970 on, with its offset, such as `{DEFAULT_AS_OF}`");
        item.report_value(format!("`as-of` is not a moment: `{text}`"), Some(hint));
    }
    moment
}
