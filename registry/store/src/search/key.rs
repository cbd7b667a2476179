//! What can be asked about: the keys of each kind of record, their kinds of value, and how they are written.
//!
//! One list of attributes serves filters and orders, which MLflow keeps apart by a hair (experiments can be ordered by their
//! identifier but not searched for it). An attribute has all of its spellings wherever it occurs: MLflow calls the same
//! time `creation_time` of an experiment and `creation_timestamp` of a model.

use std::fmt;

use super::cursor::{Cursor, is_word};
use super::error::SearchError;

/// The kinds of records that can be searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// Attributes, metrics, parameters, tags, and the datasets they read.
    Runs,
    /// Attributes and tags.
    Experiments,
    /// Attributes and tags.
    RegisteredModels,
    /// Attributes, tags, and, unlike MLflow's, metrics and parameters.
    ModelVersions,
}

impl Entity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Runs, Self::Experiments, Self::RegisteredModels, Self::ModelVersions];

    /// In the plural, as in a message: `model versions`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runs => "runs",
            Self::Experiments => "experiments",
            Self::RegisteredModels => "registered models",
            Self::ModelVersions => "model versions",
        }
    }

    /// What these records have besides metrics, parameters, tags and datasets.
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
        }
    }

    /// Returns the groups of keys, as they are written before the dot.
    const fn groups(self) -> &'static [Group] {
        match self {
            Self::Runs => &[Group::Attributes, Group::Metrics, Group::Params, Group::Tags, Group::Datasets],
            Self::Experiments | Self::RegisteredModels => &[Group::Attributes, Group::Tags],
            Self::ModelVersions => &[Group::Attributes, Group::Metrics, Group::Params, Group::Tags],
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
            // Of another record, its run's would be meant.
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

/// What stands before a key's dot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Attributes,
    Metrics,
    Params,
    Tags,
    Datasets,
}

impl Group {
    /// Returns the one that is shown first.
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

/// What a record is by itself. Times are milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// A run's identifier; of a model version, that of the run that made it.
    RunId,
    /// A run's name for people.
    RunName,
    /// Who started a run.
    UserId,
    /// A run's status in MLflow's words: `RUNNING`, `FINISHED`, `FAILED`, `KILLED`, `SCHEDULED`.
    Status,
    /// Where a run's artifacts are.
    ArtifactUri,
    /// When a run started.
    StartTime,
    /// When a run ended.
    EndTime,
    /// The name of the pipeline that a run ran. Stagewright's own; null for a run that a client logged.
    Pipeline,
    /// The name of an experiment or a model; of a model version, that of its model.
    Name,
    /// An experiment's identifier.
    ExperimentId,
    /// When an experiment, a model or a version was made.
    CreationTime,
    /// When one was last changed.
    LastUpdateTime,
    /// A model version's number.
    VersionNumber,
    /// Where a model version's files are.
    SourcePath,
    /// A model version's stage in MLflow's words: `None`, `Staging`, `Production`, `Archived`.
    Stage,
    /// The aliases of a model version, of which it has any number. Stagewright's own, as are the next two.
    Alias,
    /// What the gates said about a model version: `approved`, `rejected`; null before they did.
    Verdict,
    /// A model version's semantic version; null if it has none.
    SemanticVersion,
}

impl Attribute {
    /// Returns how it is written.
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
        }
    }

    /// Returns how else it may be written: what MLflow's clients, its pages and older versions of
    /// both write.
    const fn others(self) -> &'static [&'static str] {
        match self {
            Self::RunName => &["run name", "Run name", "Run Name"],
            Self::StartTime => &["created", "Created"],
            Self::CreationTime => &["creation_timestamp"],
            Self::LastUpdateTime => &["last_updated_timestamp", "timestamp"],
            Self::VersionNumber => &["version"],
            Self::SourcePath => &["source"],
            Self::Stage => &["current_stage"],
            Self::Alias => &["aliases"],
            _ => &[],
        }
    }

    /// What it is compared with.
    pub const fn kind(self) -> Kind {
        match self {
            Self::StartTime | Self::EndTime | Self::CreationTime | Self::LastUpdateTime | Self::VersionNumber => {
                Kind::Integer
            }
            Self::Pipeline | Self::Alias | Self::Verdict | Self::SemanticVersion => Kind::OptionalText,
            _ => Kind::Text,
        }
    }
}

/// What a run's dataset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DatasetField {
    /// Its name.
    Name,
    /// Its digest.
    Digest,
    /// What it was read for: `training`. MLflow's tag `mlflow.data.context` of the input.
    Context,
}

impl DatasetField {
    const ALL: [Self; 3] = [Self::Name, Self::Digest, Self::Context];

    /// Returns how it is written after `datasets.`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Digest => "digest",
            Self::Context => "context",
        }
    }
}

/// What a key is compared with, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A metric: with a number, by size.
    Number,
    /// With a whole number, by size.
    Integer,
    /// With a text, a pattern or a list of texts.
    Text,
    /// The same, or whether it is null.
    OptionalText,
    /// A tag or a parameter: with a text or a pattern, or whether it is there.
    Entry,
}

impl Kind {
    /// Returns the operators, as a message lists them.
    pub const fn operators(self) -> &'static str {
        match self {
            Self::Number | Self::Integer => "`=`, `!=`, `<`, `<=`, `>`, `>=`",
            Self::Text => "`=`, `!=`, `LIKE`, `ILIKE`, `IN`, `NOT IN`",
            Self::OptionalText => "`=`, `!=`, `LIKE`, `ILIKE`, `IN`, `NOT IN`, `IS NULL`, `IS NOT NULL`",
            Self::Entry => "`=`, `!=`, `LIKE`, `ILIKE`, `IS NULL`, `IS NOT NULL`",
        }
    }
}

/// What a clause or an order is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// A record's own.
    Attribute(Attribute),
    /// The last value of the metric of this name.
    Metric(String),
    /// The parameter of this name.
    Parameter(String),
    /// The tag of this name.
    Tag(String),
    /// Of the datasets that a run read.
    Dataset(DatasetField),
}

impl Key {
    /// What it is compared with.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Attribute(attribute) => attribute.kind(),
            Self::Metric(_) => Kind::Number,
            Self::Parameter(_) | Self::Tag(_) => Kind::Entry,
            Self::Dataset(_) => Kind::Text,
        }
    }

    /// What a message calls it: `a metric`, `the attribute `status``.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Attribute(attribute) => format!("the attribute `{}`", attribute.name()),
            Self::Metric(_) => "a metric".to_owned(),
            Self::Parameter(_) => "a parameter".to_owned(),
            Self::Tag(_) => "a tag".to_owned(),
            Self::Dataset(field) => format!("a dataset's {}", field.name()),
        }
    }

    /// Reads the key that stands here.
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
            let hint = "a name that has other characters than letters, digits and `_.-/:+` stands in backticks";
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

/// Returns a quoted text, or a run of characters, if there are any.
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
