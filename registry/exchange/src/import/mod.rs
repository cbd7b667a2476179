//! Takes over what an MLflow server has: experiments, runs, models and files.
//!
//! The order is: experiments; their logged models, with files; their runs, with values and files;
//! what runs measured of logged models; registered models and their versions, which are pinned to
//! the files that came before. Each record is reserved first and marked as whole last
//! (`stagewright_store::Imported`), so that an import that was killed goes on, and one that is
//! repeated adds what is new. What is here stays as it is: where both sides have something else,
//! that is told and not resolved.
//!
//! [`Importer`] has its methods spread over the files of this folder.

mod files;
mod importer;
mod logged_models;
mod models;
mod outcome;
mod runs;

pub use importer::{ImportError, Importer, Options};
pub use outcome::{Count, Outcome, Remark};
