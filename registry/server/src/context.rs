//! The application on behalf of a caller: an operation works with nothing else.

use std::ops::Deref;
use std::sync::Arc;

use stagewright_store::{Permission, Registry, Resource, Visible};

use crate::app::App;
use crate::caller::Caller;
use crate::mlflow_error::MlflowError;

/// The application on behalf of a caller.
#[derive(Clone)]
pub(crate) struct Context {
    app: Arc<App>,
    /// The registry, whose changes the audit attributes to the caller. It stands before that of the
    /// application, which `context.registry` therefore never names.
    pub(crate) registry: Registry,
    /// Who asks.
    pub(crate) caller: Caller,
}

impl Context {
    pub(crate) fn new(app: Arc<App>, caller: Caller) -> Self {
        let registry = match caller.user() {
            Some(user) => app.registry.on_behalf_of(user),
            None => app.registry.clone(),
        };
        Self { registry, app, caller }
    }

    /// Returns the application, for work that outlives the request.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Returns the name of the caller; `None` where the server has no accounts, or before anybody
    /// has signed in.
    pub(crate) fn name(&self) -> Option<&str> {
        self.caller.user().map(|user| user.name.as_str())
    }

    /// Returns whether the caller may do everything.
    pub(crate) fn is_admin(&self) -> bool {
        self.caller.is_admin()
    }

    /// Returns whether the caller has a permission on something. Asks the registry, unless the
    /// caller may do everything.
    ///
    /// # Errors
    /// There is no such thing, or the registry failed.
    pub(crate) fn may(&self, permission: Permission, resource: &Resource) -> Result<bool, MlflowError> {
        match self.caller.user() {
            _ if self.is_admin() => Ok(true),
            Some(user) => Ok(self.registry.permission(user, resource)? >= permission),
            None => Ok(false),
        }
    }

    /// As [`Context::may`], on the experiment of this number.
    ///
    /// # Errors
    /// As [`Context::may`].
    pub(crate) fn may_experiment(&self, permission: Permission, experiment: i64) -> Result<bool, MlflowError> {
        self.may(permission, &Resource::Experiment(experiment))
    }

    /// As [`Context::may`], on the registered model of this name.
    ///
    /// # Errors
    /// As [`Context::may`].
    pub(crate) fn may_model(&self, permission: Permission, model: &str) -> Result<bool, MlflowError> {
        self.may(permission, &Resource::Model(model.to_owned()))
    }

    /// Checks what [`Context::may_model`] returns.
    ///
    /// # Errors
    /// The caller may not.
    pub(crate) fn check_model(&self, permission: Permission, model: &str) -> Result<(), MlflowError> {
        if self.may_model(permission, model)? { Ok(()) } else { Err(MlflowError::denied()) }
    }

    /// Checks what [`Context::may_experiment`] returns.
    ///
    /// # Errors
    /// The caller may not.
    pub(crate) fn check_experiment(&self, permission: Permission, experiment: i64) -> Result<(), MlflowError> {
        if self.may_experiment(permission, experiment)? { Ok(()) } else { Err(MlflowError::denied()) }
    }

    /// Returns those of these experiments that the caller may read.
    ///
    /// # Errors
    /// The registry failed.
    pub(crate) fn readable(&self, mut experiments: Vec<i64>) -> Result<Vec<i64>, MlflowError> {
        if let Some(visible) = self.visible_experiments()? {
            experiments.retain(|experiment| visible.contains(experiment));
        }
        Ok(experiments)
    }

    /// Returns the experiments that the caller may read; `None`: all.
    ///
    /// # Errors
    /// The registry failed.
    pub(crate) fn visible_experiments(&self) -> Result<Option<Visible<i64>>, MlflowError> {
        match self.caller.user() {
            _ if self.is_admin() => Ok(None),
            Some(user) => Ok(Some(self.registry.visible_experiments(user)?)),
            None => Ok(Some(Visible::Only(Vec::new()))),
        }
    }

    /// Returns the registered models that the caller may read, by name; `None`: all.
    ///
    /// # Errors
    /// The registry failed.
    pub(crate) fn visible_models(&self) -> Result<Option<Visible<String>>, MlflowError> {
        match self.caller.user() {
            _ if self.is_admin() => Ok(None),
            Some(user) => Ok(Some(self.registry.visible_models(user)?)),
            None => Ok(Some(Visible::Only(Vec::new()))),
        }
    }
}

impl Deref for Context {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}
