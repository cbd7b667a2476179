//! The keys of each kind of record, the types of their values, and their spellings.
//!
//! One list of attributes serves filters and orders, between which MLflow differs slightly
//! (experiments can be ordered by their identifier but not searched by it). An attribute has all of
//! its spellings wherever it occurs: MLflow calls the same time `creation_time` of an experiment
//! and `creation_timestamp` of a model.

use std::fmt;

use super::cursor::{Cursor, is_word};
use super::error::SearchError;

/// A kind of record that can be searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// Attributes, metrics, parameters, tags, and the datasets that they read.
    Runs,
    /// Attributes and tags.
    Experiments,
    /// Attributes and tags.
    RegisteredModels,
    /// Attributes and tags; metrics and parameters too, unlike MLflow's.
    ModelVersions,
    /// Attributes, metrics, parameters and tags.
    LoggedModels,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Runs, Self::Experiments, Self::RegisteredModels, Self::ModelVersions, Self::LoggedModels];

    /// Returns the plural for messages: `model versions`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Experiments => "experiments",
            Self::RegisteredModels => "registered models",
            Self::ModelVersions => "model versions",
            Self::LoggedModels => "logged models",
        }
    }

    /// Returns the attributes of these records.
    pub const fn attributes(self) -> &'static [Attribute] {
        use Attribute::*;
        match self {
            Self::Runs => &[RunId, RunName, UserId, Status, ArtifactUri, StartTime, EndTime, Pipeline],
            Self::Experiments => &[Name, ExperimentId, CreationTime, LastUpdateTime],
            Self::RegisteredModels => &[Name, CreationTime, LastUpdateTime],
            Self::ModelVersions => &[
                Name,
                VersionNumber,
                RunId,
                SourcePath,
                CreationTime,
                LastUpdateTime,
                Stage,
                Alias,
                Verdict,
                SemanticVersion,
            ],
            Self::LoggedModels => &[Name, ModelId, ModelType, Status, SourceRunId, CreationTime, LastUpdateTime],
        }
    }

    /// Returns the groups of keys: the words before the dot.
    const fn groups(self) -> &'static [Group] {
        match self {
            Self::Runs => &[Group::Attributes, Group::Metrics, Group::Params, Group::Tags, Group::Datasets],
            Self::Experiments | Self::RegisteredModels => &[Group::Attributes, Group::Tags],
            Self::ModelVersions | Self::LoggedModels => {
                &[Group::Attributes, Group::Metrics, Group::Params, Group::Tags]
            }
        }
    }

    /// Returns the attribute of this spelling.
    fn attribute(self, spelling: &str) -> Option<Attribute> {
        let spelt = |attribute: &&Attribute| attribute.name() == spelling || attribute.others().contains(&spelling);
        self.attributes().iter().find(spelt).copied()
    }

    /// Returns the group of this spelling.
    fn group(self, spelling: &str) -> Option<Group> {
        match (self, spelling) {
            // For another kind of record, it would be the run's attribute.
            (Self::Runs, "run") => Some(Group::Attributes),
            _ => self.groups().iter().find(|group| group.spellings().contains(&spelling)).copied(),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The word before a key's dot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Attributes,
    Metrics,
    Params,
    Tags,
    Datasets,
}

impl Group {
    /// Returns the spellings. Messages show the first.
    const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::Attributes => &["attributes", "attribute", "attr"],
            Self::Metrics => &["metrics", "metric"],
            Self::Params => &["params", "param", "parameters", "parameter"],
            Self::Tags => &["tags", "tag"],
            Self::Datasets => &["datasets", "dataset"],
        }
    }
}

/// An attribute of a record. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// A run's identifier; of a model version, that of the run that made it.
    RunId,
    /// A run's name for people.
    RunName,
    /// The user who started a run.
    UserId,
    /// A run's status in MLflow's words: `RUNNING`, `FINISHED`, `FAILED`, `KILLED`, `SCHEDULED`;
    /// that of a logged model: `PENDING`, `READY`, `UPLOAD_FAILED`.
    Status,
    /// The location of a run's artifacts.
    ArtifactUri,
    /// When a run started.
    StartTime,
    /// When a run ended.
    EndTime,
    /// The name of the pipeline that a run ran. Not in MLflow; null for a run that a client logged.
    Pipeline,
    /// The name of an experiment or a model; of a model version, that of its model.
    Name,
    /// An experiment's identifier.
    ExperimentId,
    /// When an experiment, a model or a version was created.
    CreationTime,
    /// When an experiment, a model or a version last changed.
    LastUpdateTime,
    /// A model version's number.
    VersionNumber,
    /// The location of a model version's files.
    SourcePath,
    /// A model version's stage in MLflow's words: `None`, `Staging`, `Production`, `Archived`.
    Stage,
    /// The aliases of a model version, of which it has any number. Not in MLflow, like the next
    /// two.
    Alias,
    /// A model version's verdict: `approved`, `rejected`; null before it was judged.
    Verdict,
    /// A model version's semantic version; null if it has none.
    SemanticVersion,
    /// A logged model's identifier.
    ModelId,
    /// A logged model's kind, in its client's words; null if it gave none.
    ModelType,
    /// The run that made a logged model; null if none did.
    SourceRunId,
}

