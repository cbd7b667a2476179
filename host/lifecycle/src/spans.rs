//! Tracing spans for whoever subscribes to [`TARGET`]: one for a run, one for each step, and one
//! for each costly part of a step.
//!
//! Attributes are names from the manifest, digests, counts and kinds of faults. Spans may leave the
//! machine, so they hold no value of a row, no text of a component, no error message and no address
//! of a source. Without a subscriber, a span costs one comparison.

use tracing::Span;
use tracing::field::Empty;

/// The target of every span. A subscriber tells spans from log lines by it.
pub const TARGET: &str = "stagewright::spans";

/// The longest attribute, in characters. Names of components and models may be longer.
const LONGEST: usize = 256;

/// Returns a span for a part of the current span's work; a disabled span if there is no current
/// span.
pub fn part(name: &'static str) -> Span {
    if Span::current().is_none() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, "part", otel.name = name, stagewright.step = Empty, stagewright.component = Empty)
}

/// Returns a span for the start of an instance of `component`; a disabled span if there is no
/// current span.
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
