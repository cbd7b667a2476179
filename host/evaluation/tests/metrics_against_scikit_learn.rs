//! Metrics equal scikit-learn's to 1e-12, on the vectors of `tests/parity/metrics_vectors.py`.

use serde::Deserialize;
use stagewright_evaluation::metrics::{self, Binning, MetricSet, Ranking};

const TOLERANCE: f64 = 1e-12;

#[derive(Deserialize)]
struct Vectors {
    binary: Vec<Binary>,
    multi_class: Vec<MultiClass>,
    regression: Vec<Regression>,
}

#[derive(Deserialize)]
struct Points {
    x: Vec<f64>,
    y: Vec<f64>,
}

#[derive(Deserialize)]
struct Binary {
    name: String,
    labels: Vec<u8>,
    scores: Vec<f64>,
    metrics: MetricSet,
    confusion: [u64; 4],
    roc: Option<Points>,
    precision_recall: Option<Points>,
    uniform: Option<Points>,
    quantile: Option<Points>,
}

#[derive(Deserialize)]
struct MultiClass {
    name: String,
    labels: Vec<u32>,
    classes: usize,
    probabilities: Vec<f64>,
    metrics: MetricSet,
    confusion: Vec<u64>,
}

#[derive(Deserialize)]
struct Regression {
    name: String,
    actual: Vec<f64>,
    predicted: Vec<f64>,
    metrics: MetricSet,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("metrics_vectors.json")).expect("the vectors are valid")
}

fn assert_same(case: &str, ours: &MetricSet, theirs: &MetricSet) {
    assert_eq!(ours.len(), theirs.len(), "{case}");
    for (name, expected) in theirs.iter() {
        match (ours.get(name), expected) {
            (Some(actual), Some(expected)) => {
                let allowed = TOLERANCE * expected.abs().max(1.0);
                assert!((actual - expected).abs() <= allowed, "{case}: {name} is {actual}, not {expected}");
            }
            (actual, expected) => assert_eq!(actual, expected, "{case}: {name}"),
        }
    }
}

fn assert_points(case: &str, ours: (&[f64], &[f64]), theirs: &Points) {
    for (ours, theirs) in [(ours.0, &theirs.x), (ours.1, &theirs.y)] {
        assert_eq!(ours.len(), theirs.len(), "{case}");
        for (actual, expected) in ours.iter().zip(theirs) {
            assert!((actual - expected).abs() <= TOLERANCE, "{case}: {actual}, not {expected}");
        }
    }
}

// invariant: Metrics equal those of scikit-learn to 1e-12.
#[test]
fn binary_metrics_equal_scikit_learn() {
    let cases = vectors().binary;
    assert!(cases.len() >= 16, "only {} cases", cases.len());
    for case in cases {
        let ours = metrics::binary(&case.labels, &case.scores, 0.5).unwrap();
        assert_same(&case.name, &ours.named(), &case.metrics);
        let confusion = ours.confusion;
        let counts =
            [confusion.true_negatives, confusion.false_positives, confusion.false_negatives, confusion.true_positives];
        assert_eq!(counts, case.confusion, "{}", case.name);
    }
}

#[test]
fn curves_equal_scikit_learn() {
    let mut compared = 0;
    for case in vectors().binary {
        let (Some(roc), Some(precision_recall)) = (&case.roc, &case.precision_recall) else {
            continue;
        };
        let (Some(uniform), Some(quantile)) = (&case.uniform, &case.quantile) else {
            continue;
        };
        let ranking = Ranking::new(&case.labels, &case.scores).unwrap();
        let ours = ranking.roc_curve().unwrap();
        assert_points(&case.name, (&ours.x, &ours.y), roc);
        let ours = ranking.precision_recall_curve().unwrap();
        assert_points(&case.name, (&ours.x, &ours.y), precision_recall);
        for (binning, theirs) in [(Binning::Uniform, uniform), (Binning::Quantile, quantile)] {
            let ours = metrics::calibration_curve(&case.labels, &case.scores, 10, binning).unwrap();
            assert_points(&case.name, (&ours.predicted, &ours.observed), theirs);
        }
        compared += 1;
    }
    assert!(compared >= 10, "only {compared} curves");
}

#[test]
fn multi_class_metrics_equal_scikit_learn() {
    for case in vectors().multi_class {
        let ours = metrics::multi_class(&case.labels, &case.probabilities, case.classes).unwrap();
        assert_same(&case.name, &ours.named(), &case.metrics);
        assert_eq!(ours.confusion, case.confusion, "{}", case.name);
    }
}

#[test]
fn regression_metrics_equal_scikit_learn() {
    for case in vectors().regression {
        let ours = metrics::regression(&case.actual, &case.predicted).unwrap();
        assert_same(&case.name, &ours.named(), &case.metrics);
    }
}

#[test]
fn the_order_of_rows_does_not_matter() {
    for case in vectors().binary {
        let ours = metrics::binary(&case.labels, &case.scores, 0.5).unwrap().named();
        let labels: Vec<u8> = case.labels.iter().rev().copied().collect();
        let scores: Vec<f64> = case.scores.iter().rev().copied().collect();
        let reversed = metrics::binary(&labels, &scores, 0.5).unwrap().named();
        assert_eq!(ours.get("roc_auc"), reversed.get("roc_auc"), "{}", case.name);
        assert_same(&case.name, &reversed, &ours);
    }
}
