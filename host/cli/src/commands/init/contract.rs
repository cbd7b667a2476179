//! The checks that `init --strict` proposes, each with the evidence as a comment.
//!
//! A limit that ends a run leaves room for data that change slowly; a limit that warns is what was
//! seen. The table that the contract is made of meets all of it.

use serde_json::{Value, json};
use stagewright_data::{ColumnReport, Inference, shown};
use stagewright_manifest::{ContractEntry, ContractTable, StarterField, TaskKind};
use stagewright_store::{DataType, Role};

use super::evidence::{ColumnEvidence, Evidence};

/// With fewer rows, what was seen says little about what will come: only the number of rows is
/// checked.
const FEW_ROWS: u64 = 100;
/// A list of values has as many rows for each of them, on average.
const ROWS_PER_VALUE: u64 = 10;
/// A form that fewer distinct texts have may be chance.
const SURE_OF_FORM: u64 = 100;
/// With fewer rows, the shares of bins are chance.
const ROWS_FOR_PROFILE: u64 = 1000;
/// The number of bins of a profile of numbers.
const BINS: usize = 10;
/// Integers beyond this are not exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Returns the tables of a contract.
pub(super) fn contract(
    fields: &[StarterField],
    task: &TaskKind,
    inference: &Inference,
    evidence: &Evidence,
) -> Vec<ContractTable> {
    let rows = inference.rows;
    let mut tables = Tables::default();
    let least = (rows / 2).max(1);
    tables.add("", "min_rows", json!(least), format!("half of the {rows} rows that were seen"));
    tables.add("", "expected_rows", json!(rows), "the rows that were seen".to_owned());
    tables.add("warn", "max_row_change", json!(0.5), "more than half as many again, or fewer than half".to_owned());
    if rows < FEW_ROWS {
        return tables.0;
    }
    let columns = || inference.columns.iter().zip(&evidence.columns).zip(fields);
    let unique: Vec<&str> =
        columns().filter(|((_, seen), _)| seen.is_unique).map(|((it, _), _)| it.field.name.as_str()).collect();
    if !unique.is_empty() {
        tables.add("", "unique", json!(unique), format!("each of the {rows} rows has another value"));
    }
    balance(&mut tables, task, inference);
    for ((column, seen), field) in columns().filter(|(_, field)| !field.is_dropped) {
        let is_target = field.field.role == Role::Target;
        let is_feature = field.field.role == Role::Feature;
        let (name, values) = (column.field.name.as_str(), rows - column.nulls);
        let listed = listed(column, seen, values, is_target).filter(|_| is_feature || is_target);
        if let Some((listed, note)) = listed {
            tables.add("allowed", name, listed, note);
        } else if is_feature {
            ranges(&mut tables, name, column.field.data_type, seen);
        }
        let is_sure = column.distinct >= SURE_OF_FORM;
        if let Some(form) = seen.form.as_ref().filter(|_| is_sure) {
            let note = format!("all of {} different values have this form", column.distinct);
            tables.add("patterns", name, json!(form.pattern()), note);
        }
        if is_feature && values >= ROWS_FOR_PROFILE {
            profile(&mut tables, name, column, seen, values);
        }
    }
    if tables.0.iter().any(|table| table.name == "profiles") {
        let note = "a distribution that has changed this much is another one".to_owned();
        tables.add("", "max_psi", json!(1.0), note);
        tables.add("warn", "max_psi", json!(0.25), "what is usually called a large change".to_owned());
    }
    tables.0
}

#[derive(Default)]
struct Tables(Vec<ContractTable>);

impl Tables {
    fn add(&mut self, table: &str, key: &str, value: Value, note: String) {
        let entry = ContractEntry { key: key.to_owned(), value, note };
        match self.0.iter_mut().find(|known| known.name == table) {
            Some(known) => known.entries.push(entry),
            None => self.0.push(ContractTable { name: table.to_owned(), entries: vec![entry] }),
        }
    }
}

/// Adds the least share of a class.
fn balance(tables: &mut Tables, task: &TaskKind, inference: &Inference) {
    let Some(target) = inference.target.as_ref().filter(|_| *task != TaskKind::Regression) else { return };
    let all: u64 = target.classes.iter().map(|(_, rows)| rows).sum();
    let Some((class, rows)) = target.classes.iter().min_by_key(|(_, rows)| *rows) else { return };
    if all == 0 || target.is_cut {
        return;
    }
    let share = *rows as f64 / all as f64;
    let note = format!("half of the {:.2} % of `{}`, the rarest class", 100.0 * share, shown(class));
    tables.add("target_balance", "min_share", json!(floored(share / 2.0, 4)), note);
}

