//! A minimal training, whose model predicts the mean of the target. For `bench overhead`.

use stagewright_kit::{
    Batch, BlobReader, BlobWriter, Failure, Field, NoParameters, Role, Settings, Table, Task, Training, numbers,
};

/// The model: the same number for every row.
pub struct Empty(f64);

impl Training for Empty {
    type Parameters = NoParameters;

    fn train(
        train: &dyn Table,
        _validation: Option<&dyn Table>,
        _task: &Task,
        _settings: &Settings<NoParameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        let column = train.column_with(Role::Target).ok_or_else(|| Failure::internal("there is no target"))?;
        let target = numbers(train, column)?;
        model.write_json(&(target.iter().sum::<f64>() / target.len().max(1) as f64))
    }

    fn load(model: &mut BlobReader<'_>, _: &[Field]) -> Result<Self, Failure> {
        model.read_json().map(Self)
    }

    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        Ok(vec![self.0; rows.len()])
    }
}

stagewright_kit::training!(Empty);
