//! Inputs and outputs of runs: datasets, and logged models.
//!
//! Many runs use one dataset, whose schema and profile may be long, so that it is recorded once an
//! experiment.

use std::collections::HashMap;

use serde_json::json;

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::handle::Registry;
use crate::registry::metric::DatasetName;
use crate::registry::names::{check_key, shortened};
use crate::registry::run_id::RunId;
use crate::registry::{ids, logging, rows};

/// The tag of an input that says what it was used for: MLflow's.
const CONTEXT: &str = "mlflow.data.context";
/// The most bytes in a dataset's schema or profile: MLflow's limits, the greater of both.
const MAX_TEXT: usize = 16 << 20;
/// The most bytes in the name of a dataset: MLflow's limit.
const MAX_NAME: usize = 500;

/// A dataset, as its reader describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// The digest of its content.
    pub digest: String,
    /// The kind of its source.
    pub source_type: String,
    /// Where it comes from, in the form of that kind.
    pub source: String,
    /// Its columns, as the client's JSON.
    pub schema: Option<String>,
    /// Its size and statistics, as the client's JSON.
    pub profile: Option<String>,
}

/// A dataset that a run used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatasetInput {
    /// The dataset.
    pub dataset: Dataset,
    /// Tags of its use, by name: `mlflow.data.context`.
    pub tags: Vec<(String, String)>,
}

/// A logged model that a run made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelOutput {
    /// The model.
    pub model_id: String,
    /// The step of the training at which it was saved.
    pub step: i64,
}

/// The inputs and outputs of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunInputs {
    /// The datasets that it used. Of a pipeline's run: the table that it ingested.
    pub datasets: Vec<DatasetInput>,
    /// The logged models that it used.
    pub models: Vec<String>,
    /// The logged models that it made.
    pub outputs: Vec<ModelOutput>,
}

/// A dataset that runs of an experiment used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetSummary {
    /// The number of the experiment.
    pub experiment_id: i64,
    /// Its name and digest.
    pub dataset: DatasetName,
    /// The purpose that it was used for.
    pub context: Option<String>,
}

impl Registry {
    /// Records the datasets and the logged models that a client's run used. Those that it has
    /// already stay.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`crate::TrackingError::RunOfPipeline`],
    /// [`crate::TrackingError::NoLoggedModel`], [`StoreError::BadKey`],
    /// [`StoreError::BadKeyValue`] or [`StoreError::Database`].
    pub fn log_inputs(&self, run_id: &RunId, datasets: &[DatasetInput], models: &[String]) -> Result<(), StoreError> {
        datasets.iter().try_for_each(check)?;
        self.write("log what a run used", Scope::Runs, |connection| {
            let run = logging::active(connection, run_id)?;
            run.check_client(run_id)?;
            for input in datasets {
                add_dataset(connection, (run.id, run.experiment), input)?;
            }
            let models: Vec<ModelOutput> =
                models.iter().map(|model_id| ModelOutput { model_id: model_id.clone(), step: 0 }).collect();
            add_models(connection, run.id, false, &models)
        })
    }

    /// Records the logged models that a client's run made.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`crate::TrackingError::RunOfPipeline`],
    /// [`crate::TrackingError::NoLoggedModel`] or [`StoreError::Database`].
    pub fn log_outputs(&self, run_id: &RunId, models: &[ModelOutput]) -> Result<(), StoreError> {
        self.write("log what a run made", Scope::Runs, |connection| {
            let run = logging::active(connection, run_id)?;
            run.check_client(run_id)?;
            add_models(connection, run.id, true, models)
        })
    }

