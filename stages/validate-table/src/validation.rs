//! The whole validation: reads every column once, batch by batch, and then returns the results.

use std::collections::BTreeSet;

use stagewright_kit::{
    Assessment, Batch, Check, DataType, Failure, Field, Findings, Inputs, Role, Settings, Table, Values, tracking,
};

use crate::cells::{
    Breaches, Cells, ColumnCheck, EXAMPLES, Found, Rows, Severity, TableCheck, Totals, check, counted, verdict,
};
use crate::checks::types::{TypeMismatch, same_type, type_name};
use crate::checks::{allowed, balance, freshness, pattern, profile, range, reference, rules, unique};
use crate::keys::MOST_SLOTS;
use crate::parameters::{ExtraColumns, Limit, Parameters, Requirements};
use crate::rule::Rule;
use crate::summary::Summary;

/// The most checks of several columns. Each sees every row.
const MOST_TABLE_CHECKS: usize = 1000;

/// Checks `table` against `expected` and the parameters, with the tables that it refers to.
///
/// # Errors
/// `parameter` if the parameters name columns that neither the table nor the signature has, or a
/// table that is not passed, or if one of them is no rule, duration or expression.
pub(crate) fn validate(
    table: &dyn Table,
    references: &Inputs,
    expected: &[Field],
    settings: &Settings<Parameters>,
) -> Result<Assessment, Failure> {
    let parameters = &settings.parameters;
    parameters.check()?;
    let plan = Plan {
        fields: table.fields(),
        target: table.column_with(Role::Target).map(|place| place as usize),
        rows: table.rows(),
        expected,
        parameters,
        as_of: settings.as_of,
    };
    plan.refuse_unknown_columns()?;
    let mut columns = plan.columns()?;
    let mut checks = plan.table_checks(references)?;
    let mut numbers = Vec::new();
    for batch in table.batches(None) {
        let (start, batch) = batch?;
        see(&mut columns, &mut checks, &batch, start, &mut numbers)?;
        tracking::progress(start + u64::from(batch.rows), plan.rows);
    }
    Ok(plan.assessment(columns, checks))
}

/// Shows a batch to every check. `numbers` is room for the numbers of one column.
fn see(
    columns: &mut [ColumnState],
    checks: &mut [Box<dyn TableCheck>],
    batch: &Batch,
    start: u64,
    numbers: &mut Vec<f64>,
) -> Result<(), Failure> {
    let rows = batch.len();
    let texts = batch.columns.iter().map(|column| column.as_text()).collect::<Result<Vec<_>, _>>()?;
    for ((state, column), text) in columns.iter_mut().zip(&batch.columns).zip(&texts) {
        let is_number = write_numbers(column, rows, numbers);
        let numbers = match &column.values {
            Values::Float64(values) if column.validity.is_none() => Some(values.as_slice()),
            _ => is_number.then_some(numbers.as_slice()),
        };
        state.see(&Cells { column, text: *text, numbers, start, rows });
    }
    let rows = Rows { batch, texts: &texts, start };
    checks.iter_mut().for_each(|check| check.see(&rows));
    Ok(())
}

/// Writes a column as numbers, with NaN for null, where it is not one of doubles without nulls.
/// Returns whether it was written.
fn write_numbers(column: &stagewright_kit::Column, rows: usize, numbers: &mut Vec<f64>) -> bool {
    match &column.values {
        Values::Utf8(_) | Values::Categorical(_) => return false,
        Values::Float64(_) if column.validity.is_none() => return false,
        _ => {}
    }
    numbers.resize(rows, 0.0);
    column.view().write_numbers(numbers)
}

/// The table, and the requirements on it.
struct Plan<'a> {
    fields: Vec<Field>,
    /// The place of the target.
    target: Option<usize>,
    rows: u64,
    expected: &'a [Field],
    parameters: &'a Parameters,
    as_of: i64,
}

