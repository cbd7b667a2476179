//! Starting deployments, changing them by compare-and-set, ending them, reading them.

use serde_json::Value as Json;

use crate::database::{Connection, Outcome, Scope, values};
use crate::error::StoreError;
use crate::registry::audit::NewEntry;
use crate::registry::deployments::error::DeploymentError;
use crate::registry::deployments::record::{
    COLUMNS, Deployment, DeploymentArm, DeploymentRevision, DeploymentStatus, DeploymentStep, NewDeployment,
    check_arms, deployment, invalid, json_text,
};
use crate::registry::handle::{Registry, now_ms};
use crate::registry::ids;

impl Registry {
    /// Starts a deployment of a model that has no other active one. Its arms keep their names and
    /// versions until it ends.
    ///
    /// # Errors
    /// [`DeploymentError::Active`], [`DeploymentError::Invalid`], [`StoreError::NoModel`],
    /// [`StoreError::NoVersion`], [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn start_deployment(&self, model: &str, new: &NewDeployment) -> Result<Deployment, StoreError> {
        check_arms(&new.arms)?;
        let configuration = json_text("configuration", &new.configuration)?;
        let state = json_text("state", &new.state)?;
        self.write("start a deployment", Scope::Models, |connection| {
            let id = ids::model(connection, model)?;
            if let Some(Deployment { number, strategy, .. }) = active(connection, model)? {
                let (model, strategy) = (model.to_owned(), strategy.name().to_owned());
                return refuse(DeploymentError::Active { model, number, strategy });
            }
            for arm in &new.arms {
                ids::own_version(connection, model, arm.version)?;
            }
            let last = "SELECT coalesce(max(number), 0) FROM deployments WHERE model = ?1";
            let number = connection.one(last, values![id])?.get::<u32>(0)? + 1;
            connection.execute(
                "INSERT INTO deployments (model, number, strategy, configuration, status, step, since_ms, arms, state,
                     revision, reason, started_ms, started_by, changed_ms, changed_by)
                 VALUES (?1, ?2, ?3, ?4, 'active', ?5, ?6, ?7, ?8, 1, ?9, ?6, ?10, ?6, ?10)",
                values![
                    id,
                    number,
                    new.strategy.name(),
                    configuration,
                    new.step,
                    now_ms(),
                    serde_json::to_string(&new.arms)?,
                    state,
                    &new.reason,
                    &*self.actor
                ],
            )?;
            let started = numbered(connection, model, number)?.1;
            self.audit_deployment(connection, "deployment.started", (None, &started), &new.reason)?;
            Ok(started)
        })
    }

    /// Makes a step: gives the arms other shares, if the deployment is still at the revision `at`.
    ///
    /// # Errors
    /// [`DeploymentError::Changed`] if it is not; [`DeploymentError::Ended`],
    /// [`DeploymentError::NotFound`], [`DeploymentError::Invalid`], [`StoreError::NoModel`],
    /// [`StoreError::ReadOnly`] or [`StoreError::Database`].
    pub fn advance_deployment(
        &self,
        model: &str,
        at: DeploymentRevision,
        step: &DeploymentStep,
    ) -> Result<Deployment, StoreError> {
        let state = json_text("state", &step.state)?;
        self.write("advance a deployment", Scope::Models, |connection| {
            let (id, before) = expected(connection, model, Some(at))?;
            let arms = with_shares(&before.arms, &step.shares)?;
            let update =
                "UPDATE deployments SET step = ?2, since_ms = ?3, arms = ?4, state = ?5, revision = revision + 1,
                changed_ms = ?3, changed_by = ?6 WHERE id = ?1";
            let arms = serde_json::to_string(&arms)?;
            connection.execute(update, values![id, step.step, now_ms(), arms, state, &*self.actor])?;
            let after = numbered(connection, model, at.number)?.1;
            self.audit_deployment(connection, "deployment.advanced", (Some(&before), &after), &step.reason)?;
            Ok(after)
        })
    }

    /// Replaces the notes of the servers that carry a deployment out, if it is still at the
    /// revision `at`. This decides nothing, so that the audit has no entry of it.
    ///
    /// # Errors
    /// As [`Registry::advance_deployment`].
    pub fn save_deployment(&self, model: &str, at: DeploymentRevision, state: &Json) -> Result<Deployment, StoreError> {
        let state = json_text("state", state)?;
        self.write("save the state of a deployment", Scope::Models, |connection| {
            let (id, _) = expected(connection, model, Some(at))?;
            let update = "UPDATE deployments SET state = ?2, revision = revision + 1, changed_ms = ?3, changed_by = ?4
                WHERE id = ?1";
            connection.execute(update, values![id, state, now_ms(), &*self.actor])?;
            Ok(numbered(connection, model, at.number)?.1)
        })
    }

    /// Ends a deployment that reached its end, if it is still at the revision `at`; `None`: the
    /// active one, whatever its revision is.
    ///
    /// # Errors
    /// [`DeploymentError::NoneActive`], and those of [`Registry::advance_deployment`].
    pub fn finish_deployment(
        &self,
        model: &str,
        at: Option<DeploymentRevision>,
        reason: &str,
    ) -> Result<Deployment, StoreError> {
        self.end_deployment(model, at, (DeploymentStatus::Finished, "deployment.finished"), reason)
    }

    /// Gives up a deployment, under the same condition as [`Registry::finish_deployment`]. A
    /// promotion of its candidate that is under way is undone: nobody gives a version up to see it
    /// become champion once its copy is complete.
    ///
    /// # Errors
    /// As [`Registry::finish_deployment`].
    pub fn abort_deployment(
        &self,
        model: &str,
        at: Option<DeploymentRevision>,
        reason: &str,
    ) -> Result<Deployment, StoreError> {
        self.end_deployment(model, at, (DeploymentStatus::Aborted, "deployment.aborted"), reason)
    }

    /// Returns the active deployment of a model; `None` also if there is no such model.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn active_deployment(&self, model: &str) -> Result<Option<Deployment>, StoreError> {
        self.read("read a deployment", |connection| active(connection, model))
    }

    /// Returns the active deployments of all models, by model.
    ///
    /// # Errors
    /// [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn active_deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        self.read("read deployments", |connection| {
            let query = format!("SELECT {COLUMNS} WHERE status = 'active' ORDER BY registered_models.name");
            connection.query(&query, &[])?.iter().map(deployment).collect()
        })
    }

    /// Returns a deployment of a model, active or not.
    ///
    /// # Errors
    /// [`DeploymentError::NotFound`], [`StoreError::NoModel`], [`StoreError::Database`] or
    /// [`StoreError::BadRecord`].
    pub fn deployment(&self, model: &str, number: u32) -> Result<Deployment, StoreError> {
        self.read("read a deployment", |connection| Ok(numbered(connection, model, number)?.1))
    }

    /// Returns the deployments of a model, newest first: the last ones, or all.
    ///
    /// # Errors
    /// [`StoreError::NoModel`], [`StoreError::Database`] or [`StoreError::BadRecord`].
    pub fn deployments(&self, model: &str, last: Option<usize>) -> Result<Vec<Deployment>, StoreError> {
        self.read("read deployments", |connection| {
            let id = ids::model(connection, model)?;
            let query = format!("SELECT {COLUMNS} WHERE deployments.model = ?1 ORDER BY number DESC LIMIT ?2");
            let rows = connection.query(&query, values![id, last.map_or(i64::MAX as u64, |last| last as u64)])?;
            rows.iter().map(deployment).collect()
        })
    }

    fn end_deployment(
        &self,
        model: &str,
        at: Option<DeploymentRevision>,
        (status, action): (DeploymentStatus, &'static str),
        reason: &str,
    ) -> Result<Deployment, StoreError> {
        self.write("end a deployment", Scope::Models, |connection| {
            let (id, before) = expected(connection, model, at)?;
            let update =
                "UPDATE deployments SET status = ?2, revision = revision + 1, changed_ms = ?3, changed_by = ?4,
                ended_ms = ?3, ended_by = ?4, end_reason = ?5 WHERE id = ?1";
            connection.execute(update, values![id, status.name(), now_ms(), &*self.actor, reason])?;
            let after = numbered(connection, model, before.number)?.1;
            self.audit_deployment(connection, action, (Some(&before), &after), reason)?;
            if let (DeploymentStatus::Aborted, Some(candidate)) = (status, before.candidate()) {
                self.undo_intended(connection, (model, candidate), "its deployment was aborted")?;
            }
            Ok(after)
        })
    }

    fn audit_deployment(
        &self,
        connection: &mut Connection,
        action: &'static str,
        (before, after): (Option<&Deployment>, &Deployment),
        reason: &str,
    ) -> Outcome<()> {
        let entry = NewEntry::about(action, &after.model, after.candidate()).of_deployment(after.number);
        let entry = entry.states(before.map(Deployment::audit_text), Some(after.audit_text()));
        self.audit(connection, &entry.because(reason))
    }
}

