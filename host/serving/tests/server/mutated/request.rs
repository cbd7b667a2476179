//! Requests of each interface.

use std::io::{Read, Write};

use crate::bed::{Reply, ask};

/// The parts of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON or CSV.
    Text,
    /// An Arrow stream.
    Stream,
    /// So many bytes of JSON, and then bytes of tensors.
    Split { json: usize },
}

/// A request, valid or not.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) path: &'static str,
    pub(super) content_type: Option<String>,
    /// The header `Inference-Header-Content-Length`.
    pub(super) json_length: Option<String>,
    pub(super) shape: Shape,
    pub(super) body: Vec<u8>,
}

impl Request {
    pub(super) fn json(path: &'static str, body: &str) -> Self {
        Self::new(path, "application/json", Shape::Text, body.as_bytes())
    }

    pub(super) fn csv(path: &'static str, body: &str) -> Self {
        Self::new(path, "text/csv", Shape::Text, body.as_bytes())
    }

    pub(super) fn arrow(body: &[u8]) -> Self {
        Self::new("/predict", "application/vnd.apache.arrow.stream", Shape::Stream, body)
    }

    /// A request of the Open Inference Protocol with tensors after its JSON.
    pub(super) fn split(json: &str, tensors: &[u8]) -> Self {
        let body = [json.as_bytes(), tensors].concat();
        let request = Self::new(INFER, "application/octet-stream", Shape::Split { json: json.len() }, &body);
        Self { json_length: Some(json.len().to_string()), ..request }
    }

    fn new(path: &'static str, content_type: &str, shape: Shape, body: &[u8]) -> Self {
        Self { path, content_type: Some(content_type.to_owned()), json_length: None, shape, body: body.to_vec() }
    }

    /// Sends it, and returns the answer.
    pub(super) fn ask(&self, stream: &mut (impl Read + Write)) -> Reply {
        let content_type = self.content_type.as_ref().map(|kind| format!("Content-Type: {kind}"));
        let length = self.json_length.as_ref().map(|length| format!("Inference-Header-Content-Length: {length}"));
        let headers: Vec<&str> = content_type.iter().chain(&length).map(String::as_str).collect();
        ask(stream, "POST", self.path, &headers, &self.body)
    }

    /// Returns the content type without its parameters.
    pub(super) fn kind(&self) -> Option<String> {
        let kind = self.content_type.as_ref()?.split(';').next().unwrap_or_default();
        Some(kind.trim().to_ascii_lowercase())
    }
}

/// The path of the Open Inference Protocol.
pub(super) const INFER: &str = "/v2/models/numbers/infer";