impl Attribute {
    /// Returns the spelling that messages show.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RunId => "run_id",
            Self::RunName => "run_name",
            Self::UserId => "user_id",
            Self::Status => "status",
            Self::ArtifactUri => "artifact_uri",
            Self::StartTime => "start_time",
            Self::EndTime => "end_time",
            Self::Pipeline => "pipeline",
            Self::Name => "name",
            Self::ExperimentId => "experiment_id",
            Self::CreationTime => "creation_time",
            Self::LastUpdateTime => "last_update_time",
            Self::VersionNumber => "version_number",
            Self::SourcePath => "source_path",
            Self::Stage => "stage",
            Self::Alias => "alias",
            Self::Verdict => "verdict",
            Self::SemanticVersion => "semantic_version",
            Self::ModelId => "model_id",
            Self::ModelType => "model_type",
            Self::SourceRunId => "source_run_id",
        }
    }

    /// Returns other spellings, of MLflow's clients, its documentation and older versions of both.
    const fn others(self) -> &'static [&'static str] {
        match self {
            Self::RunName => &["run name", "Run name", "Run Name"],
            Self::StartTime => &["created", "Created"],
            Self::CreationTime => &["creation_timestamp", "creation_timestamp_ms"],
            Self::LastUpdateTime => &["last_updated_timestamp", "timestamp", "last_updated_timestamp_ms"],
            Self::VersionNumber => &["version"],
            Self::SourcePath => &["source"],
            Self::Stage => &["current_stage"],
            Self::Alias => &["aliases"],
            _ => &[],
        }
    }

    /// Returns the type of its value.
    pub const fn kind(self) -> Kind {
        match self {
            Self::StartTime | Self::EndTime | Self::CreationTime | Self::LastUpdateTime | Self::VersionNumber => {
                Kind::Integer
            }
            Self::Pipeline
            | Self::Alias
            | Self::Verdict
            | Self::SemanticVersion
            | Self::ModelType
            | Self::SourceRunId => Kind::OptionalText,
            _ => Kind::Text,
        }
    }
}

/// A field of a run's dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetField {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// The purpose that it was read for: `training`. MLflow's tag `mlflow.data.context` of the
    /// input.
    Context,
}

impl DatasetField {
    const ALL: [Self; 3] = [Self::Name, Self::Digest, Self::Context];

    /// Returns its spelling after `datasets.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Digest => "digest",
            Self::Context => "context",
        }
    }
}

/// The type of a key's value, which determines its operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A metric: a number.
    Number,
    /// An integer.
    Integer,
    /// A text, compared with a text, a pattern or a list of texts.
    Text,
    /// A text that may be null.
    OptionalText,
    /// A tag or a parameter: a text, which may not exist.
    Entry,
}

impl Kind {
    /// Returns the operators, for messages.
    pub const fn operators(self) -> &'static str {
        match self {
            Self::Number | Self::Integer => "`=`, `!=`, `<`, `<=`, `>`, `>=`",
            Self::Text => "`=`, `!=`, `LIKE`, `ILIKE`, `IN`, `NOT IN`",
            Self::OptionalText => "`=`, `!=`, `LIKE`, `ILIKE`, `IN`, `NOT IN`, `IS NULL`, `IS NOT NULL`",
            Self::Entry => "`=`, `!=`, `LIKE`, `ILIKE`, `IS NULL`, `IS NOT NULL`",
        }
    }
}

/// The left side of a clause, or an order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An attribute of the record.
    Attribute(Attribute),
    /// The last value of the metric of this name.
    Metric(String),
    /// The parameter of this name.
    Parameter(String),
    /// The tag of this name.
    Tag(String),
    /// A field of the datasets that a run read.
    Dataset(DatasetField),
}

