//! The training stage `train-logistic`: logistic regression with an L2 penalty, for binary targets.
//!
//! This defines the parameters and checks the data; [`solver`] optimises, and [`model`] is the
//! state. The training rows are held as one matrix: 8 bytes for each value, and 32 bytes for each
//! row.

mod lanes;
pub mod model;
pub mod solver;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::{
    Batch, BlobReader, BlobWriter, Failure, FeatureMatrix, Field, MatrixView, Settings, Table, Task, TaskKind,
    Training, info, tracking, warn,
};

use crate::model::{FORMAT, LogisticModel, VERSION, not_finite};
use crate::solver::{LogisticRegression, SolverError};

/// The weights of the classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeight {
    /// Each row counts once.
    #[default]
    None,
    /// Both classes have the same weight: the weight of a row is divided by the share of its class.
    Balanced,
}

/// The parameters of the stage, with scikit-learn's names where it has them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The inverse strength of the L2 penalty. A smaller number gives a simpler model.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub c: f64,
    /// The most Newton steps. About ten are usual.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_iterations: u32,
    /// Training has converged when no component of the gradient of the mean loss, per standard
    /// deviation of its feature, is larger than this.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: f64,
    /// Whether the model has an intercept.
    pub fit_intercept: bool,
    /// The weights of the classes.
    pub class_weight: ClassWeight,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { c: 1.0, max_iterations: 100, tolerance: 1e-6, fit_intercept: true, class_weight: ClassWeight::None }
    }
}

/// The stage, and the model that it trains.
pub struct TrainLogistic(LogisticModel);

impl Training for TrainLogistic {
    type Parameters = Parameters;
    const TASKS: &'static [TaskKind] = &[TaskKind::Binary];

    fn train(
        train: &dyn Table,
        _validation: Option<&dyn Table>,
        task: &Task,
        settings: &Settings<Parameters>,
        model: &mut BlobWriter,
    ) -> Result<(), Failure> {
        let Task::Binary(classes) = task else {
            return Err(Failure::parameter("task", "train-logistic learns binary targets only"));
        };
        let parameters = &settings.parameters;
        let data = FeatureMatrix::read(train)?;
        check(&data)?;
        let target: Vec<bool> = data.target.iter().map(|&class| class == 1.0).collect();
        let weights = row_weights(&target, data.weight, parameters.class_weight);
        let solver = LogisticRegression {
            c: parameters.c,
            max_iterations: parameters.max_iterations,
            tolerance: parameters.tolerance,
            fit_intercept: parameters.fit_intercept,
        };
        let fitted =
            solver.fit_weighted(data.values.view(), &target, weights.as_deref()).map_err(|error| match error {
                SolverError::OneClass => Failure::data("every row has the same class; both are needed to learn"),
                SolverError::Linfa(error) => Failure::internal(error.to_string()),
            })?;
        for (step, loss) in (1..).zip(&fitted.losses) {
            tracking::metric("loss", *loss, step);
        }
        if fitted.converged {
            info!("converged after {} steps", fitted.iterations);
        } else {
            warn!("stopped after {} steps before the tolerance was reached; raise `max_iterations`", fitted.iterations);
        }
        model.write_json(&LogisticModel {
            format: FORMAT.to_owned(),
            version: VERSION,
            positive: classes.positive.clone(),
            features: data.names,
            coefficients: fitted.coefficients,
            intercept: fitted.intercept,
            deviations: fitted.deviations,
        })
    }

    fn load(model: &mut BlobReader<'_>, _inputs: &[Field]) -> Result<Self, Failure> {
        LogisticModel::read(model).map(Self)
    }

    fn predict(&self, rows: Batch) -> Result<Vec<f64>, Failure> {
        self.0.predict(rows)
    }

    fn predict_into(&self, rows: MatrixView<'_>, predictions: &mut [f64]) -> Result<(), Failure> {
        self.0.predict_into(rows, predictions)
    }

    fn importance(&self) -> Vec<f64> {
        self.0.importance()
    }
}

stagewright_kit::training!(TrainLogistic);

