//! Operations that choose, order or append whole rows and columns.

use std::collections::BTreeSet;

use polars::prelude::*;
use stagewright_kit::Failure;

use crate::frame::{Frame, col, failed, sorted};
use crate::leaks;
use crate::parameters::{Drop, Latest, Rename, Select, Sort};

/// Keeps columns, in the given order.
pub(crate) fn select(table: Frame, select: &Select, at: &str) -> Result<Frame, Failure> {
    let at = format!("{at}.columns");
    let mut names = BTreeSet::new();
    for column in &select.columns {
        table.facts_of(column, &at)?;
        if !names.insert(column) {
            return Err(Failure::parameter(at, format!("`{column}` is there twice")));
        }
    }
    let data = table.data.select(select.columns.iter().map(String::as_str)).map_err(failed)?;
    let mut facts = table.facts;
    facts.retain(|name, _| names.contains(name));
    Ok(Frame { data, facts, ..table })
}

/// Removes columns.
pub(crate) fn drop(table: Frame, drop: &Drop, at: &str) -> Result<Frame, Failure> {
    let at = format!("{at}.columns");
    for column in &drop.columns {
        table.facts_of(column, &at)?;
    }
    let data = table.data.drop_many(drop.columns.iter().map(String::as_str));
    if data.width() == 0 {
        return Err(Failure::parameter(at, "no column would be left"));
    }
    let mut facts = table.facts;
    drop.columns.iter().for_each(|column| {
        facts.remove(column);
    });
    Ok(Frame { data, facts, ..table })
}

/// Gives columns other names.
pub(crate) fn rename(mut table: Frame, rename: &Rename, at: &str) -> Result<Frame, Failure> {
    let at = format!("{at}.columns");
    for (old, new) in &rename.columns {
        let facts = table.facts_of(old, &at)?;
        // A name that says something goes on to say it. The target itself may have any name.
        if leaks::says_target(old) {
            leaks::check_target(new, facts, &at)?;
        }
        if leaks::says_all_time(old) {
            leaks::check_time(new, facts, &table, &at)?;
        }
    }
    // Names that are exchanged in some rows tell which rows these are.
    let renamed = rename.columns.keys().map(|old| (old.clone(), table.facts_of(old, &at)));
    for (old, facts) in renamed.collect::<Vec<_>>() {
        let facts = facts?.made_in(&table);
        table.facts.insert(old, facts);
    }
    let new_name = |old: &str| rename.columns.get(old).map_or(old, String::as_str).to_owned();
    let names: Vec<String> = table.data.get_column_names_str().into_iter().map(new_name).collect();
    let mut distinct = BTreeSet::new();
    if let Some(twice) = names.iter().find(|name| !distinct.insert(*name)) {
        return Err(Failure::parameter(at, format!("two columns would be called `{twice}`")));
    }
    table.facts = table.facts.into_iter().map(|(old, facts)| (new_name(&old), facts)).collect();
    table.data.set_column_names(names).map_err(failed)?;
    Ok(table)
}

/// Appends the rows of other tables.
pub(crate) fn union(mut table: Frame, others: Vec<Frame>, at: &str) -> Result<Frame, Failure> {
    let at = format!("{at}.with");
    for other in others {
        let names: Vec<&str> = table.data.get_column_names_str();
        let same = other.data.width() == names.len() && names.iter().all(|name| other.facts.contains_key(*name));
        if !same {
            let theirs = other.data.get_column_names_str().join("`, `");
            let message = format!("the tables have other columns: `{}` and `{theirs}`", names.join("`, `"));
            return Err(Failure::parameter(at, message));
        }
        for name in &names {
            let (own, theirs) = (table.type_of(name, &at)?, other.type_of(name, &at)?);
            if own != theirs {
                let message = format!("`{name}` is {own} in one table and {theirs} in another");
                return Err(Failure::parameter(at, message));
            }
        }
        let rows = other.data.select(names.iter().copied()).map_err(failed)?;
        table.rows_of_target |= other.rows_of_target;
        table.rows_of_all_time |= other.rows_of_all_time;
        for (name, facts) in &mut table.facts {
            *facts = other.facts.get(name).map_or(*facts, |theirs| facts.and(*theirs));
            // What was computed in rows that the target chose tells in other rows that it was not.
            if facts.of_chosen_rows {
                facts.of_target = true;
                leaks::check_target(name, *facts, &at)?;
            }
        }
        table.data.vstack_mut(&rows).map_err(failed)?;
    }
    Ok(table)
}

/// Orders rows. Rows that are equal keep their order.
pub(crate) fn sort(mut table: Frame, sort: &Sort, at: &str) -> Result<Frame, Failure> {
    for column in &sort.by {
        table.facts_of(column, &format!("{at}.by"))?;
    }
    table.data = sorted(&table.data, sort.by.iter().map(String::as_str), sort.descending)?;
    Ok(table)
}

/// Keeps the latest row of each key. The rows keep their order.
pub(crate) fn latest(mut table: Frame, latest: &Latest, at: &str) -> Result<Frame, Failure> {
    check_keys(&table, &latest.by, at)?;
    table.check_time(&latest.time, &format!("{at}.time"))?;
    check_times_differ(&table, &latest.by, &latest.time, at)?;
    let keys: Vec<Expr> = latest.by.iter().map(|name| col(name.as_str())).collect();
    let is_latest = col(latest.time.as_str()).eq(col(latest.time.as_str()).max().over(keys));
    table.rows_of_target |= table.told_by(latest.by.iter().chain([&latest.time])).target;
    // Whether a row is the latest depends on those after it.
    table.rows_of_all_time = true;
    table.data = table.data.lazy().filter(is_latest).collect().map_err(failed)?;
    Ok(table)
}

/// # Errors
/// `parameter` if a key does not exist.
pub(crate) fn check_keys(table: &Frame, keys: &[String], at: &str) -> Result<(), Failure> {
    keys.iter().try_for_each(|key| table.facts_of(key, &format!("{at}.by")).map(|_| ()))
}

/// # Errors
/// `data` if two rows of a key have the same time, so that none is the later one.
pub(crate) fn check_times_differ(table: &Frame, keys: &[String], time: &str, at: &str) -> Result<(), Failure> {
    let twice = repeated(&table.data, keys.iter().map(String::as_str).chain([time]))?;
    if twice.height() == 0 {
        return Ok(());
    }
    let message = format!(
        "{at}: {} keys have rows of the same time, so that none of them is the earlier one; keep one of them first",
        twice.height()
    );
    Err(Failure::data(message).in_column(time))
}

/// Returns the values of columns that more than one row has, once each, in order.
pub(crate) fn repeated<'a>(data: &DataFrame, columns: impl Iterator<Item = &'a str>) -> Result<DataFrame, Failure> {
    let names: Vec<&str> = columns.collect();
    let values = data.select(names.iter().copied()).map_err(failed)?;
    let repeated = values.filter(&values.is_duplicated().map_err(failed)?).map_err(failed)?;
    let once = repeated.unique_stable(None, UniqueKeepStrategy::First, None).map_err(failed)?;
    sorted(&once, names.into_iter(), false)
}
