//! The SQL of a search: MLflow's filters and orders, as both databases understand them.
//!
//! [`crate::search`] defines the meaning of clauses; this module translates them. Values are always
//! parameters, never text of the statement. A metric in a filter is joined, so that the database
//! can walk its values in order; tags and parameters are looked up by value.

use std::fmt::Write as _;

use crate::database::{Connection, Outcome, Value};
use crate::search::{Attribute, Clause, Comparison, DatasetField, Entity, Filter, Key, Kind, OrderBy, like_to_glob};

/// A page of the results of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The most records to return.
    pub limit: usize,
    /// How many records to skip.
    pub offset: usize,
}

/// The tables of a kind of record.
struct Tables {
    /// The table of the records, and its joins.
    from: &'static str,
    /// The column of the records' row id.
    id: &'static str,
    /// The column that refers to it in the tables below.
    owner: &'static str,
    metrics: &'static str,
    parameters: &'static str,
    tags: &'static str,
}

impl Tables {
    const fn of(entity: Entity) -> Self {
        match entity {
            Entity::Runs => Self {
                from: "runs JOIN experiments ON experiments.id = runs.experiment",
                id: "runs.id",
                owner: "run",
                metrics: "latest_metrics",
                parameters: "parameters",
                tags: "run_tags",
            },
            Entity::ModelVersions => Self {
                from: "versions JOIN registered_models ON registered_models.id = versions.model",
                id: "versions.id",
                owner: "version",
                metrics: "version_metrics",
                parameters: "version_parameters",
                tags: "version_tags",
            },
            // The grammar has no metrics and parameters for these two.
            Entity::RegisteredModels => Self {
                from: "registered_models",
                id: "registered_models.id",
                owner: "model",
                metrics: "",
                parameters: "",
                tags: "registered_model_tags",
            },
            Entity::Experiments => Self {
                from: "experiments",
                id: "experiments.id",
                owner: "experiment",
                metrics: "",
                parameters: "",
                tags: "experiment_tags",
            },
            Entity::LoggedModels => Self {
                from: "logged_models",
                id: "logged_models.id",
                owner: "model",
                metrics: "logged_model_metrics",
                parameters: "logged_model_parameters",
                tags: "logged_model_tags",
            },
        }
    }
}

/// A statement that is being built.
pub(super) struct Query {
    entity: Entity,
    sqlite: bool,
    tables: Tables,
    joins: String,
    /// Metrics that are joined and certain to exist, with their aliases.
    joined: Vec<(String, String)>,
    /// The condition on the rows of metrics that count, of logged models.
    pub(super) counted: String,
    pub(super) conditions: Vec<String>,
    pub(super) order: Vec<String>,
    parameters: Vec<Value>,
}

impl Query {
    pub(super) fn new(entity: Entity, sqlite: bool) -> Self {
        Self {
            entity,
            sqlite,
            tables: Tables::of(entity),
            joins: String::new(),
            joined: Vec::new(),
            counted: String::new(),
            conditions: Vec::new(),
            order: Vec::new(),
            parameters: Vec::new(),
        }
    }

    /// Returns the row ids of the records that satisfy the conditions.
    pub(super) fn row_ids(
        mut self,
        connection: &mut Connection,
        filter: &Filter,
        order: &OrderBy,
        page: Page,
    ) -> Outcome<Vec<i64>> {
        for clause in filter.clauses() {
            self.add(clause);
        }
        for key in order.clone().total(self.entity).keys() {
            self.add_order(&key.key, key.descending);
        }
        let Tables { from, id, .. } = self.tables;
        let mut sql = format!("SELECT {id} FROM {from}{}", self.joins);
        if !self.conditions.is_empty() {
            let _ = write!(sql, " WHERE {}", self.conditions.join(" AND "));
        }
        let (limit, offset) = (self.value(page.limit), self.value(page.offset));
        let _ = write!(sql, " ORDER BY {} LIMIT {limit} OFFSET {offset}", self.order.join(", "));
        connection.query_once(&sql, &self.parameters)?.iter().map(|row| Ok(row.get(0)?)).collect()
    }

    /// Adds a parameter with a value. Returns its place in the statement.
    pub(super) fn value(&mut self, value: impl Into<Value>) -> String {
        self.parameters.push(value.into());
        format!("?{}", self.parameters.len())
    }

    pub(super) fn list<T: AsRef<str>>(&mut self, texts: &[T]) -> String {
        let places: Vec<String> = texts.iter().map(|text| self.value(text.as_ref())).collect();
        places.join(", ")
    }