/// Refuses data that a linear model cannot use: missing or infinite values, no rows, no features.
fn check(data: &FeatureMatrix) -> Result<(), Failure> {
    if data.values.is_empty() {
        return Err(Failure::data(format!(
            "there is nothing to learn from: {} rows of {} features",
            data.values.nrows(),
            data.values.ncols()
        )));
    }
    for (column, name) in data.values.columns().into_iter().zip(&data.names) {
        if let Some(row) = column.iter().position(|value| !value.is_finite()) {
            return Err(not_finite(name, row as u64, column[row]));
        }
    }
    Ok(())
}

/// Returns the weights of the rows, multiplied by those of their classes.
fn row_weights(target: &[bool], weights: Option<Vec<f64>>, class_weight: ClassWeight) -> Option<Vec<f64>> {
    if class_weight == ClassWeight::None {
        return weights;
    }
    let mut weights = weights.unwrap_or_else(|| vec![1.0; target.len()]);
    let total: f64 = weights.iter().sum();
    let sum_of = |class: bool| -> f64 {
        weights.iter().zip(target).filter(|(_, positive)| **positive == class).map(|(weight, _)| weight).sum()
    };
    let positive = sum_of(true);
    // The difference of the sums is 0 if one class outweighs the other by more than the digits of a
    // double.
    let negative = if total > positive { total - positive } else { sum_of(false) };
    let factors = [total / (2.0 * negative), total / (2.0 * positive)];
    for (weight, &class) in weights.iter_mut().zip(target) {
        *weight *= factors[usize::from(class)];
    }
    Some(weights)
}

#[cfg(test)]
mod tests {
    use stagewright_kit::{BinaryClasses, DataType, Field, MemoryTable, Role};

    use super::*;

    fn task() -> Task {
        Task::Binary(BinaryClasses { negative: "No".to_owned(), positive: "Yes".to_owned() })
    }

    /// Two features, the second far from zero, and a target that depends on both; in batches of
    /// `size` rows.
    fn table(rows: usize, size: usize) -> MemoryTable {
        let x = |row: usize| ((row * 37) % 101) as f64 / 50.0 - 1.0;
        let year = |row: usize| 2000.0 + ((row * 53) % 29) as f64;
        let class =
            |row: usize| i64::from(x(row) + (year(row) - 2014.0) / 20.0 + ((row * 71) % 13) as f64 / 13.0 > 0.5);
        let fields = [
            (Field::required("x", DataType::Float64), Role::Feature),
            (Field::nullable("year", DataType::Float64), Role::Feature),
            (Field::required("left", DataType::Int64), Role::Target),
        ];
        let starts = (0..rows).step_by(size);
        let batch = |start: usize| {
            let range = start..rows.min(start + size);
            let columns = vec![
                range.clone().map(x).collect::<Vec<_>>().into(),
                range.clone().map(year).collect::<Vec<_>>().into(),
                range.clone().map(class).collect::<Vec<_>>().into(),
            ];
            Batch::new(range.len() as u32, columns)
        };
        MemoryTable::new(fields, starts.map(batch).collect())
    }

    fn train(table: &MemoryTable, parameters: Parameters) -> Result<Vec<u8>, Failure> {
        let mut model = BlobWriter::new();
        TrainLogistic::train(table, None, &task(), &Settings { parameters, seed: 0, as_of: 0 }, &mut model)?;
        Ok(model.into_bytes())
    }

    fn load(bytes: &Vec<u8>) -> Result<TrainLogistic, Failure> {
        TrainLogistic::load(&mut BlobReader::new(bytes), &[])
    }

    #[test]
    fn a_trained_model_ranks_its_own_rows() {
        let table = table(1000, 1000);
        let model = load(&train(&table, Parameters::default()).unwrap()).unwrap();
        let features = table.read(0, 1000, Some(&[0, 1])).unwrap();
        let scores = model.predict(features).unwrap();
        let classes = table.read(0, 1000, Some(&[2])).unwrap().columns.remove(0).into_numbers(1000).unwrap();
        let right = scores.iter().zip(&classes).filter(|(score, class)| (**score > 0.5) == (**class == 1.0)).count();
        assert!(right > 850, "{right} of 1000");
    }

