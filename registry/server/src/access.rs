//! The needs of each route of its caller, and the one check of them.
//!
//! A route says what it needs where it is declared, and none can be declared without. The check
//! runs before the operation and outside it, so that no operation can forget it. What a request
//! touches is found in its own members, by the same reading as the operation's.

use std::collections::BTreeSet;

use stagewright_store::{Permission, RunId, StoreError, TrackingError, proxied_path};

use crate::artifact_path::checked;
use crate::caller::Caller;
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::request::{Fields, number_of_experiment};

/// The most runs or models that one request is checked for. No operation takes more.
const MOST_NAMED: usize = 1_000;

/// The needs of a route of its caller.
#[derive(Clone, Debug)]
pub(crate) enum Needs {
    /// Nothing: it tells and changes nothing that is anybody's.
    Nobody,
    /// That the caller has signed in. The operation itself keeps to what the caller may read.
    Anybody,
    /// That the caller is an administrator.
    Admin,
    /// All of these permissions.
    All(Vec<Need>),
}

/// A permission on something that a request names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) permission: Permission,
    pub(crate) of: Of,
}

/// Something that a request names, and in which of its members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The experiment of this number; without one, the experiment 0.
    Experiment(&'static str),
    /// The experiment of this name.
    ExperimentNamed(&'static str),
    /// The experiment of the run `run_id`, or `run_uuid`.
    Run,
    /// The experiment of each of these runs.
    Runs(&'static str),
    /// The experiment of this run, if the request names one.
    RunIfNamed(&'static str),
    /// The registered model of this name.
    Model(&'static str),
    /// The experiment of the logged model of this identifier.
    LoggedModel(&'static str),
    /// The experiment of this logged model, if the request names one.
    LoggedModelIfNamed(&'static str),
    /// The experiments of the logged models in this list of objects, each of which has `model_id`.
    LoggedModels(&'static str),
    /// The experiments of the logged models whose metrics the request logs: `model_id` of itself
    /// and of its `metrics`.
    ModelsOfMetrics,
    /// The owners of the file of this path at the proxy of artifacts.
    File(&'static str),
    /// The place that the URI of a model's source leads to.
    Source(&'static str),
    /// The place that the artifact location of a new experiment takes, if the request names one.
    Location(&'static str),
}

impl Needs {
    /// Needs a permission on something that the request names.
    pub(crate) fn of(permission: Permission, of: Of) -> Self {
        Self::All(vec![Need { permission, of }])
    }

    pub(crate) fn read(of: Of) -> Self {
        Self::of(Permission::Read, of)
    }

    pub(crate) fn edit(of: Of) -> Self {
        Self::of(Permission::Edit, of)
    }

    pub(crate) fn manage(of: Of) -> Self {
        Self::of(Permission::Manage, of)
    }

    /// Needs this permission too.
    pub(crate) fn and(self, permission: Permission, of: Of) -> Self {
        let Self::All(mut needs) = self else { return self };
        needs.push(Need { permission, of });
        Self::All(needs)
    }
}

/// Checks that the caller may do what a request asks for. May ask the registry, which blocks.
///
/// # Errors
/// The caller may not, or what the request names does not exist.
pub(crate) fn check(context: &Context, needs: &Needs, fields: &Fields) -> Result<(), MlflowError> {
    match needs {
        Needs::Nobody => Ok(()),
        _ if context.is_admin() => Ok(()),
        _ if context.caller == Caller::Nobody => Err(MlflowError::unauthenticated()),
        Needs::Anybody => Ok(()),
        Needs::Admin => Err(MlflowError::denied()),
        Needs::All(needs) => needs.iter().try_for_each(|need| check_one(context, *need, fields)),
    }
}

fn check_one(context: &Context, Need { permission, of }: Need, fields: &Fields) -> Result<(), MlflowError> {
    let on_run = |text: &str| {
        let run = text.parse::<RunId>()?;
        context.check_experiment(permission, context.registry.experiment_of_run(&run)?)
    };
    let on_logged_model =
        |id: &str| context.check_experiment(permission, context.registry.experiment_of_logged_model(id)?);
    match of {
        Of::Experiment(member) => {
            let number = fields.filled(member)?.unwrap_or("0");
            context.check_experiment(permission, number_of_experiment(number)?)
        }
        Of::ExperimentNamed(member) => {
            let name = fields.required(member)?;
            match context.registry.experiment(name)? {
                Some(experiment) => context.check_experiment(permission, experiment.id),
                None => Err(MlflowError::no_experiment_named(name)),
            }
        }
        Of::Run => on_run(fields.run_id()?),
        Of::Runs(member) => fields.texts(member)?.into_iter().take(MOST_NAMED).try_for_each(on_run),
        Of::RunIfNamed(member) => fields.filled(member)?.map_or(Ok(()), on_run),
        Of::Model(member) => context.check_model(permission, fields.required(member)?),
        Of::LoggedModel(member) => on_logged_model(fields.required(member)?),
        Of::LoggedModelIfNamed(member) => fields.filled(member)?.map_or(Ok(()), on_logged_model),
        Of::LoggedModels(member) => {
            let models = fields.objects(member)?;
            models.iter().take(MOST_NAMED).try_for_each(|model| on_logged_model(model.required("model_id")?))
        }
        Of::ModelsOfMetrics => {
            let points = fields.objects("metrics")?;
            let mut models = fields.filled("model_id")?.into_iter().collect::<BTreeSet<_>>();
            for point in &points {
                models.extend(point.filled("model_id")?);
            }
            models.into_iter().try_for_each(on_logged_model)
        }
        Of::File(member) => check_file(context, permission, checked(fields.text(member)?.unwrap_or_default())?),
        Of::Source(member) => check_source(context, permission, fields.required(member)?),
        Of::Location(member) => fields.filled(member)?.map_or(Ok(()), |location| check_location(context, location)),
    }
}

/// Checks that the caller has a permission on what a file at the proxy of artifacts belongs to. An
/// operation that finds a path by itself calls this, since its request does not name the path.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_file(context: &Context, permission: Permission, path: &str) -> Result<(), MlflowError> {
    if context.is_admin() {
        return Ok(());
    }
    // What pipelines' versions consist of is below `stagewright/models/NAME`.
    if let Some(rest) = path.strip_prefix("stagewright/models/") {
        return context.check_model(permission, rest.split('/').next().unwrap_or_default());
    }
    let owners = context.registry.experiments_of_path(path)?;
    if owners.is_empty() {
        return Err(MlflowError::denied());
    }
    owners.into_iter().try_for_each(|experiment| context.check_experiment(permission, experiment))
}

/// Checks that the caller has a permission on what the source of a model version leads to. Other
/// places than this server's are the client's own matter.
fn check_source(context: &Context, permission: Permission, source: &str) -> Result<(), MlflowError> {
    let on_experiment = |experiment| context.check_experiment(permission, experiment);
    if let Some(rest) = source.strip_prefix("runs:/") {
        let run = rest.trim_matches('/').split('/').next().unwrap_or_default().parse::<RunId>()?;
        return on_experiment(context.registry.experiment_of_run(&run)?);
    }
    if let Some(rest) = source.strip_prefix("models:/") {
        let named = rest.trim_matches('/');
        return match named.rsplit_once('/').or_else(|| named.rsplit_once('@')) {
            Some((model, _)) => context.check_model(permission, model),
            None => on_experiment(context.registry.experiment_of_logged_model(named)?),
        };
    }
    match proxied_path(source) {
        Some(path) => check_file(context, permission, &path),
        None => Ok(()),
    }
}

/// Checks that the artifacts of a new experiment may be at a location. One among or above the
/// artifacts of other experiments would make them readable through this one.
fn check_location(context: &Context, location: &str) -> Result<(), MlflowError> {
    let is_root = location.strip_prefix("mlflow-artifacts:").is_some_and(|rest| rest.trim_matches('/').is_empty());
    let path = match proxied_path(location) {
        Some(path) => path,
        None if is_root => return Err(MlflowError::denied()),
        None => return Ok(()),
    };
    let first = path.split('/').next().unwrap_or_default();
    // A number is an experiment's own folder, even if the experiment is still to come.
    let is_reserved = matches!(first, "" | "stagewright") || first.bytes().all(|byte| byte.is_ascii_digit());
    let is_anybodys = !is_reserved && context.registry.experiments_of_path(&path)?.is_empty();
    // What an administrator put there is not for whoever claims the folder.
    let has_files = || -> Result<bool, MlflowError> {
        let is_file = match context.registry.client_file(&path) {
            Ok(_) => true,
            Err(StoreError::Tracking(TrackingError::NoFile { .. })) => false,
            Err(error) => return Err(error.into()),
        };
        Ok(is_file || !context.registry.client_files(&path, None, 1)?.is_empty())
    };
    if is_anybodys && !has_files()? { Ok(()) } else { Err(MlflowError::denied()) }
}