    fn add(&mut self, clause: &Clause) {
        let condition = match &clause.key {
            // It may have several rows: one a dataset and run.
            Key::Metric(name) if self.entity == Entity::LoggedModels => {
                let place = self.value(name);
                let condition = self.compare("value", Kind::Number, &clause.comparison);
                let counted = &self.counted;
                format!(
                    "logged_models.id IN (SELECT model FROM logged_model_metrics WHERE name = {place} AND {condition}{counted})"
                )
            }
            Key::Metric(name) => {
                let alias = self.metric(name);
                self.compare(&format!("{alias}.value"), Kind::Number, &clause.comparison)
            }
            Key::Parameter(name) => self.owned(self.tables.parameters, name, clause),
            Key::Tag(name) => self.owned(self.tables.tags, name, clause),
            Key::Attribute(Attribute::Alias) => self.alias(&clause.comparison),
            Key::Attribute(attribute) => {
                let column = self.column(*attribute);
                self.compare(column, clause.key.kind(), &spelled(*attribute, &clause.comparison))
            }
            Key::Dataset(field) => self.dataset(*field, &clause.comparison),
        };
        self.conditions.push(condition);
    }

    /// Joins a metric that the records must have. Returns its alias.
    fn metric(&mut self, name: &str) -> String {
        if let Some((_, alias)) = self.joined.iter().find(|(joined, _)| joined == name) {
            return alias.clone();
        }
        let alias = format!("metric_{}", self.joined.len());
        let place = self.value(name);
        let Tables { id, owner, metrics, .. } = self.tables;
        let _ = write!(self.joins, " JOIN {metrics} {alias} ON {alias}.{owner} = {id} AND {alias}.name = {place}");
        self.joined.push((name.to_owned(), alias.clone()));
        alias
    }

    /// Returns a condition on a tag or a parameter.
    fn owned(&mut self, table: &str, name: &str, clause: &Clause) -> String {
        let Tables { id, owner, .. } = self.tables;
        let place = self.value(name);
        match &clause.comparison {
            Comparison::Null => format!("{id} NOT IN (SELECT {owner} FROM {table} WHERE name = {place})"),
            Comparison::NotNull => format!("{id} IN (SELECT {owner} FROM {table} WHERE name = {place})"),
            _ if clause.is_prompt_exclusion() => {
                format!("{id} NOT IN (SELECT {owner} FROM {table} WHERE name = {place} AND value = 'true')")
            }
            comparison => {
                let condition = self.compare("value", Kind::Text, comparison);
                format!("{id} IN (SELECT {owner} FROM {table} WHERE name = {place} AND {condition})")
            }
        }
    }

