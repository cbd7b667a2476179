//! The decoder of requests against a plain one, and in examples.

mod forms;
mod generated;
mod reference;

use stagewright_store::{DataType, Field, Role};

use super::*;

/// A column of each type, beside an identifier and a target.
fn signature() -> Signature {
    Signature::new(vec![
        Field::new("id", DataType::Utf8).with_role(Role::Identifier),
        Field::new("tenure", DataType::Int64),
        Field::new("charges", DataType::Float64).with_nullable(true),
        Field::new("contract", DataType::Categorical),
        Field::new("note é", DataType::Utf8).with_nullable(true),
        Field::new("paperless", DataType::Boolean).with_nullable(true),
        Field::new("since", DataType::Timestamp).with_nullable(true),
        Field::new("churn", DataType::Categorical).with_role(Role::Target),
    ])
    .unwrap()
    .with_null_values(["", " ", "-999", "NaN"])
}

fn decoder(options: RequestOptions) -> RequestDecoder {
    RequestDecoder::new(&signature(), options)
}

/// Returns the faults of rows: row, field and message.
fn told(result: Result<DecodedRequest, RequestFault>) -> Vec<(usize, Option<String>, String)> {
    match result {
        Err(RequestFault::Rows { errors, is_cut: false }) => {
            errors.into_iter().map(|error| (error.row, error.field, error.message)).collect()
        }
        other => panic!("{other:?}"),
    }
}

fn message(result: Result<DecodedRequest, RequestFault>) -> String {
    match result {
        Err(RequestFault::Unreadable { message }) => message,
        other => panic!("{other:?}"),
    }
}
