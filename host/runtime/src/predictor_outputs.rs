//! The outputs of a predictor, and the check of its predictions against them.

use stagewright_data::Task;
use stagewright_lifecycle::model::width;
use stagewright_store::{DataType, Field, MAX_BATCH_BYTES, Schema, packed};

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

/// Checked predictions: a column of numbers for each output.
pub(crate) struct Predictions(Batch);

impl Predictions {
    /// Returns the number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.0.rows as usize
    }

    /// Returns the numbers of an output.
    pub(crate) fn column(&self, output: usize) -> impl ExactSizeIterator<Item = f64> {
        column(&self.0, output)
    }
}

/// Returns a column of a checked matrix.
fn column(matrix: &Batch, place: usize) -> impl ExactSizeIterator<Item = f64> {
    let (words, rows) = (matrix.bytes.as_chunks::<8>().0, matrix.rows as usize);
    words[place * rows..][..rows].iter().map(|word| f64::from_le_bytes(*word))
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
    pub(crate) fn checked(&self, mut predicted: Batch, rows: usize) -> Result<Predictions, String> {
        packed::check_matrix(predicted.rows as usize, &mut predicted.bytes, &self.columns)
            .map_err(|fault| fault.to_string())?;
        if predicted.rows as usize != rows {
            return Err(format!("{} rows came back for {rows}", predicted.rows));
        }
        for (place, output) in self.declared.iter().enumerate() {
            let allowed = |number: &f64| match output {
                Output::Probability(_) => (0.0..=1.0).contains(number),
                Output::Value | Output::Quantile(_) => number.is_finite(),
                Output::Other(_) => true,
            };
            let wrong = column(&predicted, place).enumerate().find(|(_, number)| !allowed(number));
            if let Some((row, number)) = wrong {
                let name = convert::output_name(output);
                return Err(format!("row {row}: {number} is no {name}"));
            }
        }
        if self.sums_to_one {
            let mut sums = vec![0.0; rows];
            for place in 0..self.width {
                sums.iter_mut().zip(column(&predicted, place)).for_each(|(sum, number)| *sum += number);
            }
            if let Some(row) = sums.iter().position(|sum| (sum - 1.0).abs() > SUM_TOLERANCE) {
                return Err(format!("row {row}: the probabilities do not sum to 1"));
            }
        }
        Ok(Predictions(predicted))
    }

    /// Appends the outputs that the task requires, row by row.
    pub(crate) fn by_row(&self, predicted: &Predictions, numbers: &mut Vec<f64>) {
        if self.width == 1 {
            return numbers.extend(predicted.column(0));
        }
        let first = numbers.len();
        numbers.resize(first + predicted.rows() * self.width, 0.0);
        for place in 0..self.width {
            let places = numbers[first + place..].iter_mut().step_by(self.width);
            places.zip(predicted.column(place)).for_each(|(number, predicted)| *number = predicted);
        }
    }
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
