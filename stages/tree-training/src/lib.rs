//! The common parts of the stages `train-forest` and `train-boosted`: they connect the tables of
//! the kit with the trees of `stagewright-trees`.
//!
//! This reads tables into bins, predicts batches, and converts errors. Parameters belong to the
//! stages. So the crate of the trees does not depend on tables, and the kit not on trees.

mod binned;

use std::io::{BufReader, BufWriter, Write};

use stagewright_kit::{Batch, BlobReader, BlobWriter, Failure, MatrixView, Output, Role, Table, matrix, numbers};
use stagewright_trees::{
    BinnedMatrix, FeatureSketch, MAX_BINS, Objective, Predictor, TrainingSet, TreeModel, TreesError,
};

/// The bytes of numbers that are read at once. A table of ten thousand columns has chunks of some
/// dozens of rows, so reading column by column would take a call for each chunk and column.
const BLOCK_BYTES: usize = 4 << 20;

/// A binned table: one byte for each value, and 8 bytes for each target and weight.
#[derive(Debug, Clone)]
pub struct BinnedTable {
    features: BinnedMatrix,
    targets: Vec<f64>,
    weights: Option<Vec<f64>>,
}

impl BinnedTable {
    /// Reads a training table, some columns at a time. In addition to the bins, this takes memory
    /// for numbers of [`BLOCK_BYTES`], or for one column.
    ///
    /// # Errors
    /// `data` if a feature is text; `internal` if there is no target.
    pub fn read(table: &dyn Table) -> Result<Self, Failure> {
        let fields = table.fields();
        Self::read_with(table, |index, column, values, matrix: &mut BinnedMatrix| {
            let mut sketch = FeatureSketch::new();
            sketch.push(values);
            let bins = sketch.finish(MAX_BINS);
            let mut codes = Vec::with_capacity(values.len());
            bins.encode(values, &mut codes);
            let name =
                fields.get(column as usize).map_or_else(|| format!("feature {index}"), |field| field.name.clone());
            matrix.push(name, bins, codes).map_err(failure)
        })
    }

    /// Reads another table of the same columns with the bins of this one, for validation.
    ///
    /// # Errors
    /// As for [`BinnedTable::read`]; `internal` if the table has other features.
    pub fn read_alike(&self, table: &dyn Table) -> Result<Self, Failure> {
        let names: Vec<&str> = self.features.names().collect();
        let alike = Self::read_with(table, |index, _, values, matrix: &mut BinnedMatrix| {
            let (Some(bins), Some(name)) = (self.features.bins(index), names.get(index)) else {
                return Err(Failure::internal("the validation table has more features than the training table"));
            };
            let mut codes = Vec::with_capacity(values.len());
            bins.encode(values, &mut codes);
            matrix.push(*name, bins.clone(), codes).map_err(failure)
        })?;
        if alike.features.width() != self.features.width() {
            return Err(Failure::internal("the validation table has fewer features than the training table"));
        }
        Ok(alike)
    }

    fn read_with(
        table: &dyn Table,
        mut push: impl FnMut(usize, u32, &[f64], &mut BinnedMatrix) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let target = table.column_with(Role::Target).ok_or_else(|| Failure::internal("the table has no target"))?;
        let targets = numbers(table, target)?;
        let weights = table.column_with(Role::Weight).map(|column| numbers(table, column)).transpose()?;
        let rows = targets.len();
        let mut features = BinnedMatrix::new(rows);
        let columns = table.columns_with(Role::Feature);
        let block = (BLOCK_BYTES / 8 / rows.max(1)).max(1);
        for (number, block_columns) in columns.chunks(block).enumerate() {
            // Column-major: the numbers of a column are contiguous.
            let values = matrix(table, block_columns)?.into_raw_vec_and_offset().0;
            for (place, &column) in block_columns.iter().enumerate() {
                push(number * block + place, column, &values[place * rows..(place + 1) * rows], &mut features)?;
            }
        }
        Ok(Self { features, targets, weights })
    }

