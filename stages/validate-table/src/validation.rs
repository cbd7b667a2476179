//! The whole validation: reads every column once, batch by batch, and then returns the results.

use std::collections::BTreeSet;

use stagewright_kit::{Batch, Check, DataType, Failure, Field, Findings, Table, tracking};

use crate::checks::{
    AllowedCheck, Breaches, RangeCheck, TypeMismatch, UniqueCheck, check, counted, has_allowed_values, has_range,
    same_type, type_name,
};
use crate::duplicates::MOST_VALUES;
use crate::parameters::{ExtraColumns, Limit, Parameters};
use crate::summary::{Summary, numbers};

/// Checks `table` against `expected` and `parameters`.
///
/// # Errors
/// `parameter` if the parameters name columns that neither the table nor the signature has.
pub(crate) fn validate(table: &dyn Table, expected: &[Field], parameters: &Parameters) -> Result<Findings, Failure> {
    parameters.check()?;
    let fields = table.fields();
    refuse_unknown_columns(&fields, expected, parameters)?;
    let mut columns: Vec<ColumnState> =
        fields.iter().map(|field| ColumnState::new(field, expected, parameters)).collect();
    let rows = table.rows();
    for batch in table.batches(None) {
        let (start, batch) = batch?;
        see(&mut columns, &batch, start)?;
        tracking::progress(start + u64::from(batch.rows), rows);
    }
    let mut checks = schema_checks(&fields, expected, parameters, &mut columns, rows);
    checks.push(row_count(rows, parameters.row_limit()));
    let mut summaries = Vec::with_capacity(columns.len());
    for column in columns {
        checks.extend(column.checks(rows, parameters));
        summaries.push(column.summary.finish());
    }
    Ok(Findings { checks, columns: summaries })
}

fn see(columns: &mut [ColumnState], batch: &Batch, start: u64) -> Result<(), Failure> {
    let rows = batch.len();
    for (state, column) in columns.iter_mut().zip(&batch.columns) {
        let numbers = numbers(column, rows);
        state.summary.add(column, rows, numbers.as_deref())?;
        if column.validity.is_some() && state.null_examples.examples.len() < crate::checks::EXAMPLES {
            for row in (0..rows).filter(|&row| column.is_null(row)) {
                state.null_examples.add(start + row as u64, || None);
            }
        }
        if let Some(mismatch) = &mut state.mismatch {
            mismatch.see(column, start, rows);
        }
        if let (true, Some(range), Some(numbers)) = (has_range(state.data_type), &mut state.range, &numbers) {
            range.see(column, numbers, start);
        }
        if let (true, Some(allowed)) = (has_allowed_values(state.data_type), &mut state.allowed) {
            allowed.see(column, numbers.as_deref(), start, rows)?;
        }
        if let Some(unique) = &mut state.unique {
            unique.see(column, start, rows)?;
        }
    }
    Ok(())
}

fn refuse_unknown_columns(fields: &[Field], expected: &[Field], parameters: &Parameters) -> Result<(), Failure> {
    let known: BTreeSet<&str> = fields.iter().chain(expected).map(|field| field.name.as_str()).collect();
    let named = |section: &'static str| move |name: &String| (format!("{section}.{name}"), name.clone());
    let all = parameters.columns.keys().map(named("columns")).chain(parameters.ranges.keys().map(named("ranges")));
    let all =
        all.chain(parameters.allowed.keys().map(named("allowed"))).chain(parameters.unique.iter().map(named("unique")));
    for (parameter, name) in all {
        if !known.contains(name.as_str()) {
            return Err(Failure::parameter(
                parameter,
                format!("neither the table nor its signature has a column `{name}`"),
            ));
        }
    }
    Ok(())
}

/// The checks and the summary of a column.
struct ColumnState {
    name: String,
    /// The column's type in the table.
    data_type: DataType,
    /// Whether the signature allows nulls. Extra columns may have them.
    nullable: bool,
    summary: Summary,
    null_examples: Breaches,
    mismatch: Option<TypeMismatch>,
    range: Option<RangeCheck>,
    allowed: Option<AllowedCheck>,
    unique: Option<UniqueCheck>,
}