    #[test]
    fn the_model_does_not_depend_on_how_rows_are_batched() {
        let whole = train(&table(1000, 1000), Parameters::default()).unwrap();
        assert_eq!(train(&table(1000, 37), Parameters::default()).unwrap(), whole);
    }

    #[test]
    fn a_gap_is_a_data_failure_that_names_column_and_row() {
        let mut table = table(10, 10);
        let gap = stagewright_kit::Column::from(vec![2010.0; 2]).with_validity([true, false]);
        table.push(Batch::new(2, vec![vec![0.0, 0.0].into(), gap, vec![0i64, 1].into()])).unwrap();
        let Failure::Data(fault) = train(&table, Parameters::default()).unwrap_err() else { panic!("not the data's") };
        assert_eq!((fault.column.as_deref(), fault.row), (Some("year"), Some(11)));
    }

    #[test]
    fn one_class_is_a_data_failure() {
        let fields = [
            (Field::required("x", DataType::Float64), Role::Feature),
            (Field::required("y", DataType::Int64), Role::Target),
        ];
        let table = MemoryTable::new(fields, vec![Batch::new(2, vec![vec![0.0, 1.0].into(), vec![1i64, 1].into()])]);
        assert!(matches!(train(&table, Parameters::default()), Err(Failure::Data(_))));
    }

    #[test]
    fn a_model_of_another_version_is_refused() {
        let bytes = train(&table(100, 100), Parameters::default()).unwrap();
        let other = String::from_utf8(bytes).unwrap().replace("\"version\":1", "\"version\":2");
        let Err(Failure::Internal(message)) = load(&other.into_bytes()) else { panic!("read") };
        assert!(message.contains("version 2"), "{message}");
    }

    #[test]
    fn a_model_whose_lists_differ_in_length_is_refused() {
        let bytes = train(&table(100, 100), Parameters::default()).unwrap();
        let other = String::from_utf8(bytes).unwrap().replace("\"features\":[", "\"features\":[\"more\",");
        assert!(load(&other.into_bytes()).is_err());
    }

    #[test]
    fn balanced_classes_move_the_mean_prediction_towards_a_half() {
        let table = table(1000, 1000);
        let mean = |class_weight| {
            let bytes = train(&table, Parameters { class_weight, ..Default::default() }).unwrap();
            let rows = table.read(0, 1000, Some(&[0, 1])).unwrap();
            load(&bytes).unwrap().predict(rows).unwrap().iter().sum::<f64>() / 1000.0
        };
        let (plain, balanced) = (mean(ClassWeight::None), mean(ClassWeight::Balanced));
        assert!((balanced - 0.5).abs() < (plain - 0.5).abs(), "{plain} {balanced}");
    }

    #[test]
    fn a_weight_of_two_counts_as_the_row_twice() {
        let rows = |repeat: bool| {
            let mut x = vec![-1.0, 0.5, 0.0, 2.0];
            let mut y = vec![0i64, 0, 1, 1];
            let mut weight = vec![1.0, if repeat { 1.0 } else { 2.0 }, 1.0, 1.0];
            if repeat {
                x.push(0.5);
                y.push(0);
                weight.push(1.0);
            }
            let fields = [
                (Field::required("x", DataType::Float64), Role::Feature),
                (Field::required("y", DataType::Int64), Role::Target),
                (Field::required("w", DataType::Float64), Role::Weight),
            ];
            let batch = Batch::new(x.len() as u32, vec![x.into(), y.into(), weight.into()]);
            load(&train(&MemoryTable::new(fields, vec![batch]), Parameters::default()).unwrap()).unwrap().0
        };
        let (weighted, repeated) = (rows(false), rows(true));
        assert!((weighted.coefficients[0] - repeated.coefficients[0]).abs() < 1e-6);
        assert!((weighted.intercept - repeated.intercept).abs() < 1e-6);
    }
}
