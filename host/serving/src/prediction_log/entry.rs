//! A request on its way to the log.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow_array::RecordBatch;

use stagewright_data::DecodedRequest;

use super::columns::Columns;

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

/// A request with the columns of the version that it was for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) columns: Arc<Columns>,
    pub(super) request: LoggedRequest,
    /// The bytes of memory that it takes.
    pub(super) bytes: usize,
}

impl Entry {
    pub(super) fn new(columns: Arc<Columns>, mut request: LoggedRequest) -> Self {
        request.rows = request.rows.filter(|rows| rows.batch.num_rows() > 0);
        let of_rows = |rows: &Arc<LoggedRows>| {
            let texts = rows.kept.iter().flatten().flatten();
            let kept: usize = texts.map(|text| text.len() + size_of::<Box<str>>()).sum();
            rows.batch.get_array_memory_size() + kept + size_of_val(rows.values.as_slice())
        };
        let bytes = size_of::<Self>() + request.request_id.len() + request.rows.as_ref().map_or(0, of_rows);
        Self { columns, request, bytes }
    }

    /// Returns the number of its rows in the log. A request without rows has one.
    pub(super) fn rows(&self) -> usize {
        self.request.rows.as_ref().map_or(1, |rows| rows.batch.num_rows())
    }
}