impl ColumnState {
    fn new(field: &Field, expected: &[Field], parameters: &Parameters) -> Self {
        let name = &field.name;
        let wanted = expected.iter().find(|wanted| wanted.name == *name);
        let mismatch = wanted.filter(|wanted| !same_type(field.data_type, wanted.data_type));
        Self {
            name: name.clone(),
            data_type: field.data_type,
            nullable: wanted.is_none_or(|wanted| wanted.nullable),
            summary: Summary::new(name),
            null_examples: Breaches::default(),
            mismatch: mismatch.map(|wanted| TypeMismatch { expected: wanted.data_type, breaches: Breaches::default() }),
            range: parameters.ranges.get(name).map(|range| RangeCheck { range: *range, breaches: Breaches::default() }),
            allowed: parameters.allowed.get(name).map(|allowed| AllowedCheck::new(allowed)),
            unique: parameters.unique.contains(name).then(UniqueCheck::default),
        }
    }

    /// Returns the results of the checks of values. Those of the schema come before.
    fn checks(&self, rows: u64, parameters: &Parameters) -> Vec<Check> {
        let mut checks = vec![self.null_ratio(rows, parameters.null_limit(&self.name))];
        let values = rows - self.summary.nulls();
        let tolerated = parameters.max_out_of_range_ratio * values as f64;
        let at_most = |expected: String| match parameters.max_out_of_range_ratio {
            0.0 => expected,
            ratio => format!("{expected}, but for at most {} %", 100.0 * ratio),
        };
        let taken = |breaches: &Breaches| Breaches { rows: breaches.rows, examples: breaches.examples.clone() };
        if let Some(range) = self.range.as_ref().filter(|_| !has_range(self.data_type)) {
            checks.push(self.inapplicable("range", range.expected()));
        } else if let Some(range) = &self.range {
            let observed = counted(range.breaches.rows, values, "value") + " outside";
            checks.push(check(
                "range",
                &self.name,
                taken(&range.breaches),
                tolerated,
                observed,
                at_most(range.expected()),
            ));
        }
        if let Some(allowed) = self.allowed.as_ref().filter(|_| !has_allowed_values(self.data_type)) {
            checks.push(self.inapplicable("allowed_values", allowed.expected()));
        } else if let Some(allowed) = &self.allowed {
            let observed = counted(allowed.breaches.rows, values, "value") + " not allowed";
            checks.push(check(
                "allowed_values",
                &self.name,
                taken(&allowed.breaches),
                tolerated,
                observed,
                at_most(allowed.expected()),
            ));
        }
        if let Some(unique) = &self.unique {
            let observed = if unique.incomplete {
                format!("more than {MOST_VALUES} values, too many to compare")
            } else {
                counted(unique.breaches.rows, rows, "duplicate")
            };
            let mut unique_check =
                check("unique", &self.name, taken(&unique.breaches), 0.0, observed, "no value twice".to_owned());
            unique_check.passed &= !unique.incomplete;
            checks.push(unique_check);
        }
        checks
    }

    /// Returns the failed result of a check that cannot apply to the type of its column, since it
    /// is unknown whether the data is right.
    fn inapplicable(&self, name: &str, expected: String) -> Check {
        let what = type_name(self.data_type);
        let observed = format!("not checkable: the column is of type {what}");
        let mut check = check(name, &self.name, Breaches::default(), 0.0, observed, expected);
        check.passed = false;
        check
    }

    fn null_ratio(&self, rows: u64, limit: Limit) -> Check {
        let nulls = self.summary.nulls();
        let ratio = if rows == 0 { 0.0 } else { nulls as f64 / rows as f64 };
        let passed = limit.inclusive.is_none_or(|most| ratio <= most) && limit.strict.is_none_or(|end| ratio < end);
        let most = limit.inclusive.map(|most| format!("at most {} %", 100.0 * most));
        let below = limit.strict.map(|end| format!("less than {} %", 100.0 * end));
        Check {
            name: "null_ratio".to_owned(),
            column: Some(self.name.clone()),
            passed,
            observed: counted(nulls, rows, "null"),
            expected: most.into_iter().chain(below).collect::<Vec<_>>().join(" and "),
            failures: if passed { 0 } else { nulls },
            examples: if passed { Vec::new() } else { self.null_examples.examples.clone() },
        }
    }
}