    /// Returns a condition on the aliases of a version, including `champion`.
    fn alias(&mut self, comparison: &Comparison) -> String {
        const ALIASES: &str = "(SELECT alias FROM version_aliases WHERE version_aliases.version = versions.id
            UNION ALL SELECT 'champion' WHERE versions.stage = 'production' AND versions.is_foreign = 0) named";
        let (sign, positive) = match comparison {
            Comparison::NotEqual(text) => ("NOT ", Comparison::Equal(text.clone())),
            Comparison::NotIn(texts) => ("NOT ", Comparison::In(texts.clone())),
            Comparison::Null => return format!("NOT EXISTS (SELECT 1 FROM {ALIASES})"),
            Comparison::NotNull => return format!("EXISTS (SELECT 1 FROM {ALIASES})"),
            other => ("", other.clone()),
        };
        let condition = self.compare("alias", Kind::Text, &positive);
        format!("{sign}EXISTS (SELECT 1 FROM {ALIASES} WHERE {condition})")
    }

    /// Returns a condition on the datasets of a run: the table that a pipeline ingested, or those
    /// that a client logged.
    fn dataset(&mut self, field: DatasetField, comparison: &Comparison) -> String {
        let (ingested, logged) = match field {
            DatasetField::Name => ("runs.pipeline", "datasets.name"),
            DatasetField::Digest => ("ingested.digest", "datasets.digest"),
            DatasetField::Context => ("'train'", "used.value"),
        };
        let of_pipeline = self.compare(ingested, Kind::Text, comparison);
        let of_client = self.compare(logged, Kind::Text, comparison);
        let from = match field {
            DatasetField::Name | DatasetField::Digest => {
                "run_datasets used JOIN datasets ON datasets.id = used.dataset WHERE used.run = runs.id"
            }
            DatasetField::Context => {
                "run_dataset_tags used WHERE used.run = runs.id AND used.name = 'mlflow.data.context'"
            }
        };
        format!(
            "(EXISTS (SELECT 1 FROM {from} AND {of_client})
             OR EXISTS (SELECT 1 FROM stage_outputs ingested JOIN stages ON stages.id = ingested.stage
             WHERE stages.run = runs.id AND stages.name = 'ingestion' AND ingested.name = 'table' AND {of_pipeline}))"
        )
    }

    fn compare(&mut self, column: &str, kind: Kind, comparison: &Comparison) -> String {
        let text = if is_text(kind) && !self.sqlite { format!("{column} COLLATE \"C\"") } else { column.to_owned() };
        match comparison {
            Comparison::Number(relation, number) => format!("{column} {} {}", relation.sign(), self.value(*number)),
            Comparison::Integer(relation, number) => format!("{column} {} {}", relation.sign(), self.value(*number)),
            Comparison::Equal(value) => format!("{column} = {}", self.value(value)),
            Comparison::NotEqual(value) => format!("{column} <> {}", self.value(value)),
            Comparison::Like(pattern) if self.sqlite => format!("{column} GLOB {}", self.value(like_to_glob(pattern))),
            Comparison::Like(pattern) => format!("{text} LIKE {} ESCAPE ''", self.value(pattern)),
            Comparison::Ilike(pattern) if self.sqlite => format!("{column} LIKE {}", self.value(pattern)),
            Comparison::Ilike(pattern) => format!("{text} ILIKE {} ESCAPE ''", self.value(pattern)),
            Comparison::In(values) => format!("{column} IN ({})", self.list(values)),
            Comparison::NotIn(values) => format!("{column} NOT IN ({})", self.list(values)),
            Comparison::Null => format!("{column} IS NULL"),
            Comparison::NotNull => format!("{column} IS NOT NULL"),
        }
    }

    pub(super) fn add_order(&mut self, key: &Key, descending: bool) {
        let direction = if descending { "DESC" } else { "ASC" };
        let Tables { id, owner, .. } = self.tables;
        match key {
            Key::Metric(name) if self.entity == Entity::LoggedModels => {
                let place = self.value(name);
                let counted = &self.counted;
                let last = format!(
                    "(SELECT value FROM logged_model_metrics WHERE model = logged_models.id AND name = {place}{counted}
                      ORDER BY at_ms DESC, step DESC, run LIMIT 1)"
                );
                self.order.push(format!("({last} IS NULL), {last} {direction}"));
            }
            Key::Metric(name) => {
                if let Some((_, alias)) = self.joined.iter().find(|(joined, _)| joined == name) {
                    // A filter compares it, so that it exists and is not NaN.
                    self.order.push(format!("{alias}.value {direction}"));
                    return;
                }
                let alias = self.sorted(self.tables.metrics, name);
                self.order
                    .push(format!("({alias}.{owner} IS NULL), ({alias}.value IS NULL), {alias}.value {direction}"));
            }
            Key::Parameter(name) => self.add_text_order(self.tables.parameters, name, direction),
            Key::Tag(name) => self.add_text_order(self.tables.tags, name, direction),
            Key::Attribute(attribute) => {
                let column = self.column(*attribute);
                let collated = if is_text(key.kind()) && !self.sqlite { " COLLATE \"C\"" } else { "" };
                // No condition on columns that are never null, so that the database may walk an
                // index.
                let nulls =
                    if is_nullable(self.entity, *attribute) { format!("({column} IS NULL), ") } else { String::new() };
                self.order.push(format!("{nulls}{column}{collated} {direction}"));
            }
            // Unreachable: the grammar refuses to order by it.
            Key::Dataset(_) => self.order.push(id.to_owned()),
        }
    }

    fn add_text_order(&mut self, table: &'static str, name: &str, direction: &str) {
        let alias = self.sorted(table, name);
        let collated = if self.sqlite { "" } else { " COLLATE \"C\"" };
        self.order.push(format!("({alias}.value IS NULL), {alias}.value{collated} {direction}"));
    }

    /// Joins a value that the records may lack, to sort by it. Returns its alias.
    fn sorted(&mut self, table: &str, name: &str) -> String {
        let alias = format!("sorted_{}", self.order.len());
        let place = self.value(name);
        let Tables { id, owner, .. } = self.tables;
        let _ = write!(self.joins, " LEFT JOIN {table} {alias} ON {alias}.{owner} = {id} AND {alias}.name = {place}");
        alias
    }

    fn column(&self, attribute: Attribute) -> &'static str {
        use Attribute as A;
        match (self.entity, attribute) {
            (Entity::Runs, A::RunId) => "runs.run_id",
            (Entity::Runs, A::RunName) => "runs.name",
            (Entity::Runs, A::UserId) => "runs.actor",
            (Entity::Runs, A::Status) => "upper(runs.status)",
            (Entity::Runs, A::ArtifactUri) => {
                "(coalesce(rtrim(experiments.artifact_location, '/'), 'mlflow-artifacts:/' || runs.experiment)
                  || '/' || runs.run_id || '/artifacts')"
            }
            (Entity::Runs, A::StartTime | A::CreationTime) => "runs.started_ms",
            (Entity::Runs, A::EndTime) => "runs.ended_ms",
            (Entity::Runs, A::Pipeline) => "nullif(runs.pipeline, '')",
            (Entity::Experiments, A::ExperimentId) => "CAST(experiments.id AS TEXT)",
            (Entity::Experiments, A::CreationTime) => "experiments.created_ms",
            (Entity::Experiments, A::LastUpdateTime) => "experiments.updated_ms",
            (Entity::Experiments, _) => "experiments.name",
            (Entity::RegisteredModels, A::CreationTime) => "registered_models.created_ms",
            (Entity::RegisteredModels, A::LastUpdateTime) => "registered_models.updated_ms",
            (Entity::ModelVersions, A::RunId) => "versions.run_id",
            (Entity::ModelVersions, A::VersionNumber) => "versions.version",
            (Entity::ModelVersions, A::CreationTime) => "versions.created_ms",
            (Entity::ModelVersions, A::LastUpdateTime) => "versions.updated_ms",
            (Entity::ModelVersions, A::SourcePath) => {
                "coalesce((SELECT source FROM foreign_versions WHERE foreign_versions.id = versions.id),
                  'models:/' || registered_models.name || '/' || versions.version)"
            }
            (Entity::ModelVersions, A::Stage) => "(upper(substr(versions.stage, 1, 1)) || substr(versions.stage, 2))",
            (Entity::ModelVersions, A::Verdict) => "versions.verdict",
            (Entity::ModelVersions, A::SemanticVersion) => "versions.semantic_version",
            (Entity::LoggedModels, A::ModelId) => "logged_models.model_id",
            (Entity::LoggedModels, A::ModelType) => "logged_models.model_type",
            (Entity::LoggedModels, A::SourceRunId) => "logged_models.source_run",
            (Entity::LoggedModels, A::Status) => {
                "(CASE logged_models.status WHEN 'failed' THEN 'UPLOAD_FAILED' ELSE upper(logged_models.status) END)"
            }
            (Entity::LoggedModels, A::CreationTime) => "logged_models.created_ms",
            (Entity::LoggedModels, A::LastUpdateTime) => "logged_models.updated_ms",
            (Entity::LoggedModels, _) => "logged_models.name",
            // A model's name; the grammar has no other attribute here.
            _ => "registered_models.name",
        }
    }
}