    /// Returns the datasets that clients' runs of these experiments used, which are not deleted, at
    /// most `limit`, by name.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn search_datasets(&self, experiments: &[i64], limit: usize) -> Result<Vec<DatasetSummary>, StoreError> {
        if experiments.is_empty() {
            return Ok(Vec::new());
        }
        self.read("search datasets", |connection| {
            let among = rows::listed(experiments);
            let query = format!(
                "SELECT DISTINCT datasets.experiment, datasets.name, datasets.digest, run_dataset_tags.value
                 FROM datasets JOIN run_datasets ON run_datasets.dataset = datasets.id
                 JOIN runs ON runs.id = run_datasets.run
                 JOIN experiments ON experiments.id = runs.experiment
                 LEFT JOIN run_dataset_tags ON run_dataset_tags.run = run_datasets.run
                     AND run_dataset_tags.dataset = datasets.id AND run_dataset_tags.name = ?1
                 WHERE datasets.experiment IN ({among}) AND runs.deleted_ms IS NULL
                     AND experiments.deleted_ms IS NULL
                 ORDER BY datasets.name, datasets.digest, run_dataset_tags.value, datasets.experiment LIMIT ?2"
            );
            let rows = connection.query_once(&query, values![CONTEXT, limit])?;
            let summary = |row: &crate::database::Row| {
                let dataset = DatasetName { name: row.get(1)?, digest: row.get(2)? };
                Ok(DatasetSummary { experiment_id: row.get(0)?, dataset, context: row.get(3)? })
            };
            rows.iter().map(summary).collect()
        })
    }
}

fn check(input: &DatasetInput) -> Result<(), StoreError> {
    let DatasetInput { dataset: Dataset { name, digest, source_type, source, schema, profile }, tags } = input;
    if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
        return Err(StoreError::BadKey { what: "dataset", name: shortened(name), limit: MAX_NAME });
    }
    check_key("digest of a dataset", digest, source_type)?;
    for text in [Some(source), schema.as_ref(), profile.as_ref()].into_iter().flatten() {
        if text.len() > MAX_TEXT || text.contains('\0') {
            return Err(StoreError::BadKeyValue { what: "dataset", name: shortened(name), limit: MAX_TEXT });
        }
    }
    tags.iter().try_for_each(|(name, value)| check_key("tag", name, value))
}

fn add_dataset(connection: &mut Connection, (run, experiment): (i64, i64), input: &DatasetInput) -> Outcome<()> {
    let Dataset { name, digest, source_type, source, schema, profile } = &input.dataset;
    let find = "SELECT id FROM datasets WHERE experiment = ?1 AND name = ?2 AND digest = ?3";
    let found = connection.first(find, values![experiment, name, digest])?;
    let found = match found {
        Some(row) => row,
        None => {
            let insert = "INSERT INTO datasets (experiment, name, digest, source_type, source, columns, profile)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING";
            let all = values![experiment, name, digest, source_type, source, schema.as_ref(), profile.as_ref()];
            connection.execute(insert, all)?;
            connection.one(find, values![experiment, name, digest])?
        }
    };
    let dataset: i64 = found.get(0)?;
    let insert = "INSERT INTO run_datasets (run, dataset) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    connection.execute(insert, values![run, dataset])?;
    let before = "INSERT INTO run_dataset_tags (run, dataset, name, value)";
    let after = "ON CONFLICT (run, dataset, name) DO UPDATE SET value = excluded.value";
    let insert = rows::Insert { before, own: &rows::PAIR, after };
    let tags = rows::by_name(&input.tags);
    rows::insert_all(connection, &insert, values![run, dataset], &tags, |(name, value), row| {
        row.extend_from_slice(values![*name, *value]);
    })?;
    Ok(())
}

fn add_models(connection: &mut Connection, run: i64, is_output: bool, models: &[ModelOutput]) -> Outcome<()> {
    let insert = "INSERT INTO run_models (run, is_output, model_id, step) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (run, is_output, model_id) DO UPDATE SET step = excluded.step";
    let mut models: Vec<&ModelOutput> = models.iter().collect();
    // Loggers that lock rows in different orders would wait for each other.
    models.sort_by(|one, other| one.model_id.cmp(&other.model_id));
    for ModelOutput { model_id, step } in models {
        ids::logged_model(connection, model_id)?;
        connection.execute(insert, values![run, is_output, model_id, *step])?;
    }
    Ok(())
}

