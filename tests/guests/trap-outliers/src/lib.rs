//! A model that traps at some rows: those with a feature that no ordinary row has. For a shadow
//! that fails while the version beside it answers.

use stagewright_kit::{
    Batch, BlobReader, BlobWriter, Failure, Field, NoParameters, Settings, Table, Task, Training, Values,
};

/// Features beyond this are those of no ordinary row, whether they were scaled or not.
const ORDINARY: f64 = 1e6;

/// The stage. Its model is empty.
pub struct TrapOutliers;

impl Training for TrapOutliers {
    type Parameters = NoParameters;

    fn train(
        _train: &dyn Table,
        _validation: Option<&dyn Table>,
        _task: &Task,
        _settings: &Settings<NoParameters>,
        _model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        Ok(())
    }

    fn load(_model: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
        Ok(Self)
    }

    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        let is_outlier = |column: &stagewright_kit::Column| match &column.values {
            Values::Float64(values) => values.iter().any(|value| value.abs() > ORDINARY),
            _ => false,
        };
        assert!(!rows.columns.iter().any(is_outlier), "this row is none that the model knows");
        Ok(vec![0.5; rows.len()])
    }
}

stagewright_kit::training!(TrapOutliers);
