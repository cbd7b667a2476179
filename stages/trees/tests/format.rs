//! The format of models: models that are written can be read, and other bytes are refused.

use proptest::prelude::*;
use stagewright_trees::{
    BinnedMatrix, BoostedOptions, ForestOptions, MAX_BINS, TrainingSet, TreeModel, TreesError, boosted, forest,
};
use std::sync::LazyLock;

/// Returns a boosted model and a part of a forest, as bytes.
static MODELS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let a: Vec<f64> = (0..400).map(|i| f64::from(i * 37 % 101)).collect();
    let b: Vec<f64> = (0..400).map(|i| if i % 7 == 0 { f64::NAN } else { f64::from(i % 13) }).collect();
    let targets: Vec<f64> = (0..400).map(|i| f64::from(u8::from((i * 37 % 101) + (i % 13) * 5 > 90))).collect();
    let features = BinnedMatrix::from_columns(&["age", "größe"], &[&a, &b], MAX_BINS).unwrap();
    let set = TrainingSet { features: &features, targets: &targets, weights: None };
    let boosted = BoostedOptions { n_estimators: 5, max_depth: Some(3), ..BoostedOptions::default() };
    let boosted = boosted::train(&boosted.check().unwrap(), set, None, None).unwrap();
    let part = ForestOptions { n_estimators: 6, max_depth: Some(4), ..ForestOptions::default() };
    let part = forest::train_trees(&part.check().unwrap(), set, 2..5, &mut |_| {}).unwrap();
    [boosted, part].map(|model| {
        let mut bytes = Vec::new();
        model.write_to(&mut bytes).unwrap();
        assert_eq!(TreeModel::read_from(bytes.as_slice()).unwrap(), model);
        bytes
    })
});

/// Corrects the checksum, so that the other checks are reached.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - 4;
    let sum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn a_model_that_was_read_predicts_the_same() {
    let model = TreeModel::read_from(MODELS[0].as_slice()).unwrap();
    assert_eq!(model.feature_names(), ["age", "größe"]);
    let mut scores = Vec::new();
    model.predictor().predict(&[&[100.0, 0.0], &[f64::NAN, 0.0]], &mut scores).unwrap();
    assert!(scores[0] > 0.6 && scores[1] < 0.4, "{scores:?}");
}

#[test]
fn the_bytes_of_a_small_model_are_those_of_the_documentation() {
    let features = BinnedMatrix::from_columns(&["x"], &[&[0.0, 1.0, 0.0, 1.0]], MAX_BINS).unwrap();
    let set = TrainingSet { features: &features, targets: &[0.0, 1.0, 0.0, 1.0], weights: None };
    let options = ForestOptions { n_estimators: 1, bootstrap: false, ..ForestOptions::default() };
    let mut bytes = Vec::new();
    forest::train(&options.check().unwrap(), set, &mut |_| {}).unwrap().write_to(&mut bytes).unwrap();
    let mut expected = b"SWTREES\0\x01\0\x02\0\x01\0\0\0\x01\0\0\0\0\0\0\0".to_vec();
    expected.extend(0.0f64.to_le_bytes());
    expected.extend(b"\x01\0x");
    expected.extend(1.0f64.to_le_bytes());
    expected.extend(3u32.to_le_bytes());
    for (value, left, feature) in [(0.5f64, 1u32, 1u32 << 31), (0.0, 0, 0), (1.0, 0, 0)] {
        expected.extend(value.to_le_bytes());
        expected.extend(left.to_le_bytes());
        expected.extend(feature.to_le_bytes());
    }
    expected.extend([0; 4]);
    assert_eq!(bytes, sealed(expected));
}

#[test]
fn every_truncation_is_refused() {
    for bytes in &*MODELS {
        for length in 0..bytes.len() {
            let error = TreeModel::read_from(&bytes[..length]).unwrap_err();
            assert!(matches!(error, TreesError::Format { .. }), "{length}: {error}");
        }
    }
}

// invariant: as `a_forged_model_is_refused_or_harmless`
#[test]
fn every_flipped_bit_is_refused() {
    for bytes in &*MODELS {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(TreeModel::read_from(flipped.as_slice()).is_err(), "bit {bit}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = MODELS[0].clone();
    bytes.push(0);
    let error = TreeModel::read_from(bytes.as_slice()).unwrap_err();
    assert_eq!(error.to_string(), "not a valid tree model: bytes follow its end");
}

#[test]
fn a_cycle_is_refused_even_with_a_right_checksum() {
    let bytes = &MODELS[1];
    // The nodes end before the checksum. The first split of the last tree is its first node.
    let model = TreeModel::read_from(bytes.as_slice()).unwrap();
    let nodes = bytes.len() - 4 - model.nodes() * 16;
    let mut cyclic = bytes.clone();
    let second_split = (1..model.nodes()).find(|node| bytes[nodes + node * 16 + 8..][..4] != [0; 4]).unwrap();
    cyclic[nodes + second_split * 16 + 8..][..4].copy_from_slice(&1u32.to_le_bytes());
    let error = TreeModel::read_from(sealed(cyclic).as_slice()).unwrap_err();
    assert!(
        error.to_string().contains("children outside of the tree or before itself")
            || error.to_string().contains("another's"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    // invariant: A forged model is refused or harmless.
    /// A changed model with a correct checksum is either refused or predicts without a panic.
    #[test]
    fn a_forged_model_is_refused_or_harmless(
        which in 0usize..2, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = MODELS[which].clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(model) = TreeModel::read_from(sealed(bytes).as_slice()) {
            let column = [f64::NAN, 0.0, -1e300, f64::INFINITY];
            let columns = vec![column.as_slice(); model.feature_names().len()];
            let mut scores = Vec::new();
            model.predictor().predict(&columns, &mut scores).unwrap();
            prop_assert_eq!(scores.len(), 4);
        }
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), begin in any::<bool>()) {
        if begin {
            let head = &MODELS[0][..bytes.len().min(12)];
            bytes[..head.len()].copy_from_slice(head);
        }
        prop_assert!(TreeModel::read_from(bytes.as_slice()).is_err());
    }
}
