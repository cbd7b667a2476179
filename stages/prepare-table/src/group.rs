//! Groups, and the functions over several rows.

use polars::prelude::*;
use stagewright_kit::Failure;

use crate::frame::{Facts, Frame, col, failed};
use crate::leaks;
use crate::parameters::{Aggregate, Function, Group};
use crate::rows::check_keys;

/// Constant keys. With fewer than three keys, polars groups in its streaming engine, which is not
/// part of this component.
const PADDING: [&str; 2] = ["\u{1}first", "\u{1}second"];

/// Makes one row for each distinct key, in the order of keys. A null is a key too.
pub(crate) fn group(table: Frame, group: &Group, at: &str) -> Result<Frame, Failure> {
    check_keys(&table, &group.by, at)?;
    if let Some(time) = &group.time {
        table.check_time(time, &format!("{at}.time"))?;
    }
    let told = table.told_by_rows().and(table.told_by(group.by.iter().chain(&group.time)));
    let mut made = Vec::new();
    let mut facts: std::collections::BTreeMap<String, Facts> =
        group.by.iter().filter_map(|key| Some((key.clone(), *table.facts.get(key)?))).collect();
    for (name, aggregate) in &group.columns {
        let at = format!("{at}.columns.{name}");
        let of = check(&table, aggregate, &at)?.also_told(told);
        leaks::check_target(name, of, &at)?;
        if facts.insert(name.clone(), Facts { of_all_time: true, ..result(aggregate.aggregate, of, false) }).is_some() {
            return Err(Failure::parameter(at, "the key has this name"));
        }
        made.push(value(aggregate, group.time.as_deref(), &at)?.alias(name.as_str()));
    }
    let padding = PADDING.map(|name| lit(0i64).alias(name));
    let keys: Vec<Expr> = group.by.iter().map(String::as_str).chain(PADDING).map(col).collect();
    let order: Vec<Expr> = group.by.iter().map(|key| col(key.as_str())).collect();
    let rows = table.data.lazy().with_columns(padding);
    let grouped =
        rows.group_by(keys).agg(made).drop(by_name(PADDING, true)).sort_by_exprs(order, SortMultipleOptions::default());
    let (rows_of_target, rows_of_all_time) = (table.rows_of_target, table.rows_of_all_time);
    Ok(Frame { data: grouped.collect().map_err(failed)?, facts, rows_of_target, rows_of_all_time })
}

/// Returns the facts of the column that is aggregated.
///
/// # Errors
/// `parameter` if there is none, or the function cannot be applied to it.
pub(crate) fn check(table: &Frame, aggregate: &Aggregate, at: &str) -> Result<Facts, Failure> {
    let Some(of) = &aggregate.of else {
        return match aggregate.aggregate {
            Function::Count => Ok(Facts::default()),
            _ => Err(Failure::parameter(format!("{at}.of"), "only a count needs no column")),
        };
    };
    let data_type = table.type_of(of, &format!("{at}.of"))?;
    let is_number = matches!(data_type, DataType::Int64 | DataType::Float64);
    if matches!(aggregate.aggregate, Function::Sum | Function::Mean | Function::Std) && !is_number {
        return Err(Failure::parameter(format!("{at}.of"), format!("`{of}` is no number")));
    }
    if aggregate.aggregate == Function::Sum {
        table.check_sums(of)?;
    }
    table.facts_of(of, at)
}

/// Returns the facts of an aggregate. `may_be_empty` is true if there may be no row at all.
pub(crate) fn result(function: Function, of: Facts, may_be_empty: bool) -> Facts {
    let keeps_text = matches!(function, Function::Min | Function::Max | Function::First | Function::Last);
    let nullable = match function {
        Function::Count | Function::Distinct | Function::Sum => false,
        Function::Std => true,
        _ => of.nullable || may_be_empty,
    };
    Facts { nullable, categorical: keeps_text && of.categorical, ..of }
}

/// Returns the value of a function over the rows of a group. Sums are made in the order of values,
/// so that the order of rows makes no difference.
pub(crate) fn value(aggregate: &Aggregate, time: Option<&str>, at: &str) -> Result<Expr, Failure> {
    let Some(of) = &aggregate.of else { return Ok(len().cast(DataType::Int64)) };
    let column = || col(of.as_str());
    let ordered = || column().sort(SortOptions::default());
    let by_time = || {
        let time = time.ok_or_else(|| Failure::parameter(at, "`first` and `last` need `time`"))?;
        let order = SortMultipleOptions::default();
        Ok::<_, Failure>(
            column()
                .filter(column().is_not_null())
                .sort_by([col(time).filter(column().is_not_null()), column().filter(column().is_not_null())], order),
        )
    };
    Ok(match aggregate.aggregate {
        Function::Count => column().count().cast(DataType::Int64),
        Function::Distinct => column().drop_nulls().n_unique().cast(DataType::Int64),
        Function::Sum => ordered().sum(),
        Function::Mean => ordered().mean(),
        Function::Std => ordered().std(1),
        Function::Min => column().min(),
        Function::Max => column().max(),
        Function::First => by_time()?.first(),
        Function::Last => by_time()?.last(),
    })
}
