//! Leaks: features that know the answer, or what came after their row.
//!
//! The rules are about columns, whatever operation made them. A column may break one only if its
//! name says so, and whoever reads the manifest or the report sees it.

use std::collections::BTreeMap;

use stagewright_kit::{Failure, Role, Table};

use crate::frame::{Facts, Frame};

/// Begins the names of columns that are computed from the target.
const TARGET: &str = "target_";

/// Begins the names of what is computed from rows of all times, where rows have a time.
pub(crate) const ALL_TIME: &str = "all_time_";

/// Returns whether a name says that the column is computed from the target.
pub(crate) fn says_target(name: &str) -> bool {
    name.starts_with(TARGET) || name.strip_prefix(ALL_TIME).is_some_and(|rest| rest.starts_with(TARGET))
}

/// Returns whether a name says that the column is computed from rows of all times.
pub(crate) fn says_all_time(name: &str) -> bool {
    name.starts_with(ALL_TIME) || name.strip_prefix(TARGET).is_some_and(|rest| rest.starts_with(ALL_TIME))
}

/// # Errors
/// `parameter` if a new column tells too much of the target or of later rows, and its name does not
/// say so. `to` is the table that gets the column.
pub(crate) fn check(name: &str, facts: Facts, to: &Frame, at: &str) -> Result<(), Failure> {
    check_target(name, facts, at)?;
    check_time(name, facts, to, at)
}

/// # Errors
/// `parameter` if a new column is computed from the target and its name does not say so.
pub(crate) fn check_target(name: &str, facts: Facts, at: &str) -> Result<(), Failure> {
    if facts.of_target && !says_target(name) {
        let message = format!(
            "`{name}` would be computed from the target, which models do not know when they predict; \
             call it `{TARGET}{name}` if that is meant"
        );
        return Err(Failure::parameter(at, message));
    }
    Ok(())
}

/// # Errors
/// `parameter` if a new column of rows that have a time is computed from rows of all times, later
/// ones included, and its name does not say so.
pub(crate) fn check_time(name: &str, facts: Facts, to: &Frame, at: &str) -> Result<(), Failure> {
    if facts.of_all_time && to.has_time() && !says_all_time(name) {
        let message = format!(
            "`{name}` would be computed over all times, and tell a row what came after it; use `window` or `as_of`, \
             or call it `{ALL_TIME}{name}` if that is meant"
        );
        return Err(Failure::parameter(at, message));
    }
    Ok(())
}

/// Returns the columns over all times whose names do not say so.
pub(crate) fn names_of_all_time(frame: &Frame) -> impl Iterator<Item = &str> {
    let unsaid = |(name, facts): &(&String, &Facts)| facts.of_all_time && !says_all_time(name);
    frame.facts.iter().filter(unsaid).map(|(name, _)| name.as_str())
}

/// Compares the result with the role that the host gave the target. `facts` are of the columns of
/// the result.
///
/// # Errors
/// `parameter` if models learn from the table, and its target is made of columns that nobody called
/// the target, or another column is the target too.
pub(crate) fn check_result(result: &dyn Table, facts: &BTreeMap<String, Facts>) -> Result<(), Failure> {
    let Some(target) = result.column_with(Role::Target) else { return Ok(()) };
    let fields = result.fields();
    let of_target = |name: &str| facts.get(name).is_some_and(|facts| facts.of_target);
    for (index, field) in fields.iter().enumerate() {
        let name = &field.name;
        let message = match index == target as usize {
            true if !of_target(name) => format!(
                "`{name}` is what models predict, and no input has a column of this name; name the column that it is \
                 made of"
            ),
            false if of_target(name) && !says_target(name) => format!(
                "`{name}` is the target beside `{}`; drop it, or call it `{TARGET}{name}` if that is meant",
                fields.get(target as usize).map_or("", |field| &field.name)
            ),
            _ => continue,
        };
        return Err(Failure::parameter(if index == target as usize { "target" } else { "steps" }, message));
    }
    Ok(())
}