impl Key {
    /// Returns the type of its value.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Attribute(attribute) => attribute.kind(),
            Self::Metric(_) => Kind::Number,
            Self::Parameter(_) | Self::Tag(_) => Kind::Entry,
            Self::Dataset(_) => Kind::Text,
        }
    }

    /// Returns its name in messages: `a metric`, `the attribute `status``.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Attribute(attribute) => format!("the attribute `{}`", attribute.name()),
            Self::Metric(_) => "a metric".to_owned(),
            Self::Parameter(_) => "a parameter".to_owned(),
            Self::Tag(_) => "a tag".to_owned(),
            Self::Dataset(field) => format!("a dataset's {}", field.name()),
        }
    }

    /// Parses a key.
    pub(super) fn read(cursor: &mut Cursor<'_>, entity: Entity) -> Result<Self, SearchError> {
        cursor.space();
        let start = cursor.at();
        let first = part(cursor, |character| is_word(character) && character != '.')?;
        if !cursor.eat('.') {
            let reserved = ["and", "or", "not", "in", "like", "ilike", "is"];
            return match first {
                Some(name) if entity.attribute(&name).is_some() || !reserved.contains(&&*name.to_ascii_lowercase()) => {
                    attribute(cursor, entity, start, &name)
                }
                _ => Err(no_key(cursor, entity, start)),
            };
        }
        let Some(group) =
            first.filter(|group| !group.starts_with(|first: char| first.is_ascii_digit() || first == '-'))
        else {
            return Err(no_key(cursor, entity, start));
        };
        let Some(group) = entity.group(&group) else { return Err(no_group(cursor, entity, start, &group)) };
        let start = cursor.at();
        let Some(name) = part(cursor, is_word)?.filter(|name| !name.is_empty()) else {
            let hint = "put a name with characters other than letters, digits and `_.-/:+` in backticks";
            return Err(cursor.refuse(start, "a name is missing after the dot", hint));
        };
        match group {
            Group::Attributes => attribute(cursor, entity, start, &name),
            Group::Metrics => Ok(Self::Metric(name)),
            Group::Params => Ok(Self::Parameter(name)),
            Group::Tags => Ok(Self::Tag(name)),
            Group::Datasets => dataset(cursor, start, &name),
        }
    }
}

/// Parses a quoted text, or a run of characters, if there is one.
fn part(cursor: &mut Cursor<'_>, of: fn(char) -> bool) -> Result<Option<String>, SearchError> {
    if let Some(quoted) = cursor.quoted(&['`', '"', '\''])? {
        return Ok(Some(quoted));
    }
    Ok(Some(cursor.run(of)).filter(|run| !run.is_empty()).map(str::to_owned))
}

fn attribute(cursor: &mut Cursor<'_>, entity: Entity, start: usize, name: &str) -> Result<Key, SearchError> {
    if let Some(attribute) = entity.attribute(name) {
        return Ok(Key::Attribute(attribute));
    }
    cursor.back(start);
    let problem = format!("{} is no attribute of {entity}", cursor.found());
    let attributes: Vec<_> = entity.attributes().iter().map(|attribute| format!("`{}`", attribute.name())).collect();
    Err(cursor.refuse(start, problem, format!("they have {}{}", attributes.join(", "), others(entity))))
}

fn dataset(cursor: &mut Cursor<'_>, start: usize, name: &str) -> Result<Key, SearchError> {
    if let Some(field) = DatasetField::ALL.into_iter().find(|field| field.name() == name) {
        return Ok(Key::Dataset(field));
    }
    cursor.back(start);
    let problem = format!("a dataset cannot be searched by {}", cursor.found());
    Err(cursor.refuse(start, problem, "write `datasets.name`, `datasets.digest` or `datasets.context`"))
}

fn no_key(cursor: &mut Cursor<'_>, entity: Entity, start: usize) -> SearchError {
    cursor.back(start);
    let problem = format!("a key is expected here, not {}", cursor.found());
    let example = if entity.group("metrics").is_some() { "metrics.auc" } else { "name" };
    cursor.refuse(
        start,
        problem,
        format!("begin with what is asked about, such as `{example}`; parentheses enclose lists only"),
    )
}

fn no_group(cursor: &mut Cursor<'_>, entity: Entity, start: usize, group: &str) -> SearchError {
    let shown: String = super::error::visible(group).chars().take(40).collect();
    let groups: Vec<_> = entity.groups().iter().map(|group| format!("`{}.`", group.spellings()[0])).collect();
    let hint = format!("{entity} have {}; a name with dots belongs to one of them", groups.join(", "));
    cursor.refuse(start, format!("`{shown}.` is no group of keys of {entity}"), hint)
}

/// Returns the groups besides attributes, for a hint.
fn others(entity: Entity) -> String {
    let groups: Vec<_> = entity.groups()[1..].iter().map(|group| format!("`{}.`", group.spellings()[0])).collect();
    format!("; other keys begin with {}", groups.join(", "))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, name) = match self {
            Self::Attribute(attribute) => return f.write_str(attribute.name()),
            Self::Dataset(field) => return write!(f, "datasets.{}", field.name()),
            Self::Metric(name) => ("metrics", name),
            Self::Parameter(name) => ("params", name),
            Self::Tag(name) => ("tags", name),
        };
        if name.chars().all(is_word) {
            write!(f, "{group}.{name}")
        } else {
            write!(f, "{group}.`{}`", name.replace('`', "``"))
        }
    }
}
