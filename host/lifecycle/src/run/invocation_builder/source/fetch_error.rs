//! Why a source could not be fetched, as an error of the run.

use stagewright_data::DataError;
use stagewright_manifest::{StageSection, World};

use crate::execution::Execution;
use crate::fault::{LimitKind, StageFault};
use crate::run_error::RunError;

/// Returns the error of the run for a fetch that failed.
pub(super) fn fetch_error(error: DataError, execution: &Execution, stage: &StageSection) -> RunError {
    match error {
        DataError::Unreachable { .. } => RunError::Server(StageFault::of_data(&error)),
        DataError::TooLarge { used, allowed } => RunError::Stage(StageFault::Limit {
            stage: World::Ingestion.into(),
            kind: LimitKind::Response,
            used,
            allowed,
        }),
        DataError::Denied { what, grant } => RunError::Stage(StageFault::Denied {
            stage: World::Ingestion.into(),
            component: execution.component.name.clone(),
            what,
            grant: format!("to grant it, write `http = [\"{grant}\"]` under [stages.{}]", stage.name),
        }),
        DataError::Interrupted => RunError::Stage(execution.interrupted()),
        error => RunError::Stage(StageFault::of_data(&error)),
    }
}
