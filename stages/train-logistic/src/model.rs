//! The model as JSON, described in `docs/formats/logistic-model.md`. Reading a model executes
//! nothing and trusts nothing: every length and number is checked.

use serde::{Deserialize, Serialize};
use stagewright_kit::{Batch, BlobReader, Failure, MatrixView};

use crate::solver::sigmoid;

/// The value of the first key.
pub const FORMAT: &str = "stagewright-logistic";

/// The version, which increases with every change that an older reader would misread.
pub const VERSION: u32 = 1;

/// A trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogisticModel {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The name of class 1 in the target, whose probability is predicted.
    pub positive: String,
    /// The names of the features, in the order of the columns.
    pub features: Vec<String>,
    /// The coefficient of each feature: the change of the log odds per unit.
    pub coefficients: Vec<f64>,
    /// The intercept: the log odds if every feature is 0.
    pub intercept: f64,
    /// The standard deviations of the features in the training rows, for the importance only.
    pub deviations: Vec<f64>,
}

impl LogisticModel {
    /// Reads a model.
    ///
    /// # Errors
    /// `internal` if the bytes are not a model of this version.
    pub fn read(blob: &mut BlobReader<'_>) -> Result<Self, Failure> {
        let model: Self = blob.read_json()?;
        if model.format != FORMAT || model.version != VERSION {
            return Err(Failure::internal(format!(
                "the model is `{}` version {}, this stage reads `{FORMAT}` version {VERSION}",
                model.format, model.version
            )));
        }
        let width = model.features.len();
        if model.coefficients.len() != width || model.deviations.len() != width {
            return Err(Failure::internal("the model's lists differ in length"));
        }
        let finite = |numbers: &[f64]| numbers.iter().all(|number| number.is_finite());
        if !finite(&model.coefficients) || !finite(&model.deviations) || !model.intercept.is_finite() {
            return Err(Failure::internal("the model holds a number that is not finite"));
        }
        Ok(model)
    }

    /// Returns the probability of the positive class for each row.
    ///
    /// # Errors
    /// `data`, with column and row, for text, a null or NaN; `internal` if the number of columns is
    /// wrong.
    pub fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        self.check_width(rows.columns.len())?;
        let length = rows.len();
        let mut sums = vec![self.intercept; length];
        for (index, column) in rows.columns.into_iter().enumerate() {
            let values = column.into_numbers(length).ok_or_else(|| not_a_number(&self.features[index]))?;
            self.add(index, &values, &mut sums)?;
        }
        sums.iter_mut().for_each(|sum| *sum = sigmoid(*sum));
        Ok(sums)
    }

    /// Writes the probability of the positive class for each row of numbers.
    ///
    /// # Errors
    /// As for [`LogisticModel::predict`].
    pub fn predict_into(&self, rows: MatrixView<'_>, probabilities: &mut [f64]) -> Result<(), Failure> {
        self.check_width(rows.width())?;
        probabilities.fill(self.intercept);
        for (index, values) in rows.columns().enumerate() {
            self.add(index, values, probabilities)?;
        }
        probabilities.iter_mut().for_each(|sum| *sum = sigmoid(*sum));
        Ok(())
    }

    fn check_width(&self, columns: usize) -> Result<(), Failure> {
        let width = self.features.len();
        if columns == width {
            return Ok(());
        }
        Err(Failure::internal(format!("the model has {width} features, the batch {columns} columns")))
    }

    /// Adds the effect of a feature to each row's sum.
    fn add(&self, index: usize, values: &[f64], sums: &mut [f64]) -> Result<(), Failure> {
        if add_products(self.coefficients[index], values, sums) {
            return Ok(());
        }
        let row = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
        Err(not_finite(&self.features[index], row as u64, values[row]))
    }

    /// Returns the size of each feature's effect: `|coefficient|` times the standard deviation of
    /// the feature, which is the change of the log odds by one standard deviation. The sizes are
    /// comparable whether or not features were scaled.
    pub fn importance(&self) -> Vec<f64> {
        self.coefficients.iter().zip(&self.deviations).map(|(slope, deviation)| slope.abs() * deviation).collect()
    }
}

/// Adds `coefficient * value` to each sum. Returns whether all values are finite.
// A separate function without an early exit: eight rows are one turn of the loop, and two rows one
// instruction.
#[inline(never)]
fn add_products(coefficient: f64, values: &[f64], sums: &mut [f64]) -> bool {
    let mut infinite = 0;
    let add = |(sum, value): (&mut f64, &f64)| {
        *sum += coefficient * value;
        u64::from(!value.is_finite())
    };
    let (blocks, rest) = values.as_chunks::<8>();
    let (sum_blocks, sum_rest) = sums.as_chunks_mut::<8>();
    for (sums, values) in sum_blocks.iter_mut().zip(blocks) {
        infinite |= sums.iter_mut().zip(values).map(add).fold(0, |any, found| any | found);
    }
    infinite |= sum_rest.iter_mut().zip(rest).map(add).fold(0, |any, found| any | found);
    infinite == 0
}

fn not_a_number(feature: &str) -> Failure {
    Failure::data("a logistic model takes numbers only; encode text in the transformation").in_column(feature)
}

/// Returns the failure of a value that a linear model cannot use.
pub(crate) fn not_finite(feature: &str, row: u64, value: f64) -> Failure {
    let what = if value.is_nan() { "null or NaN" } else { "infinite" };
    Failure::data(format!("the value is {what}; a logistic model needs numbers, fill gaps in the transformation"))
        .in_column(feature)
        .at_row(row)
        .with_value(value)
}
