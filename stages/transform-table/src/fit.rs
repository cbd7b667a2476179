//! Fits the state to the training rows: fills, bounds, means, scales, categories.
//!
//! This reads one column at a time (or the two of a ratio), so memory is bounded by a column of up
//! to [`BUFFERED`](crate::quantiles::BUFFERED) values, not by the table. It reads feature columns
//! only, never the target.

use stagewright_kit::{Batch, DataType, Failure, Field, Role, Table, info, warn};

use crate::categories::Categories;
use crate::moments::Moments;
use crate::parameters::{CategoricalMissing, NumericMissing, Outliers, Parameters, Scale, Unseen};
use crate::plan::{CategoricalPlan, NumericPlan, Plan, plan};
use crate::quantiles::{BUFFERED, Scan, quantiles};
use crate::reading::{MISSING, each_code, refuse_infinite, write_source};
use crate::state::{Categorical, MissingNumber, MissingText, Numeric, Source, State, Step};

/// The most distinct strings of a column, which bounds the memory for counting. A column with more
/// is an identifier.
const MOST_DISTINCT: usize = 65_536;

/// Fits the state.
///
/// # Errors
/// `data` if the rows cannot be learnt from; `parameter` if the parameters do not fit the columns.
pub(crate) fn fit(train: &dyn Table, parameters: &Parameters) -> Result<State, Failure> {
    if train.rows() == 0 {
        return Err(Failure::data("there are no training rows"));
    }
    let fields = train.fields();
    let columns = train.columns_with(Role::Feature);
    let inputs: Vec<Field> = columns.iter().map(|&column| fields[column as usize].clone()).collect();
    let learner = Learner { train, inputs: &inputs, columns: &columns };
    let mut steps = Vec::new();
    for plan in plan(&inputs, parameters)? {
        steps.push(match plan {
            Plan::Numeric(plan) => match learner.numeric(plan)? {
                Some(numeric) => Step::Numeric(numeric),
                None => continue,
            },
            Plan::Categorical(plan) => Step::Categorical(learner.categorical(plan)?),
        });
    }
    for input in inputs.iter().filter(|input| input.data_type == DataType::Timestamp) {
        let used = |step: &Step| match step {
            Step::Numeric(numeric) => numeric.source.columns().contains(&input.name.as_str()),
            Step::Categorical(text) => text.column == input.name,
        };
        let dropped = parameters.columns.get(&input.name).is_some_and(|column| column.drop);
        if !dropped && !steps.iter().any(used) {
            warn!("column `{}` makes no feature: no part of its moments that is asked for differs", input.name);
        }
    }
    if steps.is_empty() {
        return Err(Failure::data("no column is left to make features of"));
    }
    Ok(State::new(&inputs, steps))
}

struct Learner<'a> {
    train: &'a dyn Table,
    inputs: &'a [Field],
    /// The indices of the columns in the table.
    columns: &'a [u32],
}

