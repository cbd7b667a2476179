//! The learners through linfa's traits.

use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use ndarray::{Array1, Array2};
use stagewright_trees::{BoostedOptions, BoostedParams, ForestOptions, ForestParams, TreesError};

/// Returns rows whose second column decides the target.
fn records() -> Array2<f64> {
    Array2::from_shape_fn((300, 2), |(row, column)| if column == 0 { (row * 7 % 31) as f64 } else { (row % 10) as f64 })
}

#[test]
fn linfa_datasets_of_bools_and_of_class_numbers_give_the_same_model() {
    let bools: Array1<bool> = (0..300).map(|row| row % 10 > 4).collect();
    let numbers: Array1<usize> = bools.map(|&positive| usize::from(positive));
    let names = vec!["noise", "signal"];
    let params = BoostedParams::new(BoostedOptions { n_estimators: 20, ..BoostedOptions::default() });
    let model = params.fit(&Dataset::new(records(), bools.clone()).with_feature_names(names.clone())).unwrap();
    assert_eq!(params.fit(&Dataset::new(records(), numbers).with_feature_names(names)).unwrap(), model);
    assert_eq!(model.feature_names(), ["noise", "signal"]);
    let scores: Array1<f64> = model.predict(&records());
    assert!(scores.iter().zip(&bools).all(|(&score, &positive)| (score > 0.5) == positive));
}

#[test]
fn a_forest_fits_a_linfa_dataset_with_weights() {
    let targets: Array1<bool> = (0..300).map(|row| row % 10 > 4).collect();
    let dataset = Dataset::new(records(), targets).with_weights(Array1::from_elem(300, 2.0));
    let model =
        ForestParams::new(ForestOptions { n_estimators: 10, ..ForestOptions::default() }).fit(&dataset).unwrap();
    assert!(model.importance()[1] > 0.8);
}

#[test]
fn parameters_are_checked_before_fitting() {
    let dataset = Dataset::new(records(), Array1::from_elem(300, true));
    let error =
        ForestParams::new(ForestOptions { n_estimators: 0, ..ForestOptions::default() }).fit(&dataset).unwrap_err();
    assert!(matches!(error, TreesError::Parameter { parameter: "n_estimators", .. }));
}
