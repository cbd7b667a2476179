//! The learners through linfa's traits, for callers with a linfa `Dataset`.
//!
//! As in linfa, unchecked parameters implement `ParamGuard`, so
//! `BoostedParams::new(options).fit(&dataset)` checks them first. A model predicts scores: the
//! probability of class 1, or the value.

use crate::bins::MAX_BINS;
use crate::boosted::{self, BoostedOptions, BoostedValidParams};
use crate::error::TreesError;
use crate::forest::{self, ForestOptions, ForestValidParams};
use crate::matrix::{BinnedMatrix, TrainingSet};
use crate::model::TreeModel;
use linfa::ParamGuard;
use linfa::dataset::{AsSingleTargets, DatasetBase};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Data, Ix2};

/// A type of targets.
pub trait TargetValue: Copy {
    /// Returns the target as a number. Classes are 0 and 1.
    fn value(self) -> f64;
}

impl TargetValue for bool {
    fn value(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl TargetValue for usize {
    fn value(self) -> f64 {
        self as f64
    }
}

impl TargetValue for f64 {
    fn value(self) -> f64 {
        self
    }
}

/// Hyperparameters of boosting for linfa, which `fit` checks.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostedParams(BoostedValidParams);

impl BoostedParams {
    /// Wraps unchecked parameters.
    pub fn new(options: BoostedOptions) -> Self {
        Self(BoostedValidParams(options))
    }
}

impl ParamGuard for BoostedParams {
    type Checked = BoostedValidParams;
    type Error = TreesError;

    fn check_ref(&self) -> Result<&BoostedValidParams, TreesError> {
        self.0.verify()?;
        Ok(&self.0)
    }

    fn check(self) -> Result<BoostedValidParams, TreesError> {
        self.0.0.check()
    }
}

/// Hyperparameters of a forest for linfa, which `fit` checks.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestParams(ForestValidParams);

impl ForestParams {
    /// Wraps unchecked parameters.
    pub fn new(options: ForestOptions) -> Self {
        Self(ForestValidParams(options))
    }
}

impl ParamGuard for ForestParams {
    type Checked = ForestValidParams;
    type Error = TreesError;

    fn check_ref(&self) -> Result<&ForestValidParams, TreesError> {
        self.0.verify()?;
        Ok(&self.0)
    }

    fn check(self) -> Result<ForestValidParams, TreesError> {
        self.0.0.check()
    }
}

impl<D: Data<Elem = f64>, T: AsSingleTargets> Fit<ArrayBase<D, Ix2>, T, TreesError> for BoostedValidParams
where
    T::Elem: TargetValue,
{
    type Object = TreeModel;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<TreeModel, TreesError> {
        with_set(dataset, |set| boosted::train(self, set, None, None))
    }
}

impl<D: Data<Elem = f64>, T: AsSingleTargets> Fit<ArrayBase<D, Ix2>, T, TreesError> for ForestValidParams
where
    T::Elem: TargetValue,
{
    type Object = TreeModel;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<TreeModel, TreesError> {
        with_set(dataset, |set| forest::train(self, set, &mut |_| {}))
    }
}

/// Bins a dataset and passes it to `train`.
fn with_set<D: Data<Elem = f64>, T: AsSingleTargets>(
    dataset: &DatasetBase<ArrayBase<D, Ix2>, T>,
    train: impl FnOnce(TrainingSet<'_>) -> Result<TreeModel, TreesError>,
) -> Result<TreeModel, TreesError>
where
    T::Elem: TargetValue,
{
    let columns = columns(&dataset.records);
    let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
    let given = dataset.feature_names();
    let names: Vec<String> = if given.len() == views.len() {
        given.to_vec()
    } else {
        (0..views.len()).map(|i| format!("feature-{i}")).collect()
    };
    let features = BinnedMatrix::from_columns(&names, &views, MAX_BINS)?;
    let targets: Vec<f64> = dataset.targets.as_single_targets().iter().map(|target| target.value()).collect();
    let weights: Option<Vec<f64>> = dataset.weights().map(|weights| weights.iter().copied().map(f64::from).collect());
    train(TrainingSet { features: &features, targets: &targets, weights: weights.as_deref() })
}

/// Copies the columns of an array.
fn columns<D: Data<Elem = f64>>(records: &ArrayBase<D, Ix2>) -> Vec<Vec<f64>> {
    records.columns().into_iter().map(|column| column.to_vec()).collect()
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for TreeModel {
    /// # Panics
    /// If the number of columns differs from the number of features: the trait's method cannot
    /// return an error.
    fn predict_inplace<'a>(&'a self, records: &'a ArrayBase<D, Ix2>, scores: &mut Array1<f64>) {
        let columns = columns(records);
        let views: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut out = Vec::new();
        self.predictor().predict(&views, &mut out).expect("one column per feature");
        *scores = Array1::from_vec(out);
    }

    fn default_target(&self, records: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(records.nrows())
    }
}
