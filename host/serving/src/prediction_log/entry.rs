//! A request on its way to the log.

use std::sync::Arc;

use super::columns::Columns;
use super::request::{LoggedRequest, LoggedRows};

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
