//! Aggregates over the time before a row, and values of earlier rows.

use polars::prelude::*;
use stagewright_kit::Failure;

use crate::frame::{Frame, col, failed, sorted};
use crate::group;
use crate::joins;
use crate::leaks;
use crate::parameters::{Function, Lag, Until, Window};
use crate::rows;
use crate::spans;

/// The row of the table that a step works on; null in rows of the other table.
const ROW: &str = "\u{1}row";

/// The time by which windows are made.
const TIME: &str = "\u{1}time";

/// Stands for the key where there is none.
const EVERYTHING: &str = "\u{1}everything";

/// Adds aggregates of the rows in a span of time that ends at the row's own time.
///
/// The rows of both tables are put in one order of time. The rows of the table that gets the
/// aggregates have nulls for the values, which aggregates leave out.
pub(crate) fn window(table: Frame, from: Frame, window: &Window, at: &str) -> Result<Frame, Failure> {
    let their_time = window.from_time.as_ref().unwrap_or(&window.time);
    joins::check_keys(&table, &from, &window.by, &format!("{at}.by"))?;
    table.check_time(&window.time, &format!("{at}.time"))?;
    from.check_time(their_time, &format!("{at}.from_time"))?;
    let period = spans::parse(&window.length, &format!("{at}.length"))?;
    let found_by = |time| window.by.iter().chain([time]);
    let told = from.told_by_rows().and(from.told_by(found_by(their_time))).and(table.told_by(found_by(&window.time)));
    let mut facts = table.facts.clone();
    let (mut sources, mut made) = (Vec::new(), Vec::new());
    for (index, (name, aggregate)) in window.columns.iter().enumerate() {
        let at = format!("{at}.columns.{name}");
        let of = group::check(&from, aggregate, &at)?.also_told(told).made_in(&table);
        leaks::check(name, of, &table, &at)?;
        if of.of_target && window.until == Until::Now {
            let message = "the row's own target may be in the window; set `until = \"before\"`";
            return Err(Failure::parameter(at, message));
        }
        if facts.insert(name.clone(), group::result(aggregate.aggregate, of, true)).is_some() {
            return Err(Failure::parameter(at, "there is a column of this name already"));
        }
        let source = format!("\u{1}value{index}");
        let value = aggregate.of.as_ref().map_or_else(|| lit(1i64), |of| col(of.as_str()));
        sources.push((source.clone(), value));
        made.push(aggregate_of(&source, aggregate.aggregate).alias(name.as_str()));
    }

    let keys = || window.by.iter().map(|key| col(key.as_str())).chain([lit(0i64).alias(EVERYTHING)]);
    let ours: Vec<Expr> = keys().chain([col(window.time.as_str()).alias(TIME), col(ROW)]).collect();
    let ours = table.data.clone().lazy().with_row_index(ROW, None).select(ours);
    let values = sources.iter().map(|(name, value)| value.clone().alias(name.as_str()));
    let theirs: Vec<Expr> = keys().chain([col(their_time.as_str()).alias(TIME)]).chain(values).collect();
    let theirs = from.data.lazy().select(theirs);

    let union = UnionArgs { to_supertypes: false, ..UnionArgs::default() };
    let all = concat_lf_diagonal([theirs, ours], union).map_err(failed)?;
    // The order of values makes sums independent of the order of rows. Equal rows keep their order:
    // those of the other table are first.
    let groups: Vec<String> = window.by.iter().cloned().chain([EVERYTHING.to_owned()]).collect();
    let order = window.by.iter().map(String::as_str).chain([TIME]);
    let order: Vec<&str> = order.chain(sources.iter().map(|(name, _)| name.as_str())).collect();
    let mut all = all.collect().map_err(failed)?;
    all.rechunk_mut();
    let all = sorted(&all, order.into_iter(), false)?;

    let options = RollingGroupOptions {
        index_column: TIME.into(),
        period,
        offset: -period,
        closed_window: match window.until {
            Until::Now => ClosedWindow::Right,
            Until::Before => ClosedWindow::Left,
        },
    };
    let by: Vec<Expr> = groups.iter().map(|name| col(name.as_str())).collect();
    // One row comes for each row that goes in. The groups are in an order of their own, and the
    // rows of a group in that of time.
    let rolled = all.clone().lazy().rolling(col(TIME), by, options).agg(made).collect().map_err(failed)?;
    let rolled = sorted(&rolled, window.by.iter().map(String::as_str), false)?;
    for name in groups.iter().map(String::as_str).chain([TIME]) {
        let (own, theirs) = (all.column(name).map_err(failed)?, rolled.column(name).map_err(failed)?);
        if !own.equals_missing(theirs) {
            return Err(Failure::internal("the rows of windows are in another order"));
        }
    }
    let names: Vec<&str> = window.columns.keys().map(String::as_str).collect();
    let mut results = rolled.select(names).map_err(failed)?;
    results.with_column(all.column(ROW).map_err(failed)?.clone()).map_err(failed)?;
    let mut results = results
        .lazy()
        .filter(col(ROW).is_not_null())
        .sort([ROW], SortMultipleOptions::default())
        .collect()
        .map_err(failed)?;
    results.drop_in_place(ROW).map_err(failed)?;
    let data = table.data.hstack(results.get_columns()).map_err(failed)?;
    Ok(Frame { data, facts, ..table })
}