/// Spells values of status and stage as the tables do, in lower case, however they were typed.
fn spelled(attribute: Attribute, comparison: &Comparison) -> Comparison {
    let word = |word: &String| match attribute {
        Attribute::Status => word.to_uppercase(),
        Attribute::Stage => {
            let lower = word.to_lowercase();
            let mut letters = lower.chars();
            letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
        }
        _ => word.clone(),
    };
    match comparison {
        Comparison::Equal(text) => Comparison::Equal(word(text)),
        Comparison::NotEqual(text) => Comparison::NotEqual(word(text)),
        Comparison::In(texts) => Comparison::In(texts.iter().map(word).collect()),
        Comparison::NotIn(texts) => Comparison::NotIn(texts.iter().map(word).collect()),
        other => other.clone(),
    }
}

/// Returns whether values of this kind are texts, for which PostgreSQL needs a collation.
fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::OptionalText | Kind::Entry)
}

/// Returns whether a record may lack the attribute.
fn is_nullable(entity: Entity, attribute: Attribute) -> bool {
    use Attribute as A;
    matches!(
        (entity, attribute),
        (Entity::Runs, A::EndTime | A::Pipeline)
            | (Entity::ModelVersions, A::RunId | A::Verdict | A::SemanticVersion)
            | (Entity::LoggedModels, A::ModelType | A::SourceRunId)
    )
}
