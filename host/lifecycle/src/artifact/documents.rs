//! The JSON documents that stages make and that no other crate defines.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stagewright_evaluation::difference::MetricDifference;
use stagewright_evaluation::gates::{GateResult, Verdict};
use stagewright_evaluation::report::Reason;

/// The decision on a candidate. The registry records it as a verdict.
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
    /// The number of rows in no segment, because their value is null.
    pub(crate) rows_without_value: u64,
    /// The segments, in the order of their values.
    pub(crate) segments: Vec<Segment>,
}

/// A segment: the rows that share one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Segment {
    /// The name of the segment, and of its child run.
    pub(crate) name: String,
    /// The value; null for the segment of rows without a value.
    pub(crate) value: Value,
    /// The number of rows.
    pub(crate) rows: u64,
}