/// Checks presence, type and nullability of each column, extra columns, and all of them together:
/// `schema_match`.
fn schema_checks(
    fields: &[Field],
    expected: &[Field],
    parameters: &Parameters,
    columns: &mut [ColumnState],
    rows: u64,
) -> Vec<Check> {
    let mut checks = Vec::new();
    for wanted in expected {
        let place = fields.iter().position(|field| field.name == wanted.name);
        let observed = if place.is_some() { "present" } else { "missing" };
        let mut presence =
            check("presence", &wanted.name, Breaches::default(), 0.0, observed.to_owned(), "present".to_owned());
        presence.passed = place.is_some();
        checks.push(presence);
        if let Some(place) = place {
            checks.push(type_check(&fields[place], wanted, &mut columns[place]));
            checks.push(nullability(&columns[place], rows));
        }
    }
    if parameters.extra_columns == ExtraColumns::Error {
        for extra in fields.iter().filter(|field| expected.iter().all(|wanted| wanted.name != field.name)) {
            let mut presence = check(
                "presence",
                &extra.name,
                Breaches::default(),
                0.0,
                "present".to_owned(),
                "no such column (`extra_columns = \"ignore\"` lets it pass)".to_owned(),
            );
            presence.passed = false;
            checks.push(presence);
        }
    }
    let broken = checks.iter().filter(|check| !check.passed && check.name != "nullability").count();
    checks.push(Check {
        name: "schema_match".to_owned(),
        column: None,
        passed: broken == 0,
        observed: if broken == 0 {
            "columns and types as expected".to_owned()
        } else {
            format!("{broken} columns differ")
        },
        expected: format!("the {} columns of the signature, each of its type", expected.len()),
        failures: 0,
        examples: Vec::new(),
    });
    checks
}

fn type_check(found: &Field, wanted: &Field, column: &mut ColumnState) -> Check {
    let breaches = column.mismatch.take().map(|mismatch| mismatch.breaches).unwrap_or_default();
    let expected = type_name(wanted.data_type).to_owned();
    let observed = match breaches.examples.first() {
        Some(cell) => {
            // Messages for people count rows from 1.
            let (row, value) = (cell.row + 1, cell.value.as_deref().unwrap_or("null"));
            format!("{}; data row {row} is `{value}`", type_name(found.data_type))
        }
        None => type_name(found.data_type).to_owned(),
    };
    let mut check = check("type", &wanted.name, breaches, 0.0, observed, expected);
    // A column of another type fails, even if all of its values could be read as the expected type.
    check.passed = same_type(found.data_type, wanted.data_type);
    check
}

fn nullability(column: &ColumnState, rows: u64) -> Check {
    let nulls = column.summary.nulls();
    let passed = column.nullable || nulls == 0;
    Check {
        name: "nullability".to_owned(),
        column: Some(column.name.clone()),
        passed,
        observed: counted(nulls, rows, "null"),
        expected: if column.nullable { "nulls are allowed".to_owned() } else { "no nulls".to_owned() },
        failures: if passed { 0 } else { nulls },
        examples: if passed { Vec::new() } else { column.null_examples.examples.clone() },
    }
}

fn row_count(rows: u64, limit: Limit) -> Check {
    let least = limit.inclusive.map(|least| format!("at least {least}"));
    let more = limit.strict.map(|end| format!("more than {end}"));
    let count = rows as f64;
    Check {
        name: "row_count".to_owned(),
        column: None,
        passed: limit.inclusive.is_none_or(|least| count >= least) && limit.strict.is_none_or(|end| count > end),
        observed: format!("{rows} rows"),
        expected: least.into_iter().chain(more).collect::<Vec<_>>().join(" and "),
        failures: 0,
        examples: Vec::new(),
    }
}
