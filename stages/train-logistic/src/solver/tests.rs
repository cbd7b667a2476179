//! The solver beside scikit-learn's coefficients and linfa's solver.

use linfa::DatasetBase;
use linfa::traits::Predict;

use super::*;

/// Sixty rows of three features: one scaled, one far from zero, and a flag; in the order that
/// `fit` needs.
fn rows() -> (Array2<f64>, Vec<bool>) {
    let values = Array2::from_shape_fn((60, 3).f(), |(row, feature)| match feature {
        0 => ((row * 37) % 101) as f64 / 50.0 - 1.0,
        1 => 2000.0 + ((row * 53) % 29) as f64,
        _ => f64::from(row % 3 == 0),
    });
    (values, (0..60).map(|row| (row * 71) % 13 > 5).collect())
}

fn settings(c: f64, fit_intercept: bool) -> LogisticRegression {
    LogisticRegression { c, max_iterations: 100, tolerance: 1e-10, fit_intercept }
}

/// Each coefficient is within 1e-6 of scikit-learn's (the intercept relatively).
fn assert_matches(fitted: &Fitted, coefficients: [f64; 3], intercept: f64) {
    assert!(fitted.converged);
    for (found, expected) in fitted.coefficients.iter().zip(coefficients) {
        assert!((found - expected).abs() < 1e-6, "{fitted:?}");
    }
    assert!((fitted.intercept - intercept).abs() < 1e-6 * intercept.abs().max(1.0), "{fitted:?}");
}

// The expected values are from scikit-learn 1.9.1: LogisticRegression(solver="newton-cholesky",
// tol=1e-14).

#[test]
fn coefficients_are_scikit_learns() {
    let (values, target) = rows();
    let fitted = settings(1.0, true).fit_weighted(values.view(), &target, None).unwrap();
    let expected = [0.4138151996204471, 0.017959471414270067, -0.19087917447772093];
    assert_matches(&fitted, expected, -35.96527253826926);
}

#[test]
fn weighted_coefficients_are_scikit_learns() {
    let (values, target) = rows();
    let weights: Vec<f64> = (0..60).map(|row| 1.0 + f64::from(row % 4) * 0.5).collect();
    let fitted = settings(0.1, true).fit_weighted(values.view(), &target, Some(&weights)).unwrap();
    let expected = [0.3102841965513114, 0.0060629861731885705, -0.006368162076539321];
    assert_matches(&fitted, expected, -12.094517877954726);
}

#[test]
fn coefficients_without_an_intercept_are_scikit_learns() {
    let (values, target) = rows();
    let fitted = settings(10.0, false).fit_weighted(values.view(), &target, None).unwrap();
    let expected = [0.5158717931586975, 0.00010391722538327703, -0.2006856400568246];
    assert_matches(&fitted, expected, 0.0);
}

#[test]
fn the_order_of_the_matrix_in_memory_does_not_matter() {
    let (values, target) = rows();
    let row_major = Array2::from_shape_vec((60, 3), values.iter().copied().collect()).unwrap();
    let fit = |values: &Array2<f64>| settings(1.0, true).fit_weighted(values.view(), &target, None).unwrap();
    assert_eq!(fit(&row_major), fit(&values));
}

#[test]
fn separable_classes_and_a_weak_penalty_still_converge() {
    let values = Array2::from_shape_fn((20, 1), |(row, _)| row as f64);
    let target: Vec<bool> = (0..20).map(|row| row >= 10).collect();
    let fitted = settings(1e6, true).fit_weighted(values.view(), &target, None).unwrap();
    assert!(fitted.converged && fitted.coefficients[0].is_finite(), "{fitted:?}");
}

#[test]
fn a_constant_feature_gets_no_coefficient() {
    let (mut values, target) = rows();
    values.column_mut(1).fill(5.0);
    let fitted = settings(1.0, true).fit_weighted(values.view(), &target, None).unwrap();
    assert!(fitted.coefficients[1].abs() < 1e-9, "{fitted:?}");
}

#[test]
fn linfas_traits_give_the_same_model_and_predictions() {
    let (values, target) = rows();
    let direct = settings(1.0, true).fit_weighted(values.view(), &target, None).unwrap();
    let dataset = DatasetBase::new(values.clone(), Array1::from(target));
    let fitted = settings(1.0, true).fit(&dataset).unwrap();
    assert_eq!(fitted, direct);
    let predicted: Array1<f64> = fitted.predict(&values);
    assert_eq!(predicted.to_vec(), direct.probabilities(values.view()));
}
