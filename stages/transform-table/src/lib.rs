//! Transformation of raw columns to features: missing values, outliers, type conversion, encoding, ratios and interactions,
//! standardisation; and SMOTE for rare classes.
//!
//! `fit` learns from training rows, one column at a time; `transform` is row-wise and the same in training and serving; `rebalance`
//! makes up rows. All features are float64: columns in their order, then ratios, then interactions. A number keeps its column's
//! name, a category's feature is called `Contract=One year`.
//!
//! # Parameters
//!
//! All optional; `{}` fits any table.
//!
//! | name | default | meaning |
//! | --- | --- | --- |
//! | `numeric.missing` | `"median"` | `"mean"`, `"median"`, `"zero"`, `{ constant = x }`, `"keep"` (NaN stays, for trees), `"error"`; for null and NaN alike |
//! | `numeric.outliers` | `"none"` | `"none"`, `{ clip = { lower = 0.01, upper = 0.99 } }` (quantiles), `{ iqr = { factor = 1.5 } }` (Tukey's fences) |
//! | `numeric.scale` | `"standard"` | `"standard"` (mean 0, standard deviation 1; a constant column becomes 0), `"none"` |
//! | `categorical.encoding` | `"one-hot"` | `"one-hot"`, `"ordinal"` (place in alphabetical order) |
//! | `categorical.unseen` | `"ignore"` | `"ignore"` (no feature is 1; ordinal -1), `"error"`, `"bucket"` (a feature `column=(unseen)`, a code after all others) |
//! | `categorical.missing` | `"category"` | `"category"` (a feature `column=(missing)` where training rows have nulls; unseen else), `"most_frequent"`, `"error"` |
//! | `categorical.max_categories` | 100 | the most frequent ones are kept, others count as unseen |
//! | `timestamp.parts` | all five | which of `"year"`, `"month"`, `"day"`, `"weekday"` (Monday is 0) and `"hour"` become features, called `column.part`; in UTC |
//! | `columns.NAME` | | for one column, ratio or interaction: `drop`, `as` (`"float64"`, `"categorical"`), `missing`, `outliers`, `scale`, `encoding`, `unseen`, `max_categories`, `parts` |
//! | `ratios` | `[]` | `{ name, numerator, denominator, zero_division = "zero" \| "null" \| { constant = x } }`; 0/0 is 0, never infinite |
//! | `interactions` | `[]` | `{ name, left, right, kind = "product" \| "difference" \| "sum" }` |
//! | `smote` | absent: off | `{ enabled = true, k_neighbors = 5, sampling_strategy = 1.0 }`: each class gets at least that share of the largest one's rows |
//!
//! # Readings
//!
//! - int64 columns are numbers, also those of 0 and 1, and are scaled like others. Booleans are 0 and 1, unscaled unless
//!   `columns.NAME.scale` says so.
//! - Of a timestamp, parts that differ among the training rows become features, numbers like others. `as = "float64"` asks for
//!   seconds since 1970 instead.
//! - Outliers are no outliers where a column has two values only, or where clipping would leave one: such a column stays as it is,
//!   and the log says so.
//! - Categories and nulls that the training rows did not have are counted, per column: `predict` shows them.
//! - utf8 and categorical columns are the same. A column with more than 65,536 distinct texts is refused: it is an identifier.
//! - The order is: source, clipping, filling in, scaling. Ratios and interactions are of raw values; if an operand is missing,
//!   so is the result.
//! - Infinite values are data faults unless outliers are clipped.

mod categories;
mod dates;
mod draws;
mod fit;
mod moments;
pub mod neighbours;
pub mod parameters;
mod plan;
mod quantiles;
mod reading;
mod rebalance;
mod smote;
mod state;
#[cfg(test)]
mod tests;
mod transformer;

use stagewright_kit::{
    Batch, BlobReader, BlobWriter, Failure, Field, FinishedTable, Rebalancing, Settings, Table, Task, Transformation,
};

use parameters::Parameters;
use transformer::Transformer;

/// The stage, and the fitted transformation.
#[derive(Debug)]
pub struct Features(Transformer);

impl Transformation for Features {
    type Parameters = Parameters;

    fn fit(
        train: &dyn Table,
        _task: &Task,
        settings: &Settings<Parameters>,
        state: &mut BlobWriter,
    ) -> Result<(), Failure> {
        state.write_json(&fit::fit(train, &settings.parameters)?)
    }

    fn load(state: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
        Ok(Self(Transformer::new(state.read_json()?)?))
    }

    fn fields(&self) -> Vec<Field> {
        self.0.fields()
    }

    fn transform(&self, rows: Batch) -> Result<Batch, Failure> {
        self.0.transform(&rows)
    }
}

impl Rebalancing for Features {
    fn rebalance(
        train: &dyn Table,
        task: &Task,
        settings: &Settings<Parameters>,
    ) -> Result<Option<FinishedTable>, Failure> {
        match settings.parameters.smote.filter(|smote| smote.enabled) {
            Some(smote) => rebalance::rebalance(train, task, &smote, settings.seed),
            None => Ok(None),
        }
    }
}

stagewright_kit::rebalancing_transformation!(Features);
