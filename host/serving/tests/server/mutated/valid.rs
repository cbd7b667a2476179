//! Valid requests of each interface, with features of each type.

use std::sync::Arc;

use arrow_array::types::Int8Type;
use arrow_array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray,
    StringViewArray,
};
use arrow_ipc::writer::StreamWriter;
use stagewright_store::{DataType, Field};

use super::request::Request;

/// Features of each type that requests have.
pub(super) fn mixed() -> Vec<Field> {
    vec![
        Field::new("x", DataType::Float64),
        Field::new("n", DataType::Int64).with_nullable(true),
        Field::new("plan", DataType::Utf8).with_nullable(true),
        Field::new("active", DataType::Boolean),
    ]
}

/// Features that a tensor of two dimensions can hold.
pub(super) fn numbers() -> Vec<Field> {
    mixed().into_iter().take(2).collect()
}

pub(super) fn json() -> Vec<Request> {
    let one = r#"{"x": 0.25, "n": 7, "plan": "a", "active": true}"#;
    let two = r#"{"n": null, "plan": "caf\u00e9, \"b\"", "x": 0.75, "active": 0, "more": {"rows": [1]}}"#;
    let bodies = [
        one.to_owned(),
        format!("[{one}, {two}, {one}]"),
        format!(r#"{{"rows": [{two},{one}], "id": 5}}"#),
        format!("{one}\n{two}\n{two}\n"),
        "[]".to_owned(),
    ];
    bodies.iter().map(|body| Request::json("/predict", body)).collect()
}

pub(super) fn csv(path: &'static str) -> Vec<Request> {
    let bodies = [
        "x,n,plan,active\n0.25,7,a,true\n0.75,,\"b, \"\"c\"\"\",false\n0.5,-3,\"two\nlines\",1\n",
        "active,more,plan,x,n\r\nno,z,,1e-3,12\r\nyes,,d,0.875,\r\n",
        "n,active,x,plan\n1,true,0.125,e",
    ];
    bodies.iter().map(|body| Request::csv(path, body)).collect()
}

pub(super) fn arrow() -> Vec<Request> {
    let plain: [(&str, ArrayRef); 4] = [
        ("x", Arc::new(Float64Array::from(vec![0.25, 0.75, 0.5]))),
        ("n", Arc::new(Int64Array::from(vec![Some(7), None, Some(-3)]))),
        ("plan", Arc::new(StringArray::from(vec![Some("a"), None, Some("a longer text")]))),
        ("active", Arc::new(BooleanArray::from(vec![true, false, true]))),
    ];
    let plans: DictionaryArray<Int8Type> = vec![Some("b"), None, Some("b"), Some("c")].into_iter().collect();
    let other: [(&str, ArrayRef); 5] = [
        ("active", Arc::new(BooleanArray::from(vec![false; 4]))),
        ("plan", Arc::new(plans)),
        ("more", Arc::new(StringArray::from(vec!["z"; 4]))),
        ("n", Arc::new(Int64Array::from(vec![None; 4]))),
        ("x", Arc::new(Float32Array::from(vec![0.0, 0.5, 1.0, 0.125]))),
    ];
    let views: [(&str, ArrayRef); 4] = [
        ("plan", Arc::new(StringViewArray::from(vec!["short", "a text of more than twelve bytes"]))),
        ("x", Arc::new(Float64Array::from(vec![0.5, 1.0]))),
        ("n", Arc::new(StringArray::from(vec!["1", "2"]))),
        ("active", Arc::new(Int64Array::from(vec![0, 1]))),
    ];
    let batches = |columns: Vec<(&str, ArrayRef)>| RecordBatch::try_from_iter(columns).expect("a batch");
    let (plain, other, views) = (batches(plain.into()), batches(other.into()), batches(views.into()));
    let streams = [vec![plain.clone(), plain.slice(0, 0), plain.slice(1, 2)], vec![other], vec![views.clone(), views]];
    streams.iter().map(|batches| Request::arrow(&stream(batches))).collect()
}

fn stream(batches: &[RecordBatch]) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batches[0].schema()).expect("a stream");
    batches.iter().for_each(|batch| writer.write(batch).expect("a batch"));
    writer.into_inner().expect("a stream")
}

