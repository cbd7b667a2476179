//! Columns that are computed row by row.

use polars::prelude::*;
use stagewright_kit::Failure;

use crate::conditions;
use crate::frame::{Facts, Frame, TIME, col, failed};
use crate::leaks;
use crate::parameters::{Derive, Formula, Literal, Pattern, Ratio, ZeroDivision};

/// Adds or replaces columns.
pub(crate) fn derive(mut table: Frame, derive: &Derive, at: &str) -> Result<Frame, Failure> {
    let mut made = Vec::new();
    for (name, formula) in &derive.columns {
        let at = format!("{at}.columns.{name}");
        let (value, facts) = Operands { table: &table, at: &at }.value(formula)?;
        leaks::check(name, facts, &table, &at)?;
        made.push((name, value.alias(name.as_str()), facts.made_in(&table)));
    }
    let values: Vec<Expr> = made.iter().map(|(_, value, _)| value.clone()).collect();
    table.data = table.data.lazy().with_columns(values).collect().map_err(failed)?;
    table.facts.extend(made.into_iter().map(|(name, _, facts)| (name.clone(), facts)));
    Ok(table)
}

/// The columns that a formula may read.
struct Operands<'a> {
    table: &'a Frame,
    at: &'a str,
}

impl Operands<'_> {
    fn value(&self, formula: &Formula) -> Result<(Expr, Facts), Failure> {
        match formula {
            Formula::Sum(columns) => self.fold(columns, |a, b| a + b),
            Formula::Product(columns) => self.fold(columns, |a, b| a * b),
            Formula::Difference([first, second]) => {
                let (first, second) = (self.number(first)?, self.number(second)?);
                Ok((first.0 - second.0, first.1.and(second.1)))
            }
            Formula::Ratio(ratio) => self.ratio(ratio),
            Formula::Log1p(column) => {
                let (value, facts) = self.number(column)?;
                // A logarithm of what is not positive is no number; it is null and not NaN.
                let positive = value.clone().gt(lit(-1.0)).and(value.clone().is_not_nan());
                Ok((when(positive).then(value.log1p()).otherwise(lit(NULL)), facts.or_null()))
            }
            Formula::Absolute(column) => {
                let (value, facts) = self.number(column)?;
                Ok((value.abs(), facts))
            }
            Formula::SecondsBetween([first, second]) => {
                let (first, second) = (self.time(first)?, self.time(second)?);
                let micros = |time: Expr| time.cast(DataType::Int64).cast(DataType::Float64);
                Ok(((micros(second.0) - micros(first.0)) / lit(1e6), first.1.and(second.1)))
            }
            Formula::Lower(column) => {
                let facts = self.facts(column)?;
                if self.data_type(column)? != DataType::String {
                    return Err(self.wrong(format!("`{column}` is no text")));
                }
                Ok((col(column.as_str()).str().strip_chars(lit(NULL)).str().to_lowercase(), facts))
            }
            Formula::Matches(Pattern { column, pattern }) => {
                let facts = self.facts(column)?;
                let value = conditions::matches(col(column.as_str()), &self.data_type(column)?, pattern, self.at)?;
                Ok((value, Facts { categorical: false, ..facts }))
            }
            Formula::Extract(Pattern { column, pattern }) => {
                let facts = self.facts(column)?;
                let form = conditions::check_pattern(&self.data_type(column)?, pattern, self.at)?;
                if form.captures_len() < 2 {
                    return Err(self.wrong("the pattern has no group in parentheses".to_owned()));
                }
                Ok((col(column.as_str()).str().extract(lit(pattern.clone()), 1), facts.or_null()))
            }
            Formula::IsNull(column) => {
                let facts = self.facts(column)?;
                Ok((col(column.as_str()).is_null(), Facts { nullable: false, categorical: false, ..facts }))
            }
            Formula::Coalesce(columns) => self.coalesce(columns),
            Formula::Constant(literal) => Ok((self.constant(literal), Facts::default())),
        }
    }

    fn constant(&self, literal: &Literal) -> Expr {
        match literal {
            Literal::Boolean(value) => lit(*value),
            // polars would choose the least type that holds it.
            Literal::Integer(value) => lit(*value).cast(DataType::Int64),
            Literal::Number(value) => lit(*value),
            Literal::Text(value) => lit(value.clone()),
        }
    }

    fn fold(&self, columns: &[String], join: impl Fn(Expr, Expr) -> Expr) -> Result<(Expr, Facts), Failure> {
        let mut numbers = columns.iter().map(|column| self.number(column));
        let Some(first) = numbers.next() else { return Err(self.wrong("it names no column".to_owned())) };
        numbers.try_fold(first?, |(value, facts), next| {
            let (more, of_it) = next?;
            Ok((join(value, more), facts.and(of_it)))
        })
    }

    fn ratio(&self, ratio: &Ratio) -> Result<(Expr, Facts), Failure> {
        let ((above, facts), (below, more)) = (self.number(&ratio.numerator)?, self.number(&ratio.denominator)?);
        let facts = facts.and(more);
        let (at_zero, facts) = match ratio.zero_division {
            ZeroDivision::Zero => (lit(0.0), facts),
            ZeroDivision::Constant(value) if value.is_finite() => (lit(value), facts),
            ZeroDivision::Constant(_) => return Err(self.wrong("the constant is not finite".to_owned())),
            ZeroDivision::Null => (lit(NULL).cast(DataType::Float64), facts.or_null()),
        };
        let none = above.clone().is_null().or(below.clone().is_null());
        let value = when(none)
            .then(lit(NULL).cast(DataType::Float64))
            .when(below.clone().neq(lit(0.0)))
            .then(above.clone() / below)
            .when(above.eq(lit(0.0)))
            .then(lit(0.0))
            .otherwise(at_zero);
        Ok((value, facts))
    }

    fn coalesce(&self, columns: &[String]) -> Result<(Expr, Facts), Failure> {
        let mut facts: Option<Facts> = None;
        let first = columns.first().ok_or_else(|| self.wrong("it names no column".to_owned()))?;
        let data_type = self.data_type(first)?;
        for column in columns {
            if self.data_type(column)? != data_type {
                return Err(self.wrong(format!("`{first}` and `{column}` have other types")));
            }
            let own = self.facts(column)?;
            facts =
                Some(facts.map_or(own, |facts| Facts { nullable: facts.nullable && own.nullable, ..facts.and(own) }));
        }
        let values: Vec<Expr> = columns.iter().map(|column| col(column.as_str())).collect();
        Ok((coalesce(&values), facts.unwrap_or_default()))
    }

    /// Returns a column as float64.
    fn number(&self, column: &str) -> Result<(Expr, Facts), Failure> {
        match self.data_type(column)? {
            DataType::Int64 | DataType::Float64 | DataType::Boolean => {
                Ok((col(column).cast(DataType::Float64), self.facts(column)?))
            }
            _ => Err(self.wrong(format!("`{column}` is no number"))),
        }
    }

    fn time(&self, column: &str) -> Result<(Expr, Facts), Failure> {
        if self.data_type(column)? != TIME {
            return Err(self.wrong(format!("`{column}` is no timestamp")));
        }
        Ok((col(column), self.facts(column)?))
    }

    fn data_type(&self, column: &str) -> Result<DataType, Failure> {
        self.table.type_of(column, self.at)
    }

    fn facts(&self, column: &str) -> Result<Facts, Failure> {
        self.table.facts_of(column, self.at)
    }

    fn wrong(&self, message: String) -> Failure {
        Failure::parameter(self.at, message)
    }
}
