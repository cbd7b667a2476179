//! The version of MLflow that this server takes the place of.

/// The version of MLflow whose interface this is.
pub const MLFLOW_VERSION: &str = "3.17.2";
