//! Transforms raw columns into features: missing values, outliers, type conversion, encoding,
//! ratios and interactions, standardisation; and SMOTE for rare classes.
//!
//! `fit` learns from the training rows, one column at a time. `transform` is row-wise, and the same
//! in training and serving. `rebalance` adds synthetic rows. All features are float64: those of the
//! columns in their order, then ratios, then interactions. The feature of a number has its column's
//! name; the feature of a category has a name such as `Contract=One year`.
//!
//! # Parameters
//!
//! All are optional; `{}` fits any table.
//!
//! - `numeric.missing` (`"median"`), for null and NaN: `"mean"`, `"median"`, `"zero"`,
//!   `{ constant = x }`, `"keep"` (NaN stays, for trees), `"error"`.
//! - `numeric.outliers` (`"none"`): `"none"`, `{ clip = { lower = 0.01, upper = 0.99 } }`
//!   (quantiles), `{ iqr = { factor = 1.5 } }` (Tukey's fences).
//! - `numeric.scale` (`"standard"`): `"standard"` (mean 0, standard deviation 1; a constant column
//!   becomes 0), `"none"`.
//! - `categorical.encoding` (`"one-hot"`): `"one-hot"`, `"ordinal"` (the index in alphabetical
//!   order).
//! - `categorical.unseen` (`"ignore"`): `"ignore"` (no feature is 1; the ordinal is -1), `"error"`,
//!   `"bucket"` (a feature `column=(unseen)`; an ordinal after all others).
//! - `categorical.missing` (`"category"`): `"category"` (a feature `column=(missing)` if training
//!   rows have nulls; like unseen otherwise), `"most_frequent"`, `"error"`.
//! - `categorical.max_categories` (100): the most frequent categories are kept; others count as
//!   unseen.
//! - `timestamp.parts` (all five): those of `"year"`, `"month"`, `"day"`, `"weekday"` (Monday is 0)
//!   and `"hour"` that become features, called `column.part`, in UTC.
//! - `columns.NAME`, for one column, ratio or interaction: `drop`, `as` (`"float64"`,
//!   `"categorical"`), `missing`, `outliers`, `scale`, `encoding`, `unseen`, `max_categories`,
//!   `parts`.
//! - `ratios` (`[]`): `{ name, numerator, denominator, zero_division }`, where `zero_division` is
//!   `"zero"`, `"null"` or `{ constant = x }`. 0/0 is 0; a ratio is never infinite.
//! - `interactions` (`[]`): `{ name, left, right, kind = "product" | "difference" | "sum" }`.
//! - `smote` (absent): `{ enabled = true, k_neighbors = 5, sampling_strategy = 1.0 }`. Each class
//!   gets at least this share of the number of rows of the largest class.
//!
//! # Details
//!
//! - int64 columns are numbers and are scaled, even if they only have 0 and 1. Booleans are 0 and
//!   1, and are not scaled unless `columns.NAME.scale` says so.
//! - Those parts of a timestamp that differ among the training rows become features, which are
//!   numbers like others. `as = "float64"` gives seconds since 1970 instead.
//! - Outliers are not clipped in a column of two values, or if clipping would leave one value. The
//!   log says so.
//! - Categories and nulls that the training rows did not have are counted for each column, and
//!   shown by `predict`.
//! - utf8 and categorical columns are treated alike. A column with more than 65,536 distinct texts
//!   is refused, since it is an identifier.
//! - A number is read, clipped, filled and scaled, in this order. Ratios and interactions use raw
//!   values; if an operand is missing, so is the result.
//! - Infinite values are faults of the data unless outliers are clipped.

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
    Batch, BatchView, BlobReader, BlobWriter, Failure, Field, FinishedTable, Rebalancing, Settings, Table, Task,
    Transformation,
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

    fn transform_into(&self, rows: &BatchView<'_>, features: &mut [f64]) -> Result<(), Failure> {
        self.0.transform_into(rows, features)
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
