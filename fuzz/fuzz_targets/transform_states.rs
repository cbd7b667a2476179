#![no_main]
//! Arbitrary bytes as a fitted transformation are refused, or make a feature per field from any
//! batch of its columns.

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stagewright_kit::{Batch, BlobReader, Column, Transformation as _};
use transform_table::Features;

/// Returns a column of four rows, one of them null, of the type that the state names.
fn column(data_type: &Value) -> Option<Column> {
    let column = match data_type.as_str()? {
        "boolean" => Column::boolean([true, false, true, false]),
        "int64" => Column::from(vec![0_i64, -1, i64::MAX, i64::MIN]),
        "float64" => Column::from(vec![0.0, f64::NAN, f64::MAX, -0.0]),
        "timestamp" => Column::timestamp(vec![0, -1, i64::MAX, i64::MIN]),
        "text" => Column::utf8([Some(""), Some("Yes"), Some("no such category"), Some("No")]),
        _ => return None,
    };
    Some(column.with_validity([true, true, true, false]))
}

fuzz_target!(|bytes: &[u8]| {
    let bytes = bytes.to_vec();
    let Ok(features) = Features::load(&mut BlobReader::new(&bytes), &[]) else { return };
    let fields = features.fields();
    let state: Value = serde_json::from_slice(&bytes).expect("it was read as JSON");
    let columns = state["inputs"].as_array().into_iter().flatten().map(|input| column(&input["data_type"]));
    let columns: Vec<Column> = columns.collect::<Option<_>>().expect("the types are those that were read");
    if let Ok(made) = features.transform(Batch::new(4, columns)) {
        assert_eq!((made.len(), made.columns.len()), (4, fields.len()));
        assert!(made.columns.iter().all(|column| column.as_f64().is_some_and(|values| values.len() == 4)));
    }
});
