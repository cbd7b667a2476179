//! Filters: conditions on columns.

use polars::prelude::*;
use stagewright_kit::Failure;

use crate::frame::{Frame, TIME, col, failed};
use crate::parameters::{Condition, Filter, Literal};

/// Keeps the rows for which all conditions hold.
pub(crate) fn filter(mut table: Frame, filter: &Filter, at: &str) -> Result<Frame, Failure> {
    let mut all: Option<Expr> = None;
    for (index, condition) in filter.conditions.iter().enumerate() {
        let one = holds(&table, condition, &format!("{at}.where[{index}]"))?;
        all = Some(match all {
            Some(all) => all.and(one),
            None => one,
        });
        // Rows without a label may go: that tells nothing of a label.
        let told = table.told_by([&condition.column]);
        table.rows_of_target |= told.target && condition.null.is_none();
        table.rows_of_all_time |= told.all_time;
        // Every condition but this one drops nulls.
        if condition.null != Some(true)
            && let Some(facts) = table.facts.get_mut(&condition.column)
        {
            facts.nullable = false;
        }
    }
    let all = all.ok_or_else(|| Failure::parameter(format!("{at}.where"), "there is no condition"))?;
    table.data = table.data.lazy().filter(all).collect().map_err(failed)?;
    Ok(table)
}

/// Returns whether a condition holds for a row. It is false for null.
fn holds(table: &Frame, condition: &Condition, at: &str) -> Result<Expr, Failure> {
    let data_type = table.type_of(&condition.column, &format!("{at}.column"))?;
    let column = || col(condition.column.as_str());
    let value = |literal: &Literal, name: &str| constant(literal, &data_type, &format!("{at}.{name}"));
    let ordered = |name: &str| match data_type {
        DataType::Boolean | DataType::String => {
            Err(Failure::parameter(format!("{at}.{name}"), "the column is neither a number nor a timestamp"))
        }
        _ => Ok(()),
    };
    let mut made: Vec<Expr> = Vec::new();
    if let Some(literal) = &condition.equal {
        made.push(column().eq(value(literal, "equal")?));
    }
    if let Some(literal) = &condition.not_equal {
        made.push(column().neq(value(literal, "not_equal")?));
    }
    for (name, literal) in [
        ("below", &condition.below),
        ("at_most", &condition.at_most),
        ("above", &condition.above),
        ("at_least", &condition.at_least),
    ] {
        let Some(literal) = literal else { continue };
        ordered(name)?;
        let value = value(literal, name)?;
        let holds = match name {
            "below" => column().lt(value),
            "at_most" => column().lt_eq(value),
            "above" => column().gt(value),
            _ => column().gt_eq(value),
        };
        // polars has NaN above all numbers.
        let is_float = data_type == DataType::Float64;
        made.push(if is_float { holds.and(column().is_not_nan()) } else { holds });
    }
    if let Some(literals) = &condition.one_of {
        made.push(is_any(column, literals.iter().map(|literal| value(literal, "one_of")))?);
    }
    if let Some(literals) = &condition.none_of {
        made.push(is_any(column, literals.iter().map(|literal| value(literal, "none_of")))?.not());
    }
    if let Some(null) = condition.null {
        made.push(if null { column().is_null() } else { column().is_not_null() });
    }
    if let Some(pattern) = &condition.matches {
        made.push(matches(column(), &data_type, pattern, &format!("{at}.matches"))?);
    }
    match <[Expr; 1]>::try_from(made) {
        Ok([one]) => Ok(one.fill_null(lit(false))),
        Err(_) => Err(Failure::parameter(at, "a condition has one member beside `column`, such as `at_least`")),
    }
}

/// Returns whether a column is one of some values.
fn is_any(column: impl Fn() -> Expr, values: impl Iterator<Item = Result<Expr, Failure>>) -> Result<Expr, Failure> {
    let mut level = values.map(|value| Ok(column().eq(value?))).collect::<Result<Vec<_>, Failure>>()?;
    // In pairs, so that the expression is as deep as it must be: polars goes through it by
    // recursion.
    while level.len() > 1 {
        level = level.chunks(2).filter_map(|pair| pair.iter().cloned().reduce(Expr::or)).collect();
    }
    // Of no values, none is equal; a null is still no answer.
    Ok(level.pop().unwrap_or_else(|| column().is_not_null().and(lit(false))))
}

/// Returns whether a part of a text has a form.
///
/// # Errors
/// `parameter` if the column is no text, or the form is no regular expression.
pub(crate) fn matches(column: Expr, data_type: &DataType, pattern: &str, at: &str) -> Result<Expr, Failure> {
    check_pattern(data_type, pattern, at)?;
    Ok(column.str().contains(lit(pattern.to_owned()), true))
}

/// # Errors
/// `parameter` if the column is no text, or the form is no regular expression.
pub(crate) fn check_pattern(data_type: &DataType, pattern: &str, at: &str) -> Result<regex::Regex, Failure> {
    if *data_type != DataType::String {
        return Err(Failure::parameter(at, "the column is no text"));
    }
    regex::Regex::new(pattern).map_err(|error| Failure::parameter(at, error.to_string()))
}

/// Returns a value as one of a column's type.
///
/// # Errors
/// `parameter` if it is none.
pub(crate) fn constant(literal: &Literal, data_type: &DataType, at: &str) -> Result<Expr, Failure> {
    let made = match (data_type, literal) {
        (DataType::Boolean, Literal::Boolean(value)) => lit(*value),
        (DataType::Int64, Literal::Integer(value)) => lit(*value),
        // Compared as numbers.
        (DataType::Int64, Literal::Number(value)) => lit(*value),
        (DataType::Float64, Literal::Integer(value)) => lit(*value as f64),
        (DataType::Float64, Literal::Number(value)) => lit(*value),
        (DataType::String, Literal::Text(value)) => lit(value.clone()),
        (data_type, Literal::Text(value)) if *data_type == TIME => {
            let micros = timestamp(value).ok_or_else(|| {
                let message = format!("`{value}` is no timestamp, such as 2024-01-31 or 2024-01-31T12:00:00Z");
                Failure::parameter(at, message)
            })?;
            lit(micros).cast(TIME)
        }
        (data_type, _) => {
            return Err(Failure::parameter(at, format!("the column is {data_type}, and the value is not")));
        }
    };
    Ok(made)
}

/// Parses a timestamp in RFC 3339, or a date at midnight UTC, to microseconds since 1970.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_micros());
    }
    let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros())
}
