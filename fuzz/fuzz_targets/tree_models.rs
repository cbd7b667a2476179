#![no_main]
//! Arbitrary bytes as a tree model are refused, or are a model that is written back byte for byte
//! and predicts any row.

use libfuzzer_sys::fuzz_target;
use stagewright_trees::TreeModel;

/// Values around which decisions are made. Batches consist of them.
const ROWS: [f64; 6] = [0.0, -1.5, f64::NAN, f64::INFINITY, f64::MIN, 5e-324];

fn read(bytes: &[u8]) {
    let Ok(model) = TreeModel::read_from(bytes) else { return };
    let mut written = Vec::new();
    model.write_to(&mut written).expect("a model that was read can be written");
    assert_eq!(written, bytes);
    let width = model.feature_names().len();
    assert_eq!(model.importance().len(), width);
    let columns = vec![&ROWS[..]; width.min(4096)];
    let mut predictions = Vec::new();
    if columns.len() == width {
        model.predictor().predict(&columns, &mut predictions).expect("a column per feature");
        assert_eq!(predictions.len(), ROWS.len());
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    // A mutation never matches the checksum, so it is corrected, which lets the rest be checked.
    if let Some(content) = bytes.len().checked_sub(4) {
        let sum = crc32fast::hash(&bytes[..content]);
        read(&[&bytes[..content], &sum.to_le_bytes()[..]].concat());
    }
});
