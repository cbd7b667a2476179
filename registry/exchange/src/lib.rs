//! Runs and models, to and from other MLflow servers.
//!
//! - [`export`]: sends runs of this registry to a server, beside a run or by a command
//! - [`import`]: takes over what a server has
//!
//! Both work on the registry, and on the server through `stagewright-mlflow-client`. Either may be
//! interrupted at any moment and called again: a run is known by its identifier on the other side.

pub mod export;
pub mod import;
