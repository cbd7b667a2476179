//! Reports as JSON text.

use serde::Serialize;

/// A report as JSON text that ends with a line break.
pub(super) fn json(twin: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(twin).expect("reports have string keys and no failing parts");
    text.push('\n');
    stagewright_text::json(&text).into_owned()
}
