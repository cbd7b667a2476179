//! Spans of a run, for whoever subscribes to [`TARGET`]: one for the run, one for each step, and
//! within a step one for each part that costs.
//!
//! Their attributes are names that the manifest gives, digests, counts and the kind of a fault. No
//! value of a row, no text of a stage, no message of an error and no address of a source is among
//! them: spans may leave the machine. Without a subscriber a span is a comparison of one number.

use tracing::Span;
use tracing::field::Empty;

/// The target of every span, by which a subscriber tells them from log lines.
pub const TARGET: &str = "stagewright::spans";

/// The longest attribute, in letters. Names of components and models may be long.
const LONGEST: usize = 256;

/// A part of what is done in the span of this moment, or nothing outside of one.
pub fn part(name: &'static str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, "part", otel.name = name, stagewright.step = Empty, stagewright.component = Empty)
}

/// The start of an instance of this component, or nothing outside of a span.
pub fn start(component: &str) -> Span {
    let span = part("start");
    span.record("stagewright.component", brief(component));
    span
}

pub(crate) fn brief(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_cut_between_letters() {
        assert_eq!(brief("a name"), "a name");
        let long = "ä".repeat(LONGEST + 1);
        assert_eq!(brief(&long), "ä".repeat(LONGEST));
    }

    #[test]
    fn outside_of_a_span_no_part_begins_a_trace_of_its_own() {
        assert!(part("inputs").is_none() && start("a component").is_none());
    }
}