/// A tensor with its values as JSON.
fn tensor(name: &str, shape: &str, datatype: &str, data: &str) -> String {
    format!(r#"{{"name": "{name}", "shape": {shape}, "datatype": "{datatype}", "data": {data}}}"#)
}

/// A tensor whose values follow as bytes.
fn tensor_of(name: &str, shape: &str, datatype: &str, bytes: &[u8]) -> String {
    let size = bytes.len();
    format!(
        r#"{{"name": "{name}", "shape": {shape}, "datatype": "{datatype}", "parameters": {{"binary_data_size": {size}}}}}"#
    )
}

fn infer(body: &str) -> Request {
    Request::json(super::request::INFER, body)
}

pub(super) fn columns() -> Vec<Request> {
    let (x, n) = (tensor("x", "[2]", "FP64", "[0.25, 0.75]"), tensor("n", "[2, 1]", "INT32", "[[7], [null]]"));
    let (plan, active) =
        (tensor("plan", "[2]", "BYTES", "[\"a\", \"b\"]"), tensor("active", "[2]", "BOOL", "[true, false]"));
    let one = [("x", "FP32", "[0.5]"), ("n", "INT64", "[1]"), ("plan", "BYTES", "[null]"), ("active", "UINT8", "[1]")];
    let one = one.map(|(name, datatype, data)| tensor(name, "[1]", datatype, data)).join(",");
    vec![
        infer(&format!(r#"{{"id": "7", "inputs": [{x}, {n}, {plan}, {active}]}}"#)),
        infer(&format!(r#"{{"inputs": [{one}], "outputs": [{{"name": "probability"}}]}}"#)),
        infer(&format!(
            r#"{{"inputs": [{active},{x},{plan},{n}], "parameters": {{"binary_data_output": true}}, "more": [{{}}]}}"#
        )),
    ]
}

pub(super) fn matrices() -> Vec<Request> {
    let flat = tensor("matrix", "[2, 2]", "FP64", "[0.25, 1, 0.75, 2]");
    let nested = tensor("matrix", "[3, 2]", "FP32", "[[0.5, 1], [1, null], [0, 3]]");
    let output = r#"{"name": "label", "parameters": {"binary_data": true}}"#;
    vec![
        infer(&format!(r#"{{"inputs": [{flat}]}}"#)),
        infer(&format!(r#"{{"inputs": [{nested}], "outputs": [{output}, {{"name": "probability"}}]}}"#)),
    ]
}

pub(super) fn columns_of_bytes() -> Vec<Request> {
    let x: Vec<u8> = [0.25_f64, 0.75, 0.5].iter().flat_map(|value| value.to_le_bytes()).collect();
    let n: Vec<u8> = [7_i32, -1, 0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let (plan, active) = (b"\x01\0\0\0a\0\0\0\0\x03\0\0\0b c", [1_u8, 0, 1]);
    let tensors = [
        tensor_of("x", "[3]", "FP64", &x),
        tensor_of("n", "[3, 1]", "INT32", &n),
        tensor_of("plan", "[3]", "BYTES", plan),
        tensor_of("active", "[3]", "BOOL", &active),
    ];
    let all = [&x[..], &n, plan, &active].concat();
    let some = format!("{},{},{}", tensors[1], tensor("plan", "[3]", "BYTES", "[\"a\", \"b\", null]"), tensors[0]);
    let some = format!("{some},{}", tensor("active", "[3]", "BOOL", "[true, true, false]"));
    vec![
        Request::split(&format!(r#"{{"inputs": [{}]}}"#, tensors.join(", ")), &all),
        Request::split(&format!(r#"{{"inputs": [{some}]}}"#), &[&n[..], &x].concat()),
    ]
}

pub(super) fn matrices_of_bytes() -> Vec<Request> {
    let doubles: Vec<u8> = [0.25_f64, 1.0, 0.75, 2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let output = r#""parameters": {"binary_data_output": true}"#;
    let wide = tensor_of("matrix", "[2, 2]", "FP64", &doubles);
    let small = tensor_of("matrix", "[6, 2]", "UINT8", &[1; 12]);
    vec![
        Request::split(&format!(r#"{{"inputs": [{wide}], {output}}}"#), &doubles),
        Request::split(&format!(r#"{{"inputs": [{small}]}}"#), &[1; 12]),
    ]
}

pub(super) fn invocations() -> Vec<Request> {
    let one = r#"{"x": 0.25, "n": 7, "plan": "a", "active": true}"#;
    let two = r#"{"n": null, "plan": "\u00e9", "x": 0.75, "active": false}"#;
    let split = r#"{"columns": ["x", "active", "n", "plan"], "index": [0, 1], "data": [[0.5, true, 1, "a"], [0.125, false, null, null]]}"#;
    let columns = r#"{"x": [0.25, 0.5], "n": [7, null], "plan": ["a", "b"], "active": [true, false]}"#;
    let bodies = [
        format!(r#"{{"dataframe_split": {split}}}"#),
        format!(r#"{{"dataframe_records": [{one}, {two}], "params": {{}}}}"#),
        r#"{"instances": [[0.25, 7, "a", true], [0.5, null, "b", false]]}"#.to_owned(),
        format!(r#"{{"instances": [{one}, {two}, {one}]}}"#),
        format!(r#"{{"inputs": {columns}}}"#),
        format!(r#"{{"inputs": {one}}}"#),
    ];
    bodies.iter().map(|body| Request::json("/invocations", body)).collect()
}
