#![no_main]
//! Arbitrary bytes as a logistic model are refused, or are a model that predicts probabilities.

use libfuzzer_sys::fuzz_target;
use stagewright_kit::{Batch, BlobReader, Column};
use train_logistic::model::LogisticModel;

fuzz_target!(|bytes: &[u8]| {
    let bytes = bytes.to_vec();
    let Ok(model) = LogisticModel::read(&mut BlobReader::new(&bytes)) else { return };
    let width = model.features.len();
    assert_eq!(model.importance().len(), width);
    let columns = vec![Column::from(vec![0.0, -1.5, f64::MAX, f64::MIN, 5e-324]); width];
    let predictions = model.predict(Batch::new(5, columns)).expect("finite numbers, a column per feature");
    // A sum of huge terms of both signs is NaN. Every other result is a probability.
    assert!(predictions.iter().all(|it| it.is_nan() || (0.0..=1.0).contains(it)), "{predictions:?}");
});
