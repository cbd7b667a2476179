//! The steps in their order, and the tables between them.

use std::collections::BTreeMap;

use stagewright_kit::tracking::{self, Figure};
use stagewright_kit::{Failure, Inputs, info};

use crate::frame::Frame;
use crate::joins::Joined;
use crate::parameters::{Operation, Parameters};
use crate::{conditions, formulas, group, joins, rows, time_parts, windows};

/// The inputs that were read and the tables that steps made, by name.
pub(crate) struct Tables<'a> {
    inputs: &'a Inputs,
    target: Option<&'a str>,
    made: BTreeMap<String, Frame>,
    joins: Vec<Join>,
}

/// A join that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Join {
    /// The step, as `steps[1].join`.
    pub at: String,
    /// The other table.
    pub with: String,
    /// Its counts.
    pub joined: Joined,
}

/// The result of the steps.
pub(crate) struct Prepared {
    /// The table of the last step.
    pub table: Frame,
    /// The joins, in the order of steps.
    pub joins: Vec<Join>,
}

impl<'a> Tables<'a> {
    /// # Errors
    /// `parameter` if no input has the target.
    fn new(inputs: &'a Inputs, target: Option<&'a str>) -> Result<Self, Failure> {
        if let Some(target) = target
            && inputs.iter().all(|(_, table)| table.column_named(target).is_none())
        {
            return Err(Failure::parameter("target", format!("no table has a column `{target}`")));
        }
        Ok(Self { inputs, target, made: BTreeMap::new(), joins: Vec::new() })
    }

    /// Returns a table by its name. An input is read the first time.
    ///
    /// # Errors
    /// `parameter` if there is none; `parameter` names where it is asked for.
    pub(crate) fn named(&mut self, name: &str, parameter: &str) -> Result<Frame, Failure> {
        if let Some(frame) = self.made.get(name) {
            return Ok(frame.clone());
        }
        let Some((_, table)) = self.inputs.iter().find(|(input, _)| *input == name) else {
            let inputs = self.inputs.iter().map(|(name, _)| name);
            let all: Vec<&str> = inputs.chain(self.made.keys().map(String::as_str)).collect();
            let message = format!("there is no table `{name}`; the tables are `{}`", all.join("`, `"));
            return Err(Failure::parameter(parameter, message));
        };
        let mut frame = Frame::read(table)?;
        if let Some(facts) = self.target.and_then(|target| frame.facts.get_mut(target)) {
            facts.of_target = true;
        }
        self.made.insert(name.to_owned(), frame.clone());
        Ok(frame)
    }
}

/// Runs steps.
///
/// # Errors
/// `parameter` for a step that does not fit its tables; `data` for rows that it refuses.
pub(crate) fn run(inputs: &Inputs, parameters: &Parameters) -> Result<Prepared, Failure> {
    let steps = &parameters.steps;
    let mut tables = Tables::new(inputs, parameters.target.as_deref())?;
    let mut before = None;
    for (index, step) in steps.iter().enumerate() {
        let at = format!("steps[{index}]");
        let Some((name, operation)) = step.operation() else {
            let message = "a step has one operation, such as `join`, beside `table` and `as`";
            return Err(Failure::parameter(at, message));
        };
        let worked_on = match step.table.clone().or(before) {
            Some(named) => named,
            None => only_input(inputs, &at)?,
        };
        let table = tables.named(&worked_on, &format!("{at}.table"))?;
        let at = format!("{at}.{name}");
        let rows = table.data.height();
        let made = perform(operation, table, &mut tables, &at)?;
        let result = step.result.clone().unwrap_or(worked_on);
        info!(
            "step {index}, {name}: {rows} rows became {} rows of {} columns in `{result}`",
            made.data.height(),
            made.data.width()
        );
        tables.made.insert(result.clone(), made);
        before = Some(result);
    }
    let last = before.ok_or_else(|| Failure::parameter("steps", "there is no step"))?;
    let table = tables.made.remove(&last).ok_or_else(|| Failure::internal("the last step made no table"))?;
    Ok(Prepared { table, joins: tables.joins })
}

/// Adds the joins to the report of the stage.
///
/// # Errors
/// Those of the host.
pub(crate) fn report(joins: &[Join]) -> Result<(), Failure> {
    if joins.is_empty() {
        return Ok(());
    }
    let head = ["step", "with", "rows", "unmatched", "repeated keys", "rows after"].map(str::to_owned);
    let rows = joins.iter().map(|Join { at, with, joined }| {
        let counts = [joined.rows, joined.unmatched, joined.repeated_keys, joined.rows_after];
        [at.clone(), with.clone()].into_iter().chain(counts.map(|count| count.to_string())).collect()
    });
    tracking::add_figure(&Figure::text("joins", "Joins", head.to_vec(), rows.collect()))
}

fn only_input(inputs: &Inputs, at: &str) -> Result<String, Failure> {
    let mut names = inputs.iter().map(|(name, _)| name);
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name.to_owned()),
        _ => Err(Failure::parameter(format!("{at}.table"), "there are several inputs; name one of them")),
    }
}

fn perform(operation: Operation<'_>, table: Frame, tables: &mut Tables<'_>, at: &str) -> Result<Frame, Failure> {
    match operation {
        Operation::Join(join) => {
            let other = tables.named(&join.with, &format!("{at}.with"))?;
            let (made, joined) = joins::join(table, other, join, at)?;
            tables.joins.push(Join { at: at.to_owned(), with: join.with.clone(), joined });
            Ok(made)
        }
        Operation::AsOf(join) => {
            let other = tables.named(&join.with, &format!("{at}.with"))?;
            let (made, joined) = joins::as_of(table, other, join, at)?;
            tables.joins.push(Join { at: at.to_owned(), with: join.with.clone(), joined });
            Ok(made)
        }
        Operation::Filter(filter) => conditions::filter(table, filter, at),
        Operation::Derive(derive) => formulas::derive(table, derive, at),
        Operation::Group(group) => group::group(table, group, at),
        Operation::Window(window) => {
            let from = match &window.from {
                Some(from) => tables.named(from, &format!("{at}.from"))?,
                None => table.clone(),
            };
            windows::window(table, from, window, at)
        }
        Operation::Lag(lag) => windows::lag(table, lag, at),
        Operation::Latest(latest) => rows::latest(table, latest, at),
        Operation::TimeParts(parts) => time_parts::time_parts(table, parts, at),
        Operation::Select(select) => rows::select(table, select, at),
        Operation::Drop(drop) => rows::drop(table, drop, at),
        Operation::Rename(rename) => rows::rename(table, rename, at),
        Operation::Union(union) => {
            let others = union.with.iter().map(|name| tables.named(name, &format!("{at}.with")));
            let others = others.collect::<Result<Vec<_>, _>>()?;
            rows::union(table, others, at)
        }
        Operation::Sort(sort) => rows::sort(table, sort, at),
    }
}
