//! The files by which MLflow's clients load a version of a pipeline's model.
//!
//! The tracking server has them at the source of the version, and an export sends them to another
//! server. They are not stored a second time: [`files`] makes the texts of the registry's records,
//! and names the artifacts. The package in `clients/python` loads a model by them, wherever they
//! are.

mod files;
mod mlflow_version;
mod mlmodel;

pub use files::{Contents, files};
pub use mlflow_version::MLFLOW_VERSION;
pub use mlmodel::MODEL;
