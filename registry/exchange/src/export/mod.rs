//! Sends runs of pipelines to another MLflow server.
//!
//! What the registry has is the truth, and is sent from there: as a run proceeds ([`Live`]), and
//! again by a command. The copy is found by the tag [`RUN_TAG`], so that a run is sent once however
//! often that is tried. Nothing is asked of the copy but to be one: its aliases and stages are not
//! moved, since nobody would move them back after a rollback.

mod admitted;
mod error;
mod exporter;
mod files;
mod live;

pub use error::ExportError;
pub use exporter::{Card, Exporter, RUN_TAG, Sent};
pub use live::{Live, Report};