/// Returns the list of a column's values, if it has few.
fn listed(column: &ColumnReport, seen: &ColumnEvidence, values: u64, is_target: bool) -> Option<(Value, String)> {
    let counts = seen.values.as_ref()?;
    let distinct = counts.len() as u64;
    let has_many_rows = values >= ROWS_PER_VALUE * distinct;
    let fits = match column.field.data_type {
        DataType::Utf8 | DataType::Categorical => is_target || has_many_rows,
        // Classes, and flags that are written as numbers.
        DataType::Int64 => is_target || (distinct <= 2 && has_many_rows),
        _ => false,
    };
    if !fits {
        return None;
    }
    let is_number = column.field.data_type == DataType::Int64;
    let value =
        |text: &String| if is_number { text.parse::<i64>().map_or(Value::Null, |it| json!(it)) } else { json!(text) };
    let listed: Vec<Value> = counts.keys().map(value).filter(|value| !value.is_null()).collect();
    Some((Value::Array(listed), format!("the {distinct} values of {values} rows")))
}

/// Adds the range that was seen, which warns, and a wider one, which ends a run.
fn ranges(tables: &mut Tables, name: &str, data_type: DataType, seen: &ColumnEvidence) {
    let Some((low, high)) = seen.range.filter(|(low, high)| low < high && low.abs().max(high.abs()) < EXACT) else {
        return;
    };
    let width = high - low;
    let step = 10_f64.powf(width.log10().floor() - 1.0);
    let is_whole = data_type == DataType::Int64;
    let decimals = if is_whole { 0 } else { usize::try_from(-(step.log10().round() as i64)).unwrap_or(0).min(12) };
    let below = floored(low - width / 2.0, decimals);
    // What was never negative is not expected to be.
    let below = if low >= 0.0 { below.max(0.0) } else { below };
    let above = -floored(-(high + width / 2.0), decimals);
    if !(below <= low && above >= high) {
        return;
    }
    let note = format!("seen: {low} to {high}, and half as much on both sides");
    tables.add("ranges", name, json!({ "min": number(below), "max": number(above) }), note);
    tables.add("warn.ranges", name, json!({ "min": number(low), "max": number(high) }), "as seen".to_owned());
}

/// Adds the distribution of a feature: tenths of the numbers, shares of the values.
fn profile(tables: &mut Tables, name: &str, column: &ColumnReport, seen: &ColumnEvidence, values: u64) {
    let is_text = matches!(column.field.data_type, DataType::Utf8 | DataType::Categorical);
    let shares = |counts: &[u64]| {
        let all: u64 = counts.iter().sum();
        counts.iter().map(|count| *count as f64 / all as f64).map(|it| (it * 1e4).round() / 1e4).collect::<Vec<f64>>()
    };
    if let Some(counts) = seen.values.as_ref().filter(|_| is_text || column.field.data_type == DataType::Boolean) {
        if values < ROWS_PER_VALUE * counts.len() as u64 {
            return;
        }
        let (names, counts): (Vec<&String>, Vec<u64>) = counts.iter().map(|(name, count)| (name, *count)).unzip();
        let note = format!("the shares of {values} rows");
        tables.add("profiles", name, json!({ "values": names, "shares": shares(&counts) }), note);
        return;
    }
    let is_number = matches!(column.field.data_type, DataType::Int64 | DataType::Float64);
    if !is_number || seen.range.is_none() || seen.sample.len() < BINS * 10 {
        return;
    }
    let mut edges: Vec<f64> = (1..BINS).map(|bin| seen.sample[bin * seen.sample.len() / BINS]).collect();
    edges.dedup();
    if edges.first() == seen.sample.first() {
        edges.remove(0);
    }
    if edges.is_empty() {
        return;
    }
    let mut counts = vec![0_u64; edges.len() + 1];
    for value in &seen.sample {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    let edges: Vec<Value> = edges.into_iter().map(number).collect();
    let note = format!("of {} rows from all over the table", seen.sample.len());
    tables.add("profiles", name, json!({ "edges": edges, "shares": shares(&counts) }), note);
}

/// Returns a number as people write it: without decimals, if it is whole.
fn number(value: f64) -> Value {
    if value.trunc() == value && value.abs() < EXACT { json!(value as i64) } else { json!(value) }
}

/// Rounds down to a number of decimals.
fn floored(value: f64, decimals: usize) -> f64 {
    let factor = 10_f64.powi(decimals as i32);
    let rounded = (value * factor).floor() / factor;
    // The nearest double of the decimal text.
    format!("{rounded:.decimals$}").parse().unwrap_or(rounded)
}
