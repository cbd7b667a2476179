//! A minimal evaluation that adds nothing. For `bench overhead`.

use stagewright_kit::{Evaluation, Failure, Metric, Model, NoParameters, Settings, Table, Task};

/// The stage.
pub struct Empty;

impl Evaluation for Empty {
    type Parameters = NoParameters;

    fn evaluate(
        _test: &dyn Table,
        _candidate: &dyn Model,
        _champion: Option<&dyn Model>,
        _task: &Task,
        _settings: &Settings<NoParameters>,
    ) -> Result<Vec<Metric>, Failure> {
        Ok(Vec::new())
    }
}

stagewright_kit::evaluation!(Empty);