impl Plan<'_> {
    /// Returns the requirements of each severity, with the prefix of their parameters' names.
    fn requirements(&self) -> [(Severity, &'static str, Requirements<'_>); 2] {
        let Self { parameters, .. } = self;
        [(Severity::Error, "", parameters.errors()), (Severity::Warn, "warn.", parameters.warnings())]
    }

    fn refuse_unknown_columns(&self) -> Result<(), Failure> {
        let known: BTreeSet<&str> = self.fields.iter().chain(self.expected).map(|field| field.name.as_str()).collect();
        let profiles = self.parameters.profiles.keys().map(|name| (format!("profiles.{name}"), name.clone()));
        let mut named: Vec<(String, String)> = profiles.collect();
        for (_, at, requirements) in self.requirements() {
            named.extend(requirements.named_columns().map(|(key, name)| (format!("{at}{key}"), name.to_owned())));
        }
        match named.into_iter().find(|(_, name)| !known.contains(name.as_str())) {
            Some((parameter, name)) => Err(unknown_column(parameter, &name)),
            None => Ok(()),
        }
    }

    /// Returns the checks of each column.
    fn columns(&self) -> Result<Vec<ColumnState>, Failure> {
        let mut columns: Vec<ColumnState> =
            self.fields.iter().map(|field| ColumnState::new(field, self.expected)).collect();
        let requirements = self.requirements();
        for (severity, at, requirements) in &requirements {
            for state in &mut columns {
                state.add_checks(*severity, at, requirements, self.as_of)?;
            }
        }
        for (name, profile) in &self.parameters.profiles {
            let limits = requirements.map(|(severity, _, requirements)| profile::Limits {
                severity,
                psi: requirements.psi_limit(name),
                unseen: requirements.unseen_limit(name),
            });
            if let Some(state) = columns.iter_mut().find(|state| state.name == *name) {
                state.checks.extend(profile::of(&limits, profile, name, state.data_type));
            }
        }
        if let Some(state) = self.target.and_then(|place| columns.get_mut(place)) {
            let limits = requirements.iter().filter_map(|(severity, _, it)| Some((*severity, it.target_balance?)));
            let limits: Vec<_> = limits.collect();
            if !limits.is_empty() {
                state.checks.extend(balance::of(limits, &state.name, state.data_type));
            }
        }
        Ok(columns)
    }

    /// Returns the checks of several columns. A check of a column that is missing is left out:
    /// `presence` fails.
    fn table_checks(&self, references: &Inputs) -> Result<Vec<Box<dyn TableCheck>>, Failure> {
        let place = |name: &String| self.fields.iter().position(|field| field.name == *name);
        let places = |names: &[String]| names.iter().map(place).collect::<Option<Vec<usize>>>();
        let mut slots = MOST_SLOTS;
        let mut checks = Vec::new();
        for (severity, at, requirements) in self.requirements() {
            for columns in requirements.unique {
                if let Some(places) = places(columns.names()) {
                    checks.push(unique::of(severity, columns, &places, self.rows, &mut slots));
                }
            }
            for (number, reference) in requirements.references.iter().enumerate() {
                let parameter = format!("{at}references[{number}]");
                let other = references.named(&reference.table).map_err(|failure| match failure {
                    Failure::Parameter(fault) => Failure::parameter(format!("{parameter}.table"), fault.message),
                    other => other,
                })?;
                if let Some(places) = places(reference.columns.names()) {
                    let columns: Vec<_> =
                        places.into_iter().map(|place| (place, self.fields[place].data_type)).collect();
                    checks.push(reference::of(severity, reference, &parameter, &columns, other, &mut slots)?);
                }
            }
            for (number, text) in requirements.rules.iter().enumerate() {
                checks.extend(self.rule(
                    severity,
                    text,
                    &format!("{at}rules[{number}]"),
                    requirements.max_broken_ratio,
                )?);
            }
        }
        if checks.len() > MOST_TABLE_CHECKS {
            return Err(Failure::parameter("rules", format!("there are more than {MOST_TABLE_CHECKS}")));
        }
        Ok(checks)
    }

    fn rule(
        &self,
        severity: Severity,
        text: &str,
        parameter: &str,
        ratio: f64,
    ) -> Result<Option<Box<dyn TableCheck>>, Failure> {
        let rule = Rule::parse(text, parameter)?;
        let mut columns = Vec::new();
        for name in rule.columns() {
            let place = self.fields.iter().position(|field| field.name == name);
            match place {
                Some(place) => columns.push((place, name.to_owned())),
                None if self.expected.iter().any(|field| field.name == name) => return Ok(None),
                None => return Err(unknown_column(parameter.to_owned(), name)),
            }
        }
        let type_of = |name: &str| {
            columns.iter().find(|(_, known)| known == name).map(|(place, _)| self.fields[*place].data_type)
        };
        let unfit = rule.unfit(type_of);
        Ok(Some(rules::of(severity, text, rule, columns, ratio, unfit)))
    }

    /// Returns the results: those of the schema, of the table, and then of each column.
    fn assessment(&self, mut columns: Vec<ColumnState>, checks: Vec<Box<dyn TableCheck>>) -> Assessment {
        let mut found: Vec<Found> = self.schema_checks(&mut columns).into_iter().map(error).collect();
        for (severity, _, requirements) in self.requirements() {
            found.extend(self.row_checks(&requirements).into_iter().map(|check| Found { severity, check }));
            if requirements.target_balance.is_some() && self.target.is_none() {
                let (observed, expected) = ("no column is the target", "a target");
                let check = verdict("target_balance", None, false, observed.to_owned(), expected.to_owned());
                found.push(Found { severity, check });
            }
        }
        for check in checks {
            check.finish(self.rows, &mut found);
        }
        let mut summaries = Vec::with_capacity(columns.len());
        let requirements = self.requirements();
        for column in columns {
            for (severity, _, requirements) in &requirements {
                let limit = requirements.null_limit(&column.name);
                if !limit.is_none() {
                    found.push(Found { severity: *severity, check: column.null_ratio(self.rows, limit) });
                }
            }
            let totals = Totals { column: &column.name, rows: self.rows, nulls: column.summary.nulls() };
            column.checks.into_iter().for_each(|check| check.finish(&totals, &mut found));
            summaries.push(column.summary.finish());
        }
        let warnings = (0..).zip(&found).filter(|(_, found)| found.severity == Severity::Warn);
        let warnings = warnings.map(|(place, _)| place).collect();
        let checks = found.into_iter().map(|found| found.check).collect();
        Assessment { findings: Findings { checks, columns: summaries }, warnings }
    }

    /// Checks presence, type and nullability of each column, extra columns, and all of them
    /// together: `schema_match`.
    fn schema_checks(&self, columns: &mut [ColumnState]) -> Vec<Check> {
        let Self { fields, expected, parameters, rows, .. } = self;
        let mut checks = Vec::new();
        for wanted in *expected {
            let place = fields.iter().position(|field| field.name == wanted.name);
            let observed = if place.is_some() { "present" } else { "missing" };
            let name = Some(wanted.name.as_str());
            checks.push(verdict("presence", name, place.is_some(), observed.to_owned(), "present".to_owned()));
            if let Some(place) = place {
                checks.push(type_check(&fields[place], wanted, &mut columns[place]));
                checks.push(nullability(&columns[place], *rows));
            }
        }
        if parameters.extra_columns == ExtraColumns::Error {
            for extra in fields.iter().filter(|field| expected.iter().all(|wanted| wanted.name != field.name)) {
                let expected = "no such column (`extra_columns = \"ignore\"` lets it pass)".to_owned();
                checks.push(verdict("presence", Some(&extra.name), false, "present".to_owned(), expected));
            }
        }
        let broken = checks.iter().filter(|check| !check.passed && check.name != "nullability").count();
        let observed = match broken {
            0 => "columns and types as expected".to_owned(),
            _ => format!("{broken} columns differ"),
        };
        let expected = format!("the {} columns of the signature, each of its type", expected.len());
        checks.push(verdict("schema_match", None, broken == 0, observed, expected));
        checks
    }

    fn row_checks(&self, requirements: &Requirements<'_>) -> Vec<Check> {
        let mut checks = Vec::new();
        let (limit, count) = (requirements.row_limit(), self.rows as f64);
        if !limit.is_none() {
            let least = limit.inclusive.map(|least| format!("at least {least}"));
            let more = limit.strict.map(|end| format!("more than {end}"));
            let passed =
                limit.inclusive.is_none_or(|least| count >= least) && limit.strict.is_none_or(|end| count > end);
            let expected = least.into_iter().chain(more).collect::<Vec<_>>().join(" and ");
            checks.push(verdict("row_count", None, passed, format!("{} rows", self.rows), expected));
        }
        if let (Some(most), Some(expected)) = (requirements.max_row_change, self.parameters.expected_rows) {
            // In whole rows, so that a change of exactly the limit passes.
            let change = self.rows.abs_diff(expected);
            let share = change as f64 / expected as f64;
            let passed = change as f64 <= most * expected as f64;
            let sign = if self.rows < expected { "fewer" } else { "more" };
            let observed = format!("{} rows, {:.2} % {sign}", self.rows, 100.0 * share);
            let expected = format!("{expected} rows, {} % more or fewer", 100.0 * most);
            checks.push(verdict("row_change", None, passed, observed, expected));
        }
        checks
    }
}

