//! The facts about a request that are logged.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow_array::RecordBatch;
use stagewright_data::DecodedRequest;

/// The rows of a request, and what was predicted for them. The rows are those that the model got,
/// by reference.
#[derive(Debug, Clone)]
pub struct LoggedRows {
    /// The features.
    pub batch: RecordBatch,
    /// The values of other columns that are kept, in the order of the request's options.
    pub kept: Vec<Vec<Option<Box<str>>>>,
    /// The predicted values, as many for each row as the task has; none if the request failed.
    pub values: Vec<f64>,
}

impl LoggedRows {
    /// Returns the rows of a request that is not predicted yet.
    pub(crate) fn of(request: &DecodedRequest) -> Self {
        Self { batch: request.batch.clone(), kept: request.kept.clone(), values: Vec::new() }
    }

    /// Returns the rows with their predicted values.
    pub(crate) fn with_values(self, values: &[f64]) -> Self {
        Self { values: values.to_vec(), ..self }
    }
}

/// A request that was answered.
#[derive(Debug)]
pub(crate) struct LoggedRequest {
    pub(crate) request_id: String,
    pub(crate) client_request_id: Option<String>,
    /// The time of its arrival.
    pub(crate) at: SystemTime,
    pub(crate) arm: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) latency: Duration,
    pub(crate) error: Option<&'static str>,
    /// `None` if the request was not decoded.
    pub(crate) rows: Option<Arc<LoggedRows>>,
}
