//! Leaks: features that know the answer, or what came after their row.
//!
//! The rules are about columns, whatever operation made them. A column may break one only if its
//! name says so, and whoever reads the manifest or the report sees it.

use stagewright_kit::Failure;

use crate::frame::{Facts, Frame};

/// Begins the names of columns that are computed from the target.
pub(crate) const TARGET: &str = "target_";

/// Begins the names of aggregates over all times, where rows have a time.
pub(crate) const ALL_TIME: &str = "all_time_";

/// # Errors
/// `parameter` if a new column is computed from the target and its name does not say so.
pub(crate) fn check_target(name: &str, facts: Facts, at: &str) -> Result<(), Failure> {
    if facts.of_target && !name.starts_with(TARGET) {
        let message = format!(
            "`{name}` would be computed from the target, which models do not know when they predict; \
             call it `{TARGET}{name}` if that is meant"
        );
        return Err(Failure::parameter(at, message));
    }
    Ok(())
}

/// # Errors
/// `parameter` if a new column of rows that have a time is an aggregate over all times, later ones
/// included, and its name does not say so.
pub(crate) fn check_time(name: &str, facts: Facts, to: &Frame, at: &str) -> Result<(), Failure> {
    if facts.of_all_time && to.has_time() && !name.starts_with(ALL_TIME) {
        let message = format!(
            "`{name}` is an aggregate over all times, and would tell a row what came after it; use `window`, or call \
             it `{ALL_TIME}{name}` if that is meant"
        );
        return Err(Failure::parameter(at, message));
    }
    Ok(())
}

/// Returns the aggregates over all times whose names do not say so.
pub(crate) fn names_of_all_time(frame: &Frame) -> impl Iterator<Item = &str> {
    let unsaid = |(name, facts): &(&String, &Facts)| facts.of_all_time && !name.starts_with(ALL_TIME);
    frame.facts.iter().filter(unsaid).map(|(name, _)| name.as_str())
}
