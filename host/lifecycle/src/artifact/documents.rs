//! The JSON documents that stages make and that no other crate defines.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::gates::{GateResult, Verdict};
use stagewright_evaluation::report::Reason;

/// The decision on a candidate: an artifact, and the verdict that the registry records.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    pub(crate) policy: String,
    pub(crate) judged_against: Option<u32>,
    pub(crate) difference: Option<MetricDifference>,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) gates: Vec<GateResult>,
}

/// The segments of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segments {
    /// The column.
    pub(crate) column: String,
    /// Rows that are in no segment, because they have no value.
    pub(crate) rows_without_value: u64,
    /// The segments, by their values.
    pub(crate) segments: Vec<Segment>,
}

/// The rows that have one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// The name of its child.
    pub(crate) name: String,
    /// The value; null where rows without one are a segment.
    pub(crate) value: Value,
    /// How many rows.
    pub(crate) rows: u64,
}
