//! Temporary: the request decoder replaces this file.
#![allow(missing_docs, clippy::allow_attributes)]
use crate::Signature;
use crate::request::*;
use crate::signature::Strictness;
use arrow_array::RecordBatch;
#[derive(Clone, Debug)]
pub struct RequestOptions {
    pub max_rows: usize,
    pub key: Option<String>,
}
impl Default for RequestOptions {
    fn default() -> Self {
        Self { max_rows: 10_000, key: None }
    }
}
pub struct RequestDecoder(Signature);
impl RequestDecoder {
    pub fn new(signature: &Signature, _: RequestOptions) -> Self {
        Self(signature.clone())
    }
    pub fn json(&self, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
        decode_json(body, &self.0, Strictness::Predict).map(|batch| DecodedRequest { batch }).map_err(|e| {
            RequestFault::Rows { errors: vec![RowError { row: 0, field: None, message: e.to_string() }], is_cut: false }
        })
    }
    pub fn csv(&self, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
        self.json(body)
    }
    pub fn arrow_stream(&self, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
        self.json(body)
    }
}
#[derive(Clone, Debug)]
pub struct DecodedRequest {
    pub batch: RecordBatch,
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    #[error("{message}")]
    Unreadable { message: String },
    #[error("rows")]
    Rows { errors: Vec<RowError>, is_cut: bool },
    #[error("more than {max} rows")]
    TooManyRows { max: usize },
    #[error("more than {max} bytes")]
    TooLarge { max: usize },
    #[error("{0}")]
    Host(String),
}
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RowError {
    pub row: usize,
    pub field: Option<String>,
    pub message: String,
}
