//! Joins: by equal keys, and by equal keys with the latest earlier row.

use std::collections::BTreeSet;

use polars::prelude::*;
use stagewright_kit::{Failure, info, warn};

use crate::frame::{Facts, Frame, TIME, Told, col, failed, sorted};
use crate::leaks;
use crate::parameters::{AsOf, Duplicates, How, Join, Until};
use crate::rows::repeated;
use crate::spans;

/// Marks rows for which the other table has one. No column of a table has this name, since a
/// control character is in it.
const FOUND: &str = "\u{1}found";

/// The row of the table that a step works on.
const ROW: &str = "\u{1}row";

/// The time of the other table's row.
const TIME_OF_OTHER: &str = "\u{1}time";

/// The counts of a join, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The rows of the table before.
    pub rows: usize,
    /// The rows for which the other table has none.
    pub unmatched: usize,
    /// The keys that the other table has more than once.
    pub repeated_keys: usize,
    /// The rows of the table after.
    pub rows_after: usize,
}

/// Adds the columns of another table, by equal keys.
pub(crate) fn join(table: Frame, other: Frame, join: &Join, at: &str) -> Result<(Frame, Joined), Failure> {
    check_keys(&table, &other, &join.on, &format!("{at}.on"))?;
    let later = tells_of_later_rows(&table, &other, join);
    let told = Told { target: false, all_time: later };
    let adding = Adding { keys: &join.on, not_added: &[], prefix: &join.prefix, told };
    let added = added_columns(&table, &other, join.columns.as_deref(), &adding, at)?;
    let keys: Vec<Expr> = join.on.iter().map(|key| col(key.as_str())).collect();
    let repeated_keys = check_duplicates(&other, join, at)?;

    let mut chosen = keys.clone();
    chosen.extend(added.iter().map(|column| col(column.theirs.as_str()).alias(column.name.as_str())));
    chosen.push(lit(true).alias(FOUND));
    // Rows of one key in an order of their own, so that those of the input makes no difference.
    let names = added.iter().map(|column| column.theirs.as_str());
    let ordered = if repeated_keys == 0 { other.data.clone() } else { sorted(&other.data, names, false)? };
    let their_rows = ordered.lazy().select(chosen);
    let mut arguments = JoinArgs::new(match join.how {
        How::Left => JoinType::Left,
        How::Inner => JoinType::Inner,
    });
    arguments.maintain_order = MaintainOrderJoin::LeftRight;
    let rows = table.data.height();
    let joined = table.data.clone().lazy().join(their_rows, keys.clone(), keys, arguments);
    let mut data = joined.collect().map_err(failed)?;
    let unmatched = match join.how {
        How::Left => data.column(FOUND).map_err(failed)?.null_count(),
        How::Inner => rows - matched_rows(&table, &other, join)?,
    };
    tell_unmatched(at, rows, unmatched, &join.with, if join.how == How::Left { "columns are null" } else { "they go" });
    data.drop_in_place(FOUND).map_err(failed)?;
    let joined = Joined { rows, unmatched, repeated_keys, rows_after: data.height() };
    let told = other.told_by_rows();
    let mut made = with_facts(table, data, added, join.how == How::Left);
    // A row is there as often as the other table has its key.
    made.rows_of_target |= told.target;
    made.rows_of_all_time |= told.all_time || later;
    Ok((made, joined))
}

/// Returns whether the other table's rows may be later than those that they are joined to: both
/// have times, which are not compared.
fn tells_of_later_rows(table: &Frame, other: &Frame, join: &Join) -> bool {
    let is_time = |key: &String| matches!(table.type_of(key, ""), Ok(found) if found == TIME);
    !join.timeless && table.has_time() && other.has_time() && !join.on.iter().any(is_time)
}

/// Returns the number of rows whose key the other table has.
fn matched_rows(table: &Frame, other: &Frame, join: &Join) -> Result<usize, Failure> {
    let keys: Vec<Expr> = join.on.iter().map(|key| col(key.as_str())).collect();
    let chosen = |frame: &Frame| frame.data.clone().lazy().select(keys.clone());
    let theirs = chosen(other).unique(None, UniqueKeepStrategy::Any);
    let arguments = JoinArgs::new(JoinType::Inner);
    Ok(chosen(table).join(theirs, keys.clone(), keys.clone(), arguments).collect().map_err(failed)?.height())
}