fn error(check: Check) -> Found {
    Found { severity: Severity::Error, check }
}

fn unknown_column(parameter: String, name: &str) -> Failure {
    Failure::parameter(parameter, format!("neither the table nor its signature has a column `{name}`"))
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
    checks: Vec<Box<dyn ColumnCheck>>,
}

impl ColumnState {
    fn new(field: &Field, expected: &[Field]) -> Self {
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
            checks: Vec::new(),
        }
    }

    /// Adds the checks of one severity.
    fn add_checks(
        &mut self,
        severity: Severity,
        at: &str,
        requirements: &Requirements<'_>,
        as_of: i64,
    ) -> Result<(), Failure> {
        let (name, data_type) = (self.name.as_str(), self.data_type);
        let ratio = requirements.outside_ratio(name);
        if let Some(range) = requirements.ranges.get(name) {
            self.checks.push(range::of(severity, *range, ratio, name, data_type));
        }
        if let Some(allowed) = requirements.allowed.get(name) {
            self.checks.push(allowed::of(severity, allowed, ratio, name, data_type));
        }
        if let Some(pattern) = requirements.patterns.get(name) {
            let parameter = format!("{at}patterns.{name}");
            self.checks.push(pattern::of(severity, pattern, ratio, &parameter, (name, data_type))?);
        }
        if let Some(freshness) = requirements.freshness.get(name) {
            let parameter = format!("{at}freshness.{name}");
            self.checks.push(freshness::of(severity, freshness, as_of, &parameter, (name, data_type))?);
        }
        Ok(())
    }

    fn see(&mut self, cells: &Cells<'_>) {
        self.summary.add(cells);
        if cells.column.validity.is_some() && self.null_examples.examples.len() < EXAMPLES {
            for row in (0..cells.rows).filter(|&row| cells.column.is_null(row)) {
                self.null_examples.add(cells.start + row as u64, || None);
            }
        }
        if let Some(mismatch) = &mut self.mismatch {
            mismatch.see(cells.column, cells.start, cells.rows);
        }
        self.checks.iter_mut().for_each(|check| check.see(cells));
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
