//! Reports as JSON text.

use serde::Serialize;

/// Returns a report as JSON text that ends with a line break.
pub(super) fn json(report: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(report).expect("reports have string keys and no failing parts");
    text.push('\n');
    stagewright_text::json(&text).into_owned()
}