/// Logs the rows that found no other one, as a warning if there are any.
fn tell_unmatched(at: &str, rows: usize, unmatched: usize, with: &str, then: &str) {
    if unmatched == 0 {
        info!("{at}: all of {rows} rows have a row in `{with}`");
    } else {
        warn!("{at}: {unmatched} of {rows} rows have no row in `{with}`: {then}");
    }
}

/// Adds the columns of the latest earlier row of another table, by equal keys.
pub(crate) fn as_of(table: Frame, other: Frame, join: &AsOf, at: &str) -> Result<(Frame, Joined), Failure> {
    let their_time = join.with_time.as_ref().unwrap_or(&join.time);
    check_keys(&table, &other, &join.by, &format!("{at}.by"))?;
    table.check_time(&join.time, &format!("{at}.time"))?;
    other.check_time(their_time, &format!("{at}.with_time"))?;
    let tolerance = join.tolerance.as_deref().map(|text| spans::parse(text, &format!("{at}.tolerance"))).transpose()?;
    if let Some(key) = join.by.iter().find(|key| matches!(table.type_of(key, at), Ok(DataType::Boolean))) {
        return Err(Failure::parameter(format!("{at}.by"), format!("the key `{key}` is a boolean")));
    }
    let not_added = std::slice::from_ref(their_time);
    let told = table.told_by([&join.time]).and(other.told_by([their_time]));
    let adding = Adding { keys: &join.by, not_added, prefix: &join.prefix, told };
    let added = added_columns(&table, &other, join.columns.as_deref(), &adding, at)?;
    if join.until == Until::Now && table.has_target() && added.iter().any(|column| column.facts.of_target) {
        let message = "the row's own target may be among them; set `until = \"before\"`";
        return Err(Failure::parameter(format!("{at}.until"), message));
    }

    // Of several rows of one key and time, the last in the order of the added columns is used.
    let order = std::iter::once(their_time.as_str()).chain(added.iter().map(|column| column.theirs.as_str()));
    let mut chosen: Vec<Expr> = join.by.iter().map(|key| col(key.as_str())).collect();
    chosen.push(col(their_time.as_str()).alias(TIME_OF_OTHER));
    chosen.extend(added.iter().map(|column| col(column.theirs.as_str()).alias(column.name.as_str())));
    chosen.push(lit(true).alias(FOUND));
    let by_time = SortMultipleOptions::default().with_maintain_order(true);
    // A null equals nothing; polars would compare what is stored at it.
    let mut theirs = sorted(&other.data, order, false)?;
    if !join.by.is_empty() {
        theirs = theirs.drop_nulls(Some(&join.by)).map_err(failed)?;
    }
    let theirs = theirs.lazy().select(chosen);
    let ours = table.data.clone().lazy().with_row_index(ROW, None);
    let ours = ours.sort_by_exprs([col(join.time.as_str())], by_time);

    let names =
        (!join.by.is_empty()).then(|| join.by.iter().map(|name| name.as_str().into()).collect::<Vec<PlSmallStr>>());
    let options = AsOfOptions {
        strategy: AsofStrategy::Backward,
        tolerance: None,
        tolerance_str: tolerance.map(|span| format!("{}us", span.duration_us()).into()),
        left_by: names.clone(),
        right_by: names,
        allow_eq: join.until == Until::Now,
        check_sortedness: false,
    };
    let joined = ours
        .join_builder()
        .with(theirs)
        .left_on([col(join.time.as_str())])
        .right_on([col(TIME_OF_OTHER)])
        .how(JoinType::AsOf(Box::new(options)))
        .coalesce(JoinCoalesce::CoalesceColumns)
        .finish();
    let mut data = joined.sort([ROW], SortMultipleOptions::default()).collect().map_err(failed)?;
    let unmatched = data.column(FOUND).map_err(failed)?.null_count();
    let rows = data.height();
    tell_unmatched(at, rows, unmatched, &join.with, "none is earlier, and columns are null");
    for name in [ROW, FOUND, TIME_OF_OTHER] {
        // The time of the other row is not always there.
        if data.get_column_names_str().contains(&name) {
            data.drop_in_place(name).map_err(failed)?;
        }
    }
    // Of rows of the same time, one is used.
    let joined = Joined { rows, unmatched, repeated_keys: 0, rows_after: rows };
    Ok((with_facts(table, data, added, true), joined))
}

/// A column that is added.
struct Added {
    name: String,
    theirs: String,
    facts: Facts,
}