/// Refuses to delete a version that takes part in an active deployment, or a model (`None`) that
/// has one.
pub(in crate::registry) fn check_not_deployed(
    connection: &mut Connection,
    model: &str,
    version: Option<u32>,
) -> Outcome<()> {
    let Some(Deployment { number, arms, .. }) = active(connection, model)? else { return Ok(()) };
    match arms.iter().find(|arm| version.is_none_or(|version| arm.version == version)) {
        Some(DeploymentArm { version, .. }) => {
            let (model, version) = (model.to_owned(), *version);
            refuse(DeploymentError::VersionDeployed { model, version, number })
        }
        None => Ok(()),
    }
}

/// Removes all deployments of the model with this row id.
pub(in crate::registry) fn remove_all(connection: &mut Connection, model: i64) -> Outcome<()> {
    for table in ["deployment_counters", "deployment_latencies"] {
        let delete = format!("DELETE FROM {table} WHERE deployment IN (SELECT id FROM deployments WHERE model = ?1)");
        connection.execute(&delete, values![model])?;
    }
    connection.execute("DELETE FROM deployments WHERE model = ?1", values![model])?;
    Ok(())
}

/// Returns a deployment of a model, with its row id.
pub(super) fn numbered(connection: &mut Connection, model: &str, number: u32) -> Outcome<(i64, Deployment)> {
    let query = format!("SELECT {COLUMNS} WHERE registered_models.name = ?1 AND number = ?2");
    if let Some(row) = connection.first(&query, values![model, number])? {
        return Ok((row.get(18)?, deployment(&row)?));
    }
    ids::model(connection, model)?;
    refuse(DeploymentError::NotFound { model: model.to_owned(), number })
}