/// Returns the value of a function over the rows of a window.
fn aggregate_of(source: &str, function: Function) -> Expr {
    let column = || col(source);
    // Each window is summed by itself. polars would add and subtract at its ends, and what has left
    // a window would still show in the last digits.
    let known = || column().filter(column().is_not_null());
    match function {
        Function::Count => column().count().cast(DataType::Int64),
        Function::Distinct => column().drop_nulls().n_unique().cast(DataType::Int64),
        Function::Sum => known().sum(),
        Function::Mean => known().mean(),
        Function::Std => known().std(1),
        Function::Min => column().min(),
        Function::Max => column().max(),
        Function::First => column().drop_nulls().first(),
        Function::Last => column().drop_nulls().last(),
    }
}

/// Adds values of an earlier row of the same key.
pub(crate) fn lag(mut table: Frame, lag: &Lag, at: &str) -> Result<Frame, Failure> {
    rows::check_keys(&table, &lag.by, at)?;
    table.check_time(&lag.time, &format!("{at}.time"))?;
    rows::check_times_differ(&table, &lag.by, &lag.time, at)?;
    let told = table.told_by_rows().and(table.told_by(lag.by.iter().chain([&lag.time])));
    let mut made = Vec::new();
    let mut facts = table.facts.clone();
    for (name, of) in &lag.columns {
        let at = format!("{at}.columns.{name}");
        let own = table.facts_of(of, &at)?.also_told(told).made_in(&table);
        leaks::check(name, own, &table, &at)?;
        if facts.insert(name.clone(), own.or_null()).is_some() {
            return Err(Failure::parameter(at, "there is a column of this name already"));
        }
        made.push(col(of.as_str()).shift(lit(i64::from(lag.rows))).over(keys_or_one(&lag.by)).alias(name.as_str()));
    }
    let order: Vec<Expr> = lag.by.iter().map(String::as_str).chain([lag.time.as_str()]).map(col).collect();
    let rows = table.data.lazy().with_row_index(ROW, None).sort_by_exprs(order, SortMultipleOptions::default());
    let shifted = rows.with_columns(made).sort([ROW], SortMultipleOptions::default());
    let mut data = shifted.collect().map_err(failed)?;
    data.drop_in_place(ROW).map_err(failed)?;
    table.data = data;
    Ok(Frame { facts, ..table })
}

fn keys_or_one(keys: &[String]) -> Vec<Expr> {
    if keys.is_empty() { vec![lit(0i64)] } else { keys.iter().map(|key| col(key.as_str())).collect() }
}
