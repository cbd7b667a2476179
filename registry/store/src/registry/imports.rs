//! Importing runs of another registry, as they ended there.

use crate::database::{Scope, values};
use crate::error::StoreError;
use crate::registry::experiments;
use crate::registry::handle::Registry;
use crate::registry::metric::LoggedMetric;
use crate::registry::metric_points::{self, Reported};
use crate::registry::names::check_key;
use crate::registry::run_id::RunId;
use crate::registry::runs::{self, NewRun, RunStatus};
use crate::registry::stages::{self, StageRecord};

/// A run of another registry.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedRun {
    /// The facts known when it began. Its identifier must be given.
    pub run: NewRun,
    /// How it ended.
    pub status: RunStatus,
    /// When it began, in milliseconds since the epoch.
    pub started_ms: i64,
    /// When it ended, in milliseconds since the epoch.
    pub ended_ms: Option<i64>,
    /// Why it failed, as the caller's JSON.
    pub error: Option<serde_json::Value>,
    /// The records of its stages, in order.
    pub stages: Vec<StageRecord>,
    /// Metrics that no stage reported.
    pub results: Vec<LoggedMetric>,
}

impl ImportedRun {
    /// Checks whether a registry can hold such a run.
    ///
    /// # Errors
    /// [`StoreError::BadRunId`], [`StoreError::BadName`] or [`StoreError::BadKey`].
    pub fn check(&self) -> Result<(), StoreError> {
        let Self { run, stages, results, .. } = self;
        if run.run_id.is_none() {
            return Err(StoreError::BadRunId { text: String::new() });
        }
        experiments::check_experiment(&run.experiment)?;
        for (name, value) in run.parameters.iter().chain(&run.tags) {
            check_key("parameter or tag", name, value)?;
        }
        for (name, value) in [("pipeline", &run.pipeline), ("name", &run.name)] {
            check_key("name of a run or pipeline", name, value)?;
        }
        let metrics = stages.iter().flat_map(|stage| &stage.metrics).map(|metric| &metric.name);
        let outputs = stages.iter().flat_map(|stage| &stage.outputs).map(|output| &output.name);
        let names = stages.iter().flat_map(|stage| [&stage.name, &stage.component]);
        for name in metrics.chain(outputs).chain(names).chain(results.iter().map(|metric| &metric.name)) {
            check_key("name of a stage, an artifact or a metric", name, "")?;
        }
        Ok(())
    }
}

impl Registry {
    /// Records a run that ended elsewhere, with its stages, in one transaction. Publish its
    /// artifacts first.
    ///
    /// # Errors
    /// [`StoreError::RunExists`], [`StoreError::ExperimentDeleted`], [`StoreError::Database`], or
    /// those of [`ImportedRun::check`].
    pub fn import_run(&self, ended: &ImportedRun) -> Result<RunId, StoreError> {
        ended.check()?;
        let ImportedRun { run, status, started_ms, ended_ms, error, stages: steps, results } = ended;
        let run_id = run.run_id.clone().ok_or_else(|| StoreError::BadRunId { text: String::new() })?;
        let owner = self.owner()?;
        self.write("record a run", Scope::Runs, |connection| {
            runs::insert_run(connection, run, &run_id, &owner, &self.actor)?;
            let number = runs::running(connection, &run_id)?;
            for stage in steps {
                let id = stages::insert_stage(connection, number, stage)?;
                let points = stages::own_points(stage, id, stage.ended_ms);
                metric_points::insert(connection, number, &points.collect::<Vec<_>>())?;
            }
            let result = |LoggedMetric { name, value, step, at_ms }: &'_ LoggedMetric| Reported {
                name: name.clone().into(),
                value: *value,
                step: *step,
                at_ms: *at_ms,
                stage: None,
            };
            metric_points::insert(connection, number, &results.iter().map(result).collect::<Vec<_>>())?;
            let update = "UPDATE runs SET status = ?2, started_ms = ?3, ended_ms = ?4, error = ?5 WHERE run_id = ?1";
            let error = error.as_ref().map(ToString::to_string);
            let values = values![run_id.as_str(), status.name(), *started_ms, *ended_ms, error];
            connection.execute(update, values)?;
            Ok(run_id.clone())
        })
    }
}