fn active(connection: &mut Connection, model: &str) -> Outcome<Option<Deployment>> {
    let query = format!("SELECT {COLUMNS} WHERE registered_models.name = ?1 AND status = 'active'");
    connection.first(&query, values![model])?.map(|row| deployment(&row)).transpose()
}

/// Returns the active deployment that a change is about, with its row id, if it is at the expected
/// revision.
fn expected(connection: &mut Connection, model: &str, at: Option<DeploymentRevision>) -> Outcome<(i64, Deployment)> {
    let model_name = || model.to_owned();
    let Some(DeploymentRevision { number, revision }) = at else {
        ids::model(connection, model)?;
        let Some(found) = active(connection, model)? else {
            return refuse(DeploymentError::NoneActive { model: model_name() });
        };
        return numbered(connection, model, found.number);
    };
    let (id, found) = numbered(connection, model, number)?;
    if found.status != DeploymentStatus::Active {
        return refuse(DeploymentError::Ended { model: model_name(), number, status: found.status.name() });
    }
    if found.revision != revision {
        let (expected, actual) = (revision, found.revision);
        return refuse(DeploymentError::Changed { model: model_name(), number, expected, actual });
    }
    Ok((id, found))
}

/// Returns the arms with other shares.
fn with_shares(arms: &[DeploymentArm], shares: &[f64]) -> Outcome<Vec<DeploymentArm>> {
    if arms.len() != shares.len() {
        return refuse(invalid(format!(
            "a step has {} shares for {} arms; give one for each",
            shares.len(),
            arms.len()
        )));
    }
    let arm = |(arm, share): (&DeploymentArm, &f64)| DeploymentArm { share: *share, ..arm.clone() };
    let arms: Vec<DeploymentArm> = arms.iter().zip(shares).map(arm).collect();
    check_arms(&arms).map_err(StoreError::from)?;
    Ok(arms)
}

fn refuse<T>(error: DeploymentError) -> Outcome<T> {
    Err(StoreError::from(error).into())
}