    /// Returns the table as a training set.
    pub fn set(&self) -> TrainingSet<'_> {
        TrainingSet { features: &self.features, targets: &self.targets, weights: self.weights.as_deref() }
    }
}

/// A loaded tree model, ready to predict.
#[derive(Debug, Clone)]
pub struct LoadedTrees {
    predictor: Predictor,
    importance: Vec<f64>,
}

impl LoadedTrees {
    /// Reads a model and checks every byte, since a model may come from anywhere.
    ///
    /// # Errors
    /// `internal` if the bytes are not a model in the format of docs/formats/tree-model.md with one
    /// of `objectives`.
    pub fn read(model: &mut BlobReader<'_>, objectives: &[Objective]) -> Result<Self, Failure> {
        let size = model.size();
        let (predictor, importance) = Predictor::read_from(model, size).map_err(failure)?;
        if !objectives.contains(&predictor.objective()) {
            return Err(Failure::internal(format!("a {:?} model is not of this stage", predictor.objective())));
        }
        Ok(Self { predictor, importance })
    }

    /// Returns the meaning of the numbers of [`LoadedTrees::predict`].
    pub fn outputs(&self) -> Vec<Output> {
        match self.predictor.objective() {
            Objective::Logistic | Objective::MeanProbability => vec![Output::Probability(1)],
            Objective::Value => vec![Output::Value],
        }
    }

    /// Predicts rows. The columns are the features in the order of training. Nulls and NaN are
    /// missing values.
    ///
    /// # Errors
    /// `data` if a column is text; `internal` if there is not one column for each feature.
    pub fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        let length = rows.len();
        let text = |index| Failure::data(format!("feature {index} holds text, not numbers"));
        let columns = rows.columns.into_iter().enumerate();
        let columns: Vec<Vec<f64>> = columns
            .map(|(index, column)| column.into_numbers(length).ok_or_else(|| text(index)))
            .collect::<Result<_, _>>()?;
        let columns: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut scores = Vec::new();
        self.predictor.predict(&columns, &mut scores).map_err(failure)?;
        Ok(scores)
    }

    /// Predicts rows of numbers, as [`LoadedTrees::predict`] does, and writes a number for each to
    /// `predictions`.
    ///
    /// # Errors
    /// `internal` if there is not one column for each feature.
    pub fn predict_into(&self, rows: MatrixView<'_>, predictions: &mut [f64]) -> Result<(), Failure> {
        self.predictor.predict_matrix(rows.numbers(), predictions).map_err(failure)
    }

    /// Returns the gain of each feature; 0 if the model never splits on it.
    pub fn importance(&self) -> Vec<f64> {
        self.importance.clone()
    }
}

/// Reads a model.
///
/// # Errors
/// `internal` if the bytes are not a model; the host's failure.
pub fn read_model(model: &mut BlobReader<'_>) -> Result<TreeModel, Failure> {
    TreeModel::read_from(BufReader::new(model)).map_err(failure)
}

/// Writes a model.
///
/// # Errors
/// Returns the host's failure.
pub fn write_model(model: &TreeModel, blob: &mut BlobWriter) -> Result<(), Failure> {
    let mut buffered = BufWriter::new(blob);
    model.write_to(&mut buffered).map_err(failure)?;
    Ok(buffered.flush()?)
}

/// Converts an error of the trees into a failure of the data, a parameter or the stage.
pub fn failure(error: TreesError) -> Failure {
    let message = error.to_string();
    match error {
        TreesError::Parameter { parameter, value, expected } => {
            Failure::parameter(parameter, format!("`{value}` {expected}"))
        }
        TreesError::Target { row, value, .. } | TreesError::Weight { row, value } => {
            Failure::data(message).at_row(row as u64).with_value(value)
        }
        TreesError::NoRows
        | TreesError::NoFeatures
        | TreesError::TooManyRows { .. }
        | TreesError::SingleClass { .. } => Failure::data(message),
        TreesError::Io(error) => error.into(),
        _ => Failure::internal(message),
    }
}
