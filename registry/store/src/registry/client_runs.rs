//! Runs that clients log, which no process of Stagewright carries out.
//!
//! Such a run ends when its client says so, and may begin again: MLflow allows any change of the
//! status at any time. No restart of a server ends one.

use crate::database::{Scope, values};
use crate::error::StoreError;
use crate::registry::handle::{Registry, now_ms};
use crate::registry::names::{CLIENT, check_key};
use crate::registry::run_id::RunId;
use crate::registry::runs::{Run, RunStatus};
use crate::registry::webhooks::occurrence;
use crate::registry::{experiments, logging, rows};

/// The facts known when a client begins a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewClientRun {
    /// The number of its experiment.
    pub experiment_id: i64,
    /// Its name for people; empty: the beginning of its identifier.
    pub name: String,
    /// Who began it; empty: whoever the registry acts as.
    pub user: String,
    /// When it began, in milliseconds since the epoch; `None`: now.
    pub started_ms: Option<i64>,
    /// Tags by name; the last of a repeated name counts.
    pub tags: Vec<(String, String)>,
}

/// A change of a run by a client. `None` leaves what was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunUpdate {
    /// Its status.
    pub status: Option<RunStatus>,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Its name for people.
    pub name: Option<String>,
}

impl Registry {
    /// Records that a client begins a run.
    ///
    /// # Errors
    /// [`StoreError::NoExperiment`], [`StoreError::ExperimentDeleted`], [`StoreError::BadKey`] or
    /// [`StoreError::Database`].
    pub fn begin_client_run(&self, run: &NewClientRun) -> Result<Run, StoreError> {
        for (name, value) in &run.tags {
            check_key("tag", name, value)?;
        }
        check_key("run", "name", &run.name)?;
        check_key("run", "user", &run.user)?;
        let run_id = RunId::random()?;
        self.write("record a run", Scope::Runs, |connection| {
            let experiment = experiments::active(connection, run.experiment_id)?;
            let name = if run.name.is_empty() { run_id.as_str()[..8].to_owned() } else { run.name.clone() };
            let actor = if run.user.is_empty() { self.actor.to_string() } else { run.user.clone() };
            let started_ms = run.started_ms.unwrap_or_else(now_ms);
            let insert = "INSERT INTO runs
                    (run_id, name, experiment, pipeline, actor, seed, manifest, config, status, started_ms, owner)
                VALUES (?1, ?2, ?3, '', ?4, 0, '', '{}', 'running', ?5, ?6) RETURNING id";
            let values = values![run_id.as_str(), &name, experiment.id, &actor, started_ms, CLIENT];
            let id: i64 = connection.one(insert, values)?.get(0)?;
            rows::set_pairs(connection, ("run_tags", "run"), id, &run.tags)?;
            let tags = rows::by_name(&run.tags).into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
            Ok(Run {
                artifact_uri: format!("{}/{run_id}/artifacts", experiment.artifact_uri().trim_end_matches('/')),
                run_id,
                name,
                pipeline: String::new(),
                experiment: experiment.name,
                actor,
                seed: 0,
                manifest: String::new(),
                config: serde_json::json!({}),
                parameters: Vec::new(),
                tags: tags.collect(),
                metrics: Vec::new(),
                status: RunStatus::Running,
                started_ms,
                ended_ms: None,
                deleted_ms: None,
                error: None,
                experiment_id: experiment.id,
                is_client: true,
                inputs: Default::default(),
            })
        })
    }

    /// Changes status, end or name of a run that is not deleted. Of a run that a process carries
    /// out, only the name can be changed. Returns the run.
    ///
    /// # Errors
    /// [`StoreError::NoRun`], [`crate::TrackingError::RunOfPipeline`],
    /// [`StoreError::BadKeyValue`] or [`StoreError::Database`].
    pub fn update_run(&self, run_id: &RunId, update: &RunUpdate) -> Result<Run, StoreError> {
        check_key("run", "name", update.name.as_deref().unwrap_or_default())?;
        self.write("change a run", Scope::Runs, |connection| {
            let run = logging::active(connection, run_id)?;
            if update.status.is_some() || update.ended_ms.is_some() {
                run.check_client(run_id)?;
            }
            let id = run.id;
            let change = "UPDATE runs SET status = coalesce(?2, status), ended_ms = coalesce(?3, ended_ms),
                name = coalesce(?4, name) WHERE id = ?1";
            let name = update.name.as_deref().filter(|name| !name.is_empty());
            let ended = match update.status {
                Some(status) if status != RunStatus::Running => {
                    // Of two that end it at once, one does.
                    let lock = if connection.is_sqlite() { "" } else { "FOR NO KEY UPDATE" };
                    let before =
                        connection.one(&format!("SELECT status FROM runs WHERE id = ?1 {lock}"), values![id])?;
                    Some(status).filter(|status| before.get::<String>(0).is_ok_and(|before| before != status.name()))
                }
                _ => None,
            };
            connection.execute(change, values![id, update.status.map(RunStatus::name), update.ended_ms, name])?;
            if let Some(status) = ended {
                occurrence::run_ended(connection, id, status.name())?;
            }
            Self::run_numbered(connection, id)
        })
    }
}
