//! Reads tables into `ndarray` matrices in column-major order, the order of columns in batches.

use ndarray::{Array2, ShapeBuilder};

use crate::table::ROWS_PER_BATCH;
use crate::{Batch, Failure, Role, Table};

/// The features, target and weights of a table as numbers, all in memory: 8 bytes a value.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureMatrix {
    /// The names of the features, one for each column of `values`.
    pub names: Vec<String>,
    /// The features, rows by columns, column-major. Nulls are NaN.
    pub values: Array2<f64>,
    /// The target of each row. A class is its index.
    pub target: Vec<f64>,
    /// The weight of each row, if the table has weights.
    pub weight: Option<Vec<f64>>,
}

impl FeatureMatrix {
    /// Reads the columns with the roles feature, target and weight. Uses memory for the matrix and
    /// one batch.
    ///
    /// # Errors
    /// `data` if a feature is text; `internal` if there is no target.
    pub fn read(table: &dyn Table) -> Result<Self, Failure> {
        let target = table.column_with(Role::Target).ok_or_else(|| Failure::internal("the table has no target"))?;
        let features = table.columns_with(Role::Feature);
        let fields = table.fields();
        let names = features.iter().map(|&index| fields[index as usize].name.clone()).collect();
        let weight = match table.column_with(Role::Weight) {
            Some(column) => Some(numbers(table, column)?),
            None => None,
        };
        Ok(Self { names, values: matrix(table, &features)?, target: numbers(table, target)?, weight })
    }
}

/// Reads columns of numbers as a matrix, rows by columns, column-major. Nulls are NaN.
///
/// # Errors
/// `data` if a column is text.
pub fn matrix(table: &dyn Table, columns: &[u32]) -> Result<Array2<f64>, Failure> {
    let rows = usize::try_from(table.rows()).map_err(|_| Failure::data("the table does not fit into memory"))?;
    let mut values = vec![0.0; rows * columns.len()];
    let mut start = 0;
    while start < rows && !columns.is_empty() {
        let wanted = (rows - start).min(ROWS_PER_BATCH as usize) as u32;
        let read = table.read_numbers(start as u64, wanted, columns, &mut values[start..], rows)?;
        if read == 0 {
            return Err(Failure::internal(format!("a table of {rows} rows ended at row {start}")));
        }
        start += read as usize;
    }
    Array2::from_shape_vec((rows, columns.len()).f(), values).map_err(|error| Failure::internal(error.to_string()))
}

/// Reads one column of numbers. Nulls are NaN.
///
/// # Errors
/// `data` if the column is text.
pub fn numbers(table: &dyn Table, column: u32) -> Result<Vec<f64>, Failure> {
    Ok(matrix(table, &[column])?.into_raw_vec_and_offset().0)
}

impl Batch {
    /// Converts all columns to a matrix, rows by columns, column-major. Nulls are NaN.
    ///
    /// # Errors
    /// `data` if a column is text.
    pub fn into_matrix(self) -> Result<Array2<f64>, Failure> {
        let (rows, width) = (self.len(), self.columns.len());
        let mut values = Vec::with_capacity(rows * width);
        for (index, column) in self.columns.into_iter().enumerate() {
            let numbers = column.into_numbers(rows);
            values.extend(numbers.ok_or_else(|| Failure::data(format!("column {index} holds text, not numbers")))?);
        }
        Array2::from_shape_vec((rows, width).f(), values).map_err(|error| Failure::internal(error.to_string()))
    }

    /// Creates a batch with a float64 column for each column of `values`.
    pub fn from_matrix(values: &Array2<f64>) -> Self {
        let columns = values.columns().into_iter().map(|column| column.to_vec().into()).collect();
        Self::new(values.nrows() as u32, columns)
    }
}