impl Learner<'_> {
    fn place(&self, name: &str) -> Result<u32, Failure> {
        let position = self.inputs.iter().position(|field| field.name == name);
        position.map(|position| self.columns[position]).ok_or_else(|| Failure::internal(format!("no column `{name}`")))
    }

    /// Returns `None` if the source is a part of a timestamp that all rows have in common.
    fn numeric(&self, plan: NumericPlan) -> Result<Option<Numeric>, Failure> {
        let bounded = plan.outliers != Outliers::None;
        let mut column = NumericColumn::new(self, &plan.source, bounded)?;
        let owner = match &plan.source {
            Source::Part { column, .. } => column,
            _ => &plan.name,
        };
        let blame = |failure: Failure| failure.in_column(owner);
        if plan.missing == NumericMissing::Error
            && let Some(row) = column.first_missing
        {
            return Err(blame(Failure::data("a value is missing").at_row(row)));
        }
        let count = column.count;
        if count == 0 && matches!(plan.missing, NumericMissing::Mean | NumericMissing::Median) {
            let message = format!(
                "all {} training rows are missing: drop the column (`columns.{}.drop = true`) or fill in a constant",
                self.train.rows(),
                owner
            );
            return Err(blame(Failure::data(message)));
        }
        if matches!(plan.source, Source::Part { .. }) && column.at_most(1)? && column.first_missing.is_none() {
            info!("feature `{}` is left out: all training rows have the same", plan.name);
            return Ok(None);
        }
        let clip = if count > 0 { bounds(&mut column, plan.outliers, &plan.name).map_err(blame)? } else { None };
        let mut moments = Moments::default();
        let mut clipped = 0;
        column.scan(&mut |chunk| match clip {
            None => moments.add(chunk),
            Some([low, high]) => {
                clipped += chunk.iter().filter(|value| !(low..=high).contains(*value)).count();
                moments.add(&chunk.iter().map(|value| value.clamp(low, high)).collect::<Vec<_>>());
            }
        })?;
        let missing = match plan.missing {
            NumericMissing::Mean => MissingNumber::Fill(moments.mean().unwrap_or_default()),
            NumericMissing::Median => {
                let median = quantiles(&mut column, count, &[0.5])?[0];
                MissingNumber::Fill(clip.map_or(median, |[low, high]| median.clamp(low, high)))
            }
            NumericMissing::Zero => MissingNumber::Fill(0.0),
            NumericMissing::Constant(value) => MissingNumber::Fill(value),
            NumericMissing::Keep => MissingNumber::Keep,
            NumericMissing::Error => MissingNumber::Error,
        };
        let absent = self.train.rows() - count;
        if let MissingNumber::Fill(fill) = missing {
            moments.add_repeated(fill, absent);
        }
        log_numeric(&plan.name, absent, missing, clipped, clip);
        let (center, scale) = match plan.scale {
            Scale::Standard => (moments.mean().unwrap_or_default(), moments.scale()),
            Scale::None => (0.0, 1.0),
        };
        if !center.is_finite() || !scale.is_finite() {
            return Err(blame(Failure::data("the values are too large: their mean or variance is not a number")));
        }
        Ok(Some(Numeric { name: plan.name, source: plan.source, missing, clip, center, scale }))
    }

    fn categorical(&self, plan: CategoricalPlan) -> Result<Categorical, Failure> {
        let counted = self.count_categories(&plan.column)?;
        let blame = |failure: Failure| failure.in_column(&plan.column);
        let mut frequent: Vec<(&str, u64)> =
            counted.categories.strings().iter().map(AsRef::as_ref).zip(counted.rows).collect();
        // Categories of a categorical column that no row uses do not count.
        frequent.retain(|(_, rows)| *rows > 0);
        frequent.sort_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(right.0)));
        if let (CategoricalMissing::Error, Some(row)) = (plan.missing, counted.first_missing) {
            return Err(blame(Failure::data("a value is missing").at_row(row)));
        }
        let missing = match plan.missing {
            CategoricalMissing::Category if counted.missing > 0 => MissingText::Category,
            CategoricalMissing::Category => MissingText::Unseen,
            CategoricalMissing::Error => MissingText::Error,
            CategoricalMissing::MostFrequent => match frequent.first() {
                Some((category, _)) => MissingText::Fill((*category).to_owned()),
                None => {
                    let message = format!(
                        "all training rows are missing: drop the column (`columns.{}.drop = true`)",
                        plan.column
                    );
                    return Err(blame(Failure::data(message)));
                }
            },
        };
        let kept = plan.max_categories.min(frequent.len());
        let rare: u64 = frequent[kept..].iter().map(|(_, rows)| rows).sum();
        if rare > 0 && plan.unseen == Unseen::Error {
            let message = format!(
                "{} categories are more than `max_categories` = {} and `unseen` is `error`",
                frequent.len(),
                plan.max_categories
            );
            return Err(blame(Failure::data(message)));
        }
        if counted.missing > 0 {
            info!("column `{}`: {} missing values become {missing:?}", plan.column, counted.missing);
        }
        if rare > 0 {
            info!("column `{}`: {rare} rows of {} rare categories count as unseen", plan.column, frequent.len() - kept);
        }
        let mut categories: Vec<String> = frequent[..kept].iter().map(|(category, _)| (*category).to_owned()).collect();
        categories.sort_unstable();
        Ok(Categorical { column: plan.column, encoding: plan.encoding, unseen: plan.unseen, missing, categories })
    }

    fn count_categories(&self, name: &str) -> Result<Counted, Failure> {
        let place = [self.place(name)?];
        let mut counted =
            Counted { categories: Categories::default(), rows: Vec::new(), missing: 0, first_missing: None };
        for batch in self.train.batches(Some(&place)) {
            let (start, batch) = batch?;
            let Counted { categories, rows, missing, first_missing } = &mut counted;
            let find = |text: &[u8]| categories.find_or_add(text);
            each_code(&batch.columns[0].view(), batch.len(), find, |row, code| {
                if code == MISSING {
                    *missing += 1;
                    first_missing.get_or_insert(start + row as u64);
                } else {
                    if code as usize >= rows.len() {
                        rows.resize(code as usize + 1, 0);
                    }
                    rows[code as usize] += 1;
                }
                Ok(())
            })?;
            if counted.categories.strings().len() > MOST_DISTINCT {
                let message = format!(
                    "more than {MOST_DISTINCT} distinct values in a column of text: give it the role `identifier`, or drop it (`columns.{name}.drop = true`)"
                );
                return Err(Failure::data(message).in_column(name));
            }
        }
        counted.rows.resize(counted.categories.strings().len(), 0);
        Ok(counted)
    }
}