/// How columns are added.
struct Adding<'a> {
    /// The columns by which a row is found.
    keys: &'a [String],
    /// Columns that are not added unless they are named.
    not_added: &'a [String],
    prefix: &'a str,
    /// The knowledge that the search gives away, beside that of the keys.
    told: Told,
}

/// Returns the columns that another table adds.
///
/// # Errors
/// `parameter` if one does not exist, has a name that is there already, or tells too much.
fn added_columns(
    table: &Frame,
    other: &Frame,
    wanted: Option<&[String]>,
    adding: &Adding<'_>,
    at: &str,
) -> Result<Vec<Added>, Failure> {
    let Adding { keys, not_added, prefix, told } = *adding;
    let all = || {
        other.data.get_column_names_str().into_iter().filter(|name| keys.iter().chain(not_added).all(|not| not != name))
    };
    let wanted: Vec<String> = match wanted {
        Some(wanted) => wanted.to_vec(),
        None => all().map(str::to_owned).collect(),
    };
    let mut names: BTreeSet<String> = table.facts.keys().cloned().collect();
    // Which row is found tells what its keys do, and what chose the rows.
    let told = told.and(other.told_by_rows()).and(other.told_by(keys)).and(table.told_by(keys));
    let add = |theirs: String| {
        let mut facts = other.facts_of(&theirs, &format!("{at}.columns"))?;
        let name = format!("{prefix}{theirs}");
        if !names.insert(name.clone()) {
            let message = format!("there is a column `{name}` already; choose `columns`, or set `prefix`");
            return Err(Failure::parameter(at, message));
        }
        // Labels may come from a table of their own, once.
        let is_label = facts.of_target && !leaks::says_target(&theirs) && !table.has_target();
        facts = facts.also_told(told).made_in(table);
        if told.target || !is_label {
            leaks::check_target(&name, facts, at)?;
        }
        if is_label {
            // A label is what happened later.
            facts.of_all_time = false;
        }
        leaks::check_time(&name, facts, table, at)?;
        Ok(Added { name, theirs, facts })
    };
    let added = wanted.into_iter().map(add).collect::<Result<Vec<_>, _>>()?;
    let is_time = |column: &Added| other.data.column(&column.theirs).is_ok_and(|found| *found.dtype() == TIME);
    if added.iter().any(is_time)
        && let Some(name) = leaks::names_of_all_time(table).next()
    {
        let message = format!(
            "`{name}` is an aggregate over all times, and would be beside a time; call it `{}{name}` before this join",
            leaks::ALL_TIME
        );
        return Err(Failure::parameter(at, message));
    }
    Ok(added)
}

/// # Errors
/// `parameter` if a key is not in both tables, or has other types there.
pub(crate) fn check_keys(table: &Frame, other: &Frame, keys: &[String], at: &str) -> Result<(), Failure> {
    for key in keys {
        let (own, theirs) = (table.type_of(key, at)?, other.type_of(key, at)?);
        if own != theirs {
            let message = format!("the key `{key}` is {own} in one table and {theirs} in the other");
            return Err(Failure::parameter(at, message));
        }
    }
    Ok(())
}

/// Returns the number of keys that the other table has more than once.
///
/// # Errors
/// `data` if there are any, and the parameters refuse them.
fn check_duplicates(other: &Frame, join: &Join, at: &str) -> Result<usize, Failure> {
    // A null equals nothing, so it joins nothing twice.
    let keyed = other.data.drop_nulls(Some(&join.on)).map_err(failed)?;
    let twice = repeated(&keyed, join.on.iter().map(String::as_str))?;
    if twice.height() == 0 {
        return Ok(0);
    }
    let value = |name: &String| twice.column(name).ok()?.get(0).ok().map(|value| value.str_value().into_owned());
    let example: Vec<String> = join.on.iter().filter_map(value).collect();
    let message = format!("{at}: `{}` has {} keys more than once", join.with, twice.height());
    match join.duplicates {
        Duplicates::Report => {
            warn!("{message}, such as {}: the rows repeat", example.join(", "));
            Ok(twice.height())
        }
        Duplicates::Refuse => Err(Failure::data(message).in_column(&join.on[0]).with_value(example.join(", "))),
    }
}

fn with_facts(mut table: Frame, data: DataFrame, added: Vec<Added>, may_be_missing: bool) -> Frame {
    let mut facts = std::mem::take(&mut table.facts);
    for column in added {
        let found = if may_be_missing { column.facts.or_null() } else { column.facts };
        facts.insert(column.name, found);
    }
    Frame { data, facts, ..table }
}
