//! Why a deployment is refused.

/// The error of starting, changing or finding a deployment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeploymentError {
    /// Another deployment of the model is active.
    #[error(
        "deployment {number} of model `{model}` ({strategy}) is active already\nhint: `stagewright deploy status {model}` shows it; end it with `deploy advance` or `deploy abort`"
    )]
    Active {
        /// The model's name.
        model: String,
        /// The number of the active deployment.
        number: u32,
        /// Its strategy.
        strategy: String,
    },
    /// No deployment of the model is active.
    #[error("model `{model}` has no active deployment\nhint: `stagewright deploy status {model}` shows the last one")]
    NoneActive {
        /// The model's name.
        model: String,
    },
    /// The model has no deployment of this number.
    #[error("model `{model}` has no deployment {number}")]
    NotFound {
        /// The model's name.
        model: String,
        /// The number.
        number: u32,
    },
    /// The deployment has ended.
    #[error("deployment {number} of model `{model}` is {status}\nhint: one that ended stays as it is: start another")]
    Ended {
        /// The model's name.
        model: String,
        /// The deployment.
        number: u32,
        /// `finished` or `aborted`.
        status: &'static str,
    },
    /// The deployment changed since the caller looked at it.
    #[error(
        "deployment {number} of model `{model}` has changed since: it has revision {actual}, not {expected}\nhint: a server or another person was faster: read it again, and decide anew"
    )]
    Changed {
        /// The model's name.
        model: String,
        /// The deployment.
        number: u32,
        /// The revision that the caller expected.
        expected: u64,
        /// The current revision.
        actual: u64,
    },
    /// A version of an active deployment cannot be deleted.
    #[error(
        "version {version} of model `{model}` takes part in deployment {number}, which is active, and cannot be deleted\nhint: end the deployment first: stagewright deploy abort {model} --reason TEXT"
    )]
    VersionDeployed {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The deployment.
        number: u32,
    },
    /// Arms, shares or JSON are not those of a deployment.
    #[error("this is not a deployment: {problem}")]
    Invalid {
        /// The problem, with a remedy.
        problem: String,
    },
}