/// Returns what runs used and made, by their row ids, which `among` lists. `clients` says of each
/// run whether it is a client's.
pub(super) fn of_runs(
    connection: &mut Connection,
    among: &str,
    clients: impl Iterator<Item = Outcome<bool>>,
) -> Outcome<HashMap<i64, RunInputs>> {
    let clients: Vec<bool> = clients.collect::<Outcome<_>>()?;
    let mut found: HashMap<i64, RunInputs> = HashMap::new();
    if clients.contains(&false) {
        add_ingested(connection, among, &mut found)?;
    }
    if clients.contains(&true) {
        add_logged(connection, among, &mut found)?;
    }
    Ok(found)
}

/// Adds the tables that pipelines' runs ingested.
fn add_ingested(connection: &mut Connection, among: &str, found: &mut HashMap<i64, RunInputs>) -> Outcome<()> {
    let query = format!(
        "SELECT runs.id, runs.pipeline, stage_outputs.digest FROM stage_outputs
         JOIN stages ON stages.id = stage_outputs.stage JOIN runs ON runs.id = stages.run
         WHERE stages.run IN ({among}) AND stages.name = 'ingestion' AND stage_outputs.name = 'table' ORDER BY stages.id"
    );
    for row in connection.query_once(&query, &[])? {
        let digest: String = row.get(2)?;
        let dataset = Dataset {
            name: row.get(1)?,
            source_type: "stagewright".to_owned(),
            source: json!({ "table": digest }).to_string(),
            digest,
            schema: None,
            profile: None,
        };
        let tags = vec![(CONTEXT.to_owned(), "train".to_owned())];
        found.entry(row.get(0)?).or_default().datasets.push(DatasetInput { dataset, tags });
    }
    Ok(())
}

/// Adds what clients logged.
fn add_logged(connection: &mut Connection, among: &str, found: &mut HashMap<i64, RunInputs>) -> Outcome<()> {
    let query = format!(
        "SELECT run, dataset, name, value FROM run_dataset_tags WHERE run IN ({among}) ORDER BY run, dataset, name"
    );
    let mut tags: HashMap<(i64, i64), Vec<(String, String)>> = HashMap::new();
    for row in connection.query_once(&query, &[])? {
        tags.entry((row.get(0)?, row.get(1)?)).or_default().push((row.get(2)?, row.get(3)?));
    }
    let query = format!(
        "SELECT run, dataset, name, digest, source_type, source, columns, profile FROM run_datasets
         JOIN datasets ON datasets.id = run_datasets.dataset WHERE run IN ({among}) ORDER BY run, dataset"
    );
    for row in connection.query_once(&query, &[])? {
        let (run, dataset): (i64, i64) = (row.get(0)?, row.get(1)?);
        let tags = tags.remove(&(run, dataset)).unwrap_or_default();
        let dataset = Dataset {
            name: row.get(2)?,
            digest: row.get(3)?,
            source_type: row.get(4)?,
            source: row.get(5)?,
            schema: row.get(6)?,
            profile: row.get(7)?,
        };
        found.entry(run).or_default().datasets.push(DatasetInput { dataset, tags });
    }
    let query = format!(
        "SELECT run, is_output, model_id, step FROM run_models WHERE run IN ({among}) ORDER BY run, step, model_id"
    );
    for row in connection.query_once(&query, &[])? {
        let inputs = found.entry(row.get(0)?).or_default();
        let (model_id, step) = (row.get(2)?, row.get(3)?);
        if row.get::<bool>(1)? {
            inputs.outputs.push(ModelOutput { model_id, step });
        } else {
            inputs.models.push(model_id);
        }
    }
    Ok(())
}
