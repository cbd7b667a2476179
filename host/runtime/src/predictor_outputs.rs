//! The outputs of a predictor, and the check of its predictions against them.

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use stagewright_data::Task;
use stagewright_lifecycle::model::width;
use stagewright_lifecycle::sandbox::StageContext;
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES, Schema};

use crate::batch;
use crate::bindings::stagewright::stage::types::{Batch, Output};
use crate::convert;

/// The largest deviation of the sum of a row's probabilities from 1.
const SUM_TOLERANCE: f64 = 1e-6;

/// The outputs that a predictor declares.
pub(crate) struct PredictorOutputs {
    declared: Vec<Output>,
    /// One float64 column for each output.
    columns: Schema,
    /// The number of outputs that the task requires, which come first.
    width: usize,
    /// Whether these are the probabilities of all classes, which sum to 1.
    sums_to_one: bool,
}

impl PredictorOutputs {
    /// Checks the outputs that a predictor declares for a task.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub(crate) fn new(declared: Vec<Output>, task: &Task) -> Result<Self, String> {
        convert::outputs_in(&declared, task)?;
        let column = |output| Field::new(convert::output_name(output), DataType::Float64).with_nullable(false);
        let columns = Schema::new(declared.iter().map(column).collect()).map_err(|reason| reason.to_string())?;
        let sums_to_one = matches!(task, Task::MultiClass { .. });
        Ok(Self { declared, columns, width: width(task), sums_to_one })
    }

    /// Returns the outputs.
    pub(crate) fn declared(&self) -> &[Output] {
        &self.declared
    }

    /// Returns the number of outputs that the task requires, which come first.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Returns how many rows of predictions fit one batch; at least 1.
    pub(crate) fn rows_per_batch(&self) -> usize {
        (MAX_BATCH_BYTES / 8 / self.declared.len().max(1)).max(1)
    }

    /// Checks the predictions for `rows` rows.
    ///
    /// # Errors
    /// Says what is wrong with them, with the row.
    pub(crate) fn checked(&self, predicted: Batch, rows: usize, context: &StageContext) -> Result<RecordBatch, String> {
        let predicted = batch::incoming(predicted, &self.columns, context).map_err(|fault| fault.to_string())?;
        if predicted.num_rows() != rows {
            return Err(format!("{} rows came back for {rows}", predicted.num_rows()));
        }
        for (column, output) in self.declared.iter().enumerate() {
            let allowed = |number: &f64| match output {
                Output::Probability(_) => (0.0..=1.0).contains(number),
                Output::Value | Output::Quantile(_) => number.is_finite(),
                Output::Other(_) => true,
            };
            let numbers = numbers(&predicted, column);
            if let Some(row) = numbers.iter().position(|number| !allowed(number)) {
                let name = convert::output_name(output);
                return Err(format!("row {row}: {} is no {name}", numbers[row]));
            }
        }
        if self.sums_to_one {
            let columns: Vec<&[f64]> = (0..self.width).map(|column| numbers(&predicted, column)).collect();
            let off =
                |row: &usize| (columns.iter().map(|column| column[*row]).sum::<f64>() - 1.0).abs() > SUM_TOLERANCE;
            if let Some(row) = (0..rows).find(off) {
                return Err(format!("row {row}: the probabilities do not sum to 1"));
            }
        }
        Ok(predicted)
    }

    /// Returns the outputs that the task requires, row by row.
    pub(crate) fn by_row(&self, predicted: &RecordBatch) -> Vec<f64> {
        let columns: Vec<&[f64]> = (0..self.width).map(|column| numbers(predicted, column)).collect();
        (0..predicted.num_rows()).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
    }
}

/// Returns a float64 column without nulls.
pub(crate) fn numbers(batch: &RecordBatch, column: usize) -> &[f64] {
    batch.column(column).as_primitive::<Float64Type>().values()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_predictions_of_one_call_fit_a_batch() {
        for outputs in [1, 2, 129, 1000, 1024] {
            let declared = vec![Output::Other("x".into()); outputs];
            let columns = Schema::new(Vec::new()).expect("no columns");
            let outputs_of = PredictorOutputs { declared, columns, width: 1, sums_to_one: false };
            let rows = outputs_of.rows_per_batch();
            assert!(rows * outputs * 8 <= MAX_BATCH_BYTES && (rows + 1) * outputs * 8 > MAX_BATCH_BYTES, "{outputs}");
        }
    }
}