/// Counts each category of a column.
struct Counted {
    categories: Categories,
    rows: Vec<u64>,
    missing: u64,
    first_missing: Option<u64>,
}

fn log_numeric(name: &str, missing: u64, becomes: MissingNumber, clipped: usize, clip: Option<[f64; 2]>) {
    if missing > 0 {
        info!("feature `{name}`: {missing} missing values, {becomes:?}");
    }
    if let (Some([low, high]), 1..) = (clip, clipped) {
        info!("feature `{name}`: {clipped} values clipped to {low} .. {high}");
    }
}

/// Returns the bounds for clipping, or none if clipping would remove the column's information.
fn bounds(column: &mut NumericColumn<'_>, outliers: Outliers, name: &str) -> Result<Option<[f64; 2]>, Failure> {
    let (shares, factor) = match outliers {
        Outliers::None => return Ok(None),
        Outliers::Clip(bounds) => ([bounds.lower, bounds.upper], 0.0),
        Outliers::Iqr(fences) => ([0.25, 0.75], fences.factor),
    };
    // The rarer of two values is not an outlier.
    if column.at_most(2)? {
        info!("feature `{name}` has at most two values: no outliers are clipped");
        return Ok(None);
    }
    let count = column.count;
    let found = quantiles(column, count, &shares)?;
    let distance = found[1] - found[0];
    let bounds = [found[0] - factor * distance, found[1] + factor * distance];
    if bounds.iter().any(|bound| !bound.is_finite()) {
        return Err(Failure::data("so many values are infinite that the bounds for outliers are"));
    }
    if bounds[0] == bounds[1] {
        warn!("feature `{name}`: clipping outliers would leave one value, {}; none are clipped", bounds[0]);
        return Ok(None);
    }
    Ok(Some(bounds))
}

/// The values of a source that are not missing. They are held in memory if there are few, and read
/// repeatedly otherwise.
struct NumericColumn<'a> {
    train: &'a dyn Table,
    source: &'a Source,
    places: Vec<u32>,
    held: Option<Vec<f64>>,
    count: u64,
    first_missing: Option<u64>,
}

impl<'a> NumericColumn<'a> {
    /// Passes all values to a function. With `bounded`, outliers are clipped, so infinite values
    /// are allowed.
    fn new(learner: &Learner<'a>, source: &'a Source, bounded: bool) -> Result<Self, Failure> {
        let places = source.columns().into_iter().map(|name| learner.place(name)).collect::<Result<_, _>>()?;
        let mut column = Self { train: learner.train, source, places, held: None, count: 0, first_missing: None };
        let mut held = (learner.train.rows() <= BUFFERED).then(|| Vec::with_capacity(learner.train.rows() as usize));
        let (mut count, mut first_missing) = (0, None);
        column.read(|start, values| {
            if !bounded {
                refuse_infinite(start, values).map_err(|failure| failure.in_column(source.columns().join(", ")))?;
            }
            for (row, value) in values.iter().enumerate() {
                if value.is_nan() {
                    first_missing.get_or_insert(start + row as u64);
                } else {
                    count += 1;
                }
            }
            if let Some(held) = &mut held {
                held.extend(values.iter().filter(|value| !value.is_nan()));
            }
            Ok(())
        })?;
        (column.held, column.count, column.first_missing) = (held, count, first_missing);
        Ok(column)
    }

    /// Returns whether at most `most` distinct values occur.
    fn at_most(&mut self, most: usize) -> Result<bool, Failure> {
        let mut seen: Vec<f64> = Vec::with_capacity(most + 1);
        self.scan(&mut |values| {
            for value in values {
                if seen.len() > most {
                    return;
                }
                if !seen.contains(value) {
                    seen.push(*value);
                }
            }
        })?;
        Ok(seen.len() <= most)
    }

    fn read(&self, mut see: impl FnMut(u64, &[f64]) -> Result<(), Failure>) -> Result<(), Failure> {
        for batch in self.train.batches(Some(&self.places)) {
            let (start, batch) = batch?;
            let values = self.values(&batch).and_then(|values| see(start, &values));
            values.map_err(|failure| failure.after_rows(start))?;
        }
        Ok(())
    }

    fn values(&self, batch: &Batch) -> Result<Vec<f64>, Failure> {
        // The columns were read in the order of the source's.
        let mut values = vec![0.0; batch.len()];
        write_source(self.source, &batch.view().columns, &mut values)?;
        Ok(values)
    }
}

impl Scan for NumericColumn<'_> {
    type Error = Failure;

    fn scan(&mut self, see: &mut dyn FnMut(&[f64])) -> Result<(), Failure> {
        if let Some(held) = &self.held {
            held.chunks(8192).for_each(see);
            return Ok(());
        }
        self.read(|_, values| {
            see(&values.iter().copied().filter(|value| !value.is_nan()).collect::<Vec<_>>());
            Ok(())
        })
    }
}
